"""The actor's process, as a Ray actor."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from broker.errors import PopeError, UsageError
from broker.keys import EVALUATION_STAGE, Keys, stage_name
from broker.records import Problem, RolloutGroup
from conf.schema import RunConfig, Sampling
from deploy.cluster.engine_errors import last_raised, reason_of
from deploy.cluster.node_check import NodeNeeds
from deploy.cluster.role_process import RoleProcess

if TYPE_CHECKING:
    from actors.engine import Engine
    from actors.leased_groups import GroupSource
    from actors.readable_rollout import SampleValues
    from broker.connection import Client
    from broker.history import History


class ActorRole(RoleProcess):
    """One vLLM engine, its verifiers and the `Actor` that uses them."""

    def __init__(
        self,
        config: RunConfig,
        name: str,
        redis_url: str,
        log_path: Path,
        needs: NodeNeeds,
        model_path: Path,
        max_model_tokens: int,
    ) -> None:
        """`max_model_tokens`: longest sequence of any purpose the engine samples for."""
        super().__init__(config, name, redis_url, log_path, needs)
        self._model_path = model_path
        self._max_model_tokens = max_model_tokens

    async def start(self) -> int:
        """Load the tokenizer, the verifiers and the engine. Returns the process id."""
        self._open(self._config.actors.threads)
        from transformers import AutoTokenizer

        from actors.prompts import PromptBuilder
        from actors.stop_tokens import stop_token_ids
        from actors.verification.judge import Judge

        config = self._config
        self._tokenizer = AutoTokenizer.from_pretrained(self._model_path)
        template_kwargs = config.prompts.template_kwargs
        self._stop_ids = stop_token_ids(self._tokenizer, self._model_path, template_kwargs)
        self._prompts = PromptBuilder(
            self._tokenizer, config.guidance.instruction, config.prompts, stop_ids=self._stop_ids
        )
        self._verifier = Judge(config.verifier, self._prompts.template.thoughts)
        self._engine = self._open_engine()
        await self._engine.start_version(0)
        return os.getpid()

    def _open_engine(self) -> "Engine":
        """Raises UsageError when vLLM refuses the model or a setting, PopeError when its process ends."""
        from actors.engine import Engine

        config = self._config
        try:
            return Engine(
                self._model_path,
                config.actors,
                max_model_tokens=self._max_model_tokens,
                dtype=config.model.dtype,
                device=config.deploy.device,
                transfer_backend=config.weights.backend,
                stop_token_ids=self._stop_ids,
                seed=config.run.seed * 1000 + int(self._name.rsplit("-", 1)[1]),
            )
        except (ValueError, NotImplementedError) as error:
            raise UsageError(f"vLLM cannot run model.path={config.model.path}: {reason_of(error)}") from error
        except RuntimeError as error:
            reason = last_raised(self._log_path) or reason_of(error)
            raise PopeError(f"vLLM did not start with model.path={config.model.path}: {reason}") from error

    async def run(self, problems: list[Problem], incarnation: str, run_path: Path) -> None:
        """Write training groups, and evaluation groups if evaluations are scheduled, until the run stops."""
        from actors.leased_groups import GroupSource
        from actors.problems.training_assignment import training_assignment
        from broker.feed import Feed
        from broker.history import History
        from broker.run_record import read_keys_id

        config, client, keys = self._config, self._client(), Keys(self._config.run.name)
        assignment = training_assignment(config, problems, client, keys)
        training = GroupSource(Feed(client, keys), assignment, config.actors.sampling)
        stage = stage_name(config.run.name, EVALUATION_STAGE)
        evaluations = self._task_list(stage, config.evaluation_sampling) if config.evaluation.every_steps else None
        with closing(History(run_path, self._name, incarnation)) as history:
            history.add("start", server=read_keys_id(client, keys))
            await self._run_actor(config, problems, incarnation, history, training, evaluations)

    async def sample(self, config: RunConfig, sampling: Sampling, problems: list[Problem], incarnation: str) -> None:
        """Write the groups of a sampling stage until it stops. `config.run.name` is the stage's name.

        A sampling stage has an archive and no history.
        """
        from broker.history import History

        history = History(None, self._name, incarnation)
        await self._run_actor(config, problems, incarnation, history, self._task_list(config.run.name, sampling))

    async def _run_actor(
        self,
        config: RunConfig,
        problems: Sequence[Problem],
        incarnation: str,
        history: "History",
        training: "GroupSource",
        evaluations: "GroupSource | None" = None,
    ) -> None:
        """Run the actor on the Redis keys of `config`, except that the weights are those of this role's run."""
        from actors.actor import Actor, ActorLoopSettings
        from actors.actor_broker import ActorBroker
        from actors.rollout_writer import RolloutWriter
        from broker.connection import Retrying
        from broker.metrics import Control, Heartbeats, Metrics
        from broker.rollout_samples import RolloutSamples
        from broker.weights import WeightBoard

        client, keys = self._client(), Keys(config.run.name)
        writer = RolloutWriter(
            actor=self._name,
            engine=self._engine,
            prompts=self._prompts,
            decode=self._decode,
            verifier=self._verifier,
            problems={problem.id: problem for problem in problems},
            settings=config.actors,
        )
        broker = ActorBroker(
            actor=self._name,
            incarnation=incarnation,
            retry=Retrying(config.deploy.dead_after_s),
            board=WeightBoard(client, Keys(self._config.run.name)),
            metrics=Metrics(client, keys, keep=config.broker.kept_reports),
            samples=RolloutSamples(client, keys),
            heartbeats=Heartbeats(client, keys),
            control=Control(client, keys),
            history=history,
        )
        await Actor(
            ActorLoopSettings.of(config),
            broker,
            engine=self._engine,
            writer=writer,
            readable=self._readable(problems),
            training=training,
            evaluations=evaluations,
        ).run()

    def _readable(self, problems: Sequence[Problem]) -> "Callable[[RolloutGroup], SampleValues]":
        """Makes a sample of a group on one of these problems."""
        from actors.readable_rollout import sample_values

        answers, thoughts = {problem.id: problem.answer for problem in problems}, self._prompts.template.thoughts
        return lambda group: sample_values(group, self._decode, answers[group.problem_id], thoughts)

    def _task_list(self, stage: str, sampling: Sampling) -> "GroupSource":
        """The groups of a sampling stage."""
        from actors.leased_groups import GroupSource
        from broker.feed import Feed
        from broker.tasks import Tasks

        client, keys = self._client(), Keys(stage)
        return GroupSource(Feed(client, keys), Tasks(client, keys).assignment, sampling)

    def _client(self) -> "Client":
        from broker.connection import connect

        return connect(self._redis_url, client_name=self._name)

    def _decode(self, token_ids: list[int]) -> str:
        from actors.stop_tokens import completion_text

        return completion_text(self._tokenizer, token_ids, self._stop_ids)

    async def close(self) -> None:
        """End the verifiers' and the engine's child processes."""
        self._verifier.close()
        self._engine.close()
