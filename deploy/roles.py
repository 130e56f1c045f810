"""The one door to Ray: starting it, and the roles that live in Ray actors.

A role builds the parts of its room from plain arguments and runs the room's loop; it holds no logic of its own.
Each writes what it prints to `logs/ROLE.log` of the run folder, vLLM's and DeepSpeed's child processes included.
"""

import logging
import os
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker import failpoints
from broker.errors import PopeError, UsageError
from broker.keys import Keys, stage_name
from broker.records import Problem
from conf.environment import refuse_unsafe_environment
from conf.plain import PlainFormatter
from conf.schema import RunConfig
from deploy.placement import Demand, shortage
from deploy.withheld import secrets_withheld

if TYPE_CHECKING:
    from actors.actor import Work
    from broker.connection import Client
    from broker.history import History
    from learner.demonstrations import Example
    from learner.replay_plan import ReplayPlan

LOOPBACK = "127.0.0.1"
"""Where everything of a local Ray listens."""
RAY_STARTS = 3
"""Tries to start a local Ray."""
EVALUATION = "evaluation"
"""Stage whose tasks actors write beside their training groups."""


@contextmanager
def ray_session(config: RunConfig, demands: Sequence[Demand]) -> Iterator[None]:
    """A local Ray for these roles, or the cluster that RAY_ADDRESS names. Raises UsageError when it is too small."""
    address = os.environ.get("RAY_ADDRESS")
    # Without it a killed actor leaves vLLM's core and worker processes alive; read where the raylet starts.
    os.environ["RAY_process_group_cleanup_enabled"] = "1"
    if not address:
        # Explicit on both sides and before the import: Ray reads these once. The token never touches the disk.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # No cluster: Ray knows this machine as 127.0.0.1 and listens there. Asked for that address in any other way it
        # looks up the one that others reach.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray

    if address:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    else:
        with secrets_withheld(config):
            _start_local_ray()
    try:
        available = ray.cluster_resources()
        lack = shortage(config, demands, cpus=available.get("CPU", 0), gpus=available.get("GPU", 0))
        if lack:
            raise UsageError(lack)
        yield
    finally:
        ray.shutdown()


def _start_local_ray() -> None:
    """Raises PopeError when Ray does not come up: it waits half a minute for itself, which a busy machine may need."""
    import ray

    for _ in range(RAY_STARTS):
        try:
            ray.init(
                address="local",  # without it Ray would join whatever cluster was last started on this machine
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:  # Ray's own word for it has no type
            ray.shutdown()
            if "timed out during startup" not in str(error):
                raise
        else:
            return
    raise PopeError(f"Ray did not start, {RAY_STARTS} times: the machine is busy with other work; end some of it")


def only_this_machine() -> bool:
    """Whether every role of this cluster runs here, so that a unix socket reaches it."""
    import ray

    return sum(node["Alive"] for node in ray.nodes()) == 1


def give_time(calls: Sequence[Any], timeout_s: float) -> None:
    """Let calls to roles end, well or badly, but no longer than that."""
    import ray

    if calls:
        ray.wait(list(calls), num_returns=len(calls), timeout=timeout_s)


def _open_role(log_path: Path, threads: int) -> None:
    """First thing in a role's process: its output goes to its own log, its libraries keep to their threads."""
    refuse_unsafe_environment()
    _stay_on_loopback()
    log_path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    lines = logging.StreamHandler()
    lines.setFormatter(PlainFormatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[lines], force=True)


def _stay_on_loopback() -> None:
    """On one machine nobody else needs to reach what gloo, NCCL and vLLM listen on; left alone they go by hostname."""
    import ray

    if ray.util.get_node_ip_address() == LOOPBACK:
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(variable, "lo")
        os.environ.setdefault("VLLM_HOST_IP", LOOPBACK)


class ActorRole:
    """One vLLM engine and the actor loop around it."""

    def __init__(self, config: RunConfig, name: str, redis_url: str, log_path: Path, model_path: Path) -> None:
        _open_role(log_path, config.actors.threads)
        self._config = config
        self._name = name
        self._redis_url = redis_url
        self._model_path = model_path

    async def start(self) -> int:
        """Load tokenizer, verifier and engine. Returns the process id."""
        from transformers import AutoTokenizer

        from actors.engine import Engine
        from actors.prompts import PromptBuilder
        from actors.verify import VerifierPool

        config = self._config
        self._tokenizer = AutoTokenizer.from_pretrained(self._model_path)
        self._prompts = PromptBuilder(self._tokenizer, config.guidance.instruction)
        self._verifier = VerifierPool(config.verifier)
        self._engine = Engine(
            self._model_path,
            config.actors,
            dtype=config.model.dtype,
            device=config.deploy.device,
            transfer_backend=config.weights.backend,
            stop_token_ids=_stop_token_ids(self._tokenizer, self._model_path),
            seed=config.run.seed * 1000 + int(self._name.rsplit("-", 1)[1]),
        )
        await self._engine.start_version(0)
        return os.getpid()

    async def run(self, problems: list[Problem], incarnation: str, run_path: Path) -> None:
        """Write training groups, and evaluations when there is a schedule, until the run stops."""
        from actors.actor import Work
        from actors.problems.mixture import Mixture
        from broker.feed import Feed
        from broker.history import History
        from broker.run_record import born

        config, client, keys = self._config, self._client(), Keys(self._config.run.name)
        mixture = Mixture(problems, config.problems.arms, config.run.seed)
        training = Work(Feed(client, keys), mixture.assignment)
        evaluations = self._tasks(stage_name(config.run.name, EVALUATION)) if config.evaluation.every_steps else None
        with closing(History(run_path, self._name, incarnation)) as history:
            history.add("start", server=born(client, keys))
            await self._work(config, problems, incarnation, training, evaluations, history)

    async def sample(self, config: RunConfig, problems: list[Problem], incarnation: str) -> None:
        """Write the groups a sampling stage asks for, until it stops; `config` names its keys.

        What sampling found out is in its archive; it keeps no history.
        """
        from broker.history import History

        history = History(None, self._name, incarnation)
        await self._work(config, problems, incarnation, self._tasks(config.run.name), None, history)

    async def _work(
        self,
        config: RunConfig,
        problems: Sequence[Problem],
        incarnation: str,
        work: "Work",
        evaluations: "Work | None",
        history: "History",
    ) -> None:
        """The actor loop under `config`, with the weights of this role's own run."""
        from actors.actor import Actor
        from actors.rollouts import RolloutWriter
        from broker.metrics import Control, Heartbeats, Metrics
        from broker.samples import Samples
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
        await Actor(
            config,
            name=self._name,
            incarnation=incarnation,
            engine=self._engine,
            writer=writer,
            decode=self._decode,
            work=work,
            evaluations=evaluations,
            board=WeightBoard(client, Keys(self._config.run.name)),
            metrics=Metrics(client, keys, keep=config.broker.kept_reports),
            samples=Samples(client, keys),
            heartbeats=Heartbeats(client, keys),
            control=Control(client, keys),
            history=history,
        ).run()

    def _tasks(self, name: str) -> "Work":
        """The feed and the task list of a sampling stage."""
        from actors.actor import Work
        from broker.feed import Feed
        from broker.tasks import Tasks

        client, keys = self._client(), Keys(name)
        return Work(Feed(client, keys), Tasks(client, keys).assignment)

    def _client(self) -> "Client":
        from broker.connection import connect

        return connect(self._redis_url, client_name=self._name)

    def _decode(self, token_ids: list[int]) -> str:
        return self._tokenizer.decode(token_ids, skip_special_tokens=True)

    async def close(self) -> None:
        self._verifier.close()
        self._engine.close()


class PreprocessRole:
    """One preprocessing worker."""

    def __init__(self, config: RunConfig, name: str, redis_url: str, log_path: Path, model_path: Path) -> None:
        _open_role(log_path, 1)
        self._config, self._name, self._redis_url = config, name, redis_url
        self._model_path = model_path

    def start(self) -> int:
        """Load the reference model when there is a KL penalty. Returns the process id."""
        self._reference = None
        if self._config.learner.kl_coef > 0:
            from preprocess.reference import load_reference

            self._reference = load_reference(self._config, self._model_path)
        return os.getpid()

    def run(self, incarnation: str, run_path: Path) -> None:
        from preprocess.preprocessor import Preprocessor

        Preprocessor(
            self._config,
            redis_url=self._redis_url,
            consumer=self._name,
            reference=self._reference,
            run_folder=run_path,
            incarnation=incarnation,
        ).run()


class LearnerRole:
    """One DeepSpeed rank, of RL or of SFT."""

    def __init__(self, config: RunConfig, name: str, redis_url: str, log_path: Path) -> None:
        _open_role(log_path, config.learner.threads)
        self._config, self._name, self._redis_url = config, name, redis_url

    def start(self) -> int:
        return os.getpid()

    def address(self) -> tuple[str, int]:
        """Where this machine can be reached, and a port that is free now."""
        import ray

        host = ray.util.get_node_ip_address()
        with socket.socket() as probe:
            probe.bind((host, 0))
            return host, probe.getsockname()[1]

    def run(self, rank: int, master: tuple[str, int], run_path: Path, model_path: Path, incarnation: str) -> None:
        """RL, until the run stops."""
        from learner.learner import Learner

        self._take_rank(rank, master)
        Learner(
            self._config,
            rank=rank,
            world_size=self._config.learner.num_ranks,
            redis_url=self._redis_url,
            run_folder=run_path,
            model_path=model_path,
            incarnation=incarnation,
        ).run()

    def replay(self, rank: int, master: tuple[str, int], plan: "ReplayPlan") -> None:
        """Train recorded batches again, beside the run they are of."""
        from learner.replay import replay

        self._take_rank(rank, master)
        replay(self._config, plan, redis_url=self._redis_url)

    def fine_tune(
        self, rank: int, master: tuple[str, int], checkpoints: Path, model_path: Path, examples: Sequence["Example"]
    ) -> None:
        """SFT, to its last step."""
        from learner.sft import FineTuner

        self._take_rank(rank, master)
        FineTuner(
            self._config,
            examples,
            rank=rank,
            redis_url=self._redis_url,
            checkpoints=checkpoints,
            model_path=model_path,
        ).run()

    def _take_rank(self, rank: int, master: tuple[str, int]) -> None:
        """What DeepSpeed reads from the environment, before it is imported."""
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK="0",
            WORLD_SIZE=str(self._config.learner.num_ranks),
            MASTER_ADDR=master[0],
            MASTER_PORT=str(master[1]),
            DS_ACCELERATOR=self._config.deploy.device,
        )
        import torch

        torch.set_num_threads(self._config.learner.threads)


def address(learner: Any) -> Any:
    """Ask the first rank where the others find it."""
    return learner.address.remote()


def spawn(role: type, demand: Demand, *arguments: Any) -> Any:
    """A Ray actor of that role; it dies with this process and is never restarted behind our back."""
    import ray

    return (
        ray.remote(role)
        .options(
            name=None,
            num_cpus=demand.num_cpus,
            num_gpus=demand.num_gpus,
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": failpoints.environment()},
        )
        .remote(*arguments)
    )


def _stop_token_ids(tokenizer: Any, model_path: Path) -> list[int]:
    """End-of-sequence ids of the tokenizer and of the model's generation settings; chat models have several."""
    from transformers import GenerationConfig

    ids = {tokenizer.eos_token_id}
    if (model_path / "generation_config.json").exists():
        eos = GenerationConfig.from_pretrained(model_path).eos_token_id
        ids.update(eos if isinstance(eos, list) else [eos])
    return sorted(i for i in ids if i is not None)
