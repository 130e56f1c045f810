"""What the learner processes of tests do: `PROGRAMS`, which `tests.learner.ranks` starts.

The environment holds RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.
"""

import json
import math
import os
import pickle
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from msgspec import structs
from torch import Tensor

from broker.connection import connect
from broker.keys import Keys
from broker.records import Bucket, Rollout, RolloutGroup, TrainGroup, float32_array, float32_bytes
from broker.reports import SftStep
from broker.weights import WeightBoard
from conf.load import load
from conf.schema import (
    ActorSettings,
    BrokerSettings,
    DeploySettings,
    LearnerSettings,
    RingSettings,
    RunConfig,
    RunSettings,
    SftSettings,
    WatchdogSettings,
)
from learner.deepspeed_engine import DeepSpeedEngine
from learner.file_publisher import FilePublisher
from learner.learner import Learner
from learner.model import Policy, as_policy
from learner.replay import replay
from learner.replay_plan import ReplayPlan
from learner.sft import FineTuner
from learner.step import StepReport, run_step
from learner.watchdog import Watchdog
from tests.learner.tiny import random_examples, random_groups, tiny_lm

PARTS: tuple[tuple[Bucket, str], ...] = (("hard", "unguided"), ("hard", "guided"), ("easy", "easy"))
PARTS_SENT = [b"", b"a\x00b", bytes(range(256))]
WATCHDOG = Watchdog(WatchdogSettings(action="skip"))
GROUP_SIZE = 4
STEP_GROUPS = 3


def run_config(name: str, **learner: Any) -> RunConfig:
    settings = {"batch_samples": GROUP_SIZE * STEP_GROUPS, "row_tokens": 64, "logprob_chunk_tokens": 16,
                "warmup_samples": 240, "checkpoint_every": 3, "max_engine_rms": 100.0, **learner}
    max_steps = settings.pop("max_steps", 8)
    return RunConfig(
        run=RunSettings(name=name, max_steps=max_steps),
        actors=ActorSettings(group_size=GROUP_SIZE),
        broker=BrokerSettings(ring=RingSettings(capacity=1000)),
        learner=LearnerSettings(**settings),
        deploy=DeploySettings(heartbeat_s=0.2),
    )


def train(
    engine: DeepSpeedEngine, groups: Sequence[TrainGroup], config: RunConfig, *, step: int, **how: Any
) -> StepReport:
    """One optimizer step under the settings of `config`."""
    longest = config.actors.max_completion_tokens
    return run_step(engine, groups, config.learner, step=step, max_completion_tokens=longest, **how)


def astray(engine: DeepSpeedEngine, config: RunConfig, folder: Path) -> None:
    """Saves a checkpoint, trains two other steps, and loads the checkpoint in place."""
    engine.save(folder)
    before = engine.gather_weights()
    for seed in (100, 101):
        train(engine, random_groups(3, GROUP_SIZE, seed=seed, reference=True), config, step=1)
    changed = engine.gather_weights()
    engine.load(folder)
    after = engine.gather_weights()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not engine.ranks.first or any(not torch.equal(before[name], changed[name]) for name in before)


def projects_once(engine: DeepSpeedEngine, policy: Policy) -> None:
    """From now on, a backward pass that computes logits again fails, unless the gradient is discarded."""
    head, backward = policy.lm.get_output_embeddings(), engine.backward
    logits, calls = head._logits, []

    def counted(hidden: Tensor) -> Tensor:
        calls.append(len(hidden))
        return logits(hidden)

    def checked(loss: Tensor, *, discard: bool = False) -> None:
        before = len(calls)
        backward(loss, discard=discard)
        assert calls
        assert discard or len(calls) == before, "the gradient that arrived is not what the head expected"

    head._logits = counted
    engine.backward = checked  # type: ignore[method-assign]


def engine_groups(step: int, oracles: Sequence[int] = ()) -> list[TrainGroup]:
    """The groups of a step of `engines`: one rollout has no reward, and every part has a gradient."""
    return random_groups(
        5, GROUP_SIZE, seed=step + 1, failed=[(1, 0)], drawn_as=PARTS, oracles=oracles, reference=True
    )


def without_advantages(groups: Sequence[TrainGroup]) -> list[TrainGroup]:
    """The same rollouts with all advantages zero."""
    return [structs.replace(group, advantages=bytes(len(group.advantages))) for group in groups]


def absurd(groups: Sequence[TrainGroup]) -> list[TrainGroup]:
    """The same rollouts, the first token of which was nearly impossible for the policy that sampled them."""

    def changed(rollout: Rollout) -> Rollout:
        return structs.replace(rollout, logprobs=float32_bytes([-30.0, *float32_array(rollout.logprobs)[1:]]))

    def of_group(group: RolloutGroup) -> RolloutGroup:
        first, *others = group.rollouts
        return structs.replace(group, rollouts=(changed(first), *others))

    return [structs.replace(group, rollout_group=of_group(group.rollout_group)) for group in groups]


def engines(options: dict[str, Any]) -> None:
    """For each case: four steps, the third with a gradient that is not finite.

    With `zero_advantage_between` a step without advantages follows each of them, with `absurd_between` one that the
    watchdog skips. With `restored` other steps are trained, and undone by a checkpoint, before the first and the third.
    """
    results = {}
    for case in options["cases"]:
        config = run_config(
            "x",
            zero_stage=case["stage"],
            row_tokens=case["row_tokens"],
            gradient_cosine_every=case.get("cosine_every", 0),
            **case.get("learner", {}),
        )
        settings = config.learner
        policy = as_policy(
            tiny_lm(tied=case["tied"]), temperature=0.9, chunk_tokens=settings.logprob_chunk_tokens,
            packing=settings.packing, entropy_gradient=settings.entropy_coef > 0,
        )  # fmt: skip
        engine = DeepSpeedEngine(policy, settings, dtype=torch.float32, device=torch.device("cpu"))
        assert engine.ranks.bytes_from_first(PARTS_SENT if engine.ranks.first else []) == PARTS_SENT
        projects_once(engine, policy)
        reports = []
        for step in range(1, 5):
            if case.get("restored") and step in (1, 3):
                astray(engine, config, Path(options["out"]) / f"{case['name']}-{step}")
            poisoned = step == 3
            parameter = next(policy.parameters())
            hook = parameter.register_hook(lambda g: g * float("nan")) if poisoned else None
            before = engine.gather_weights() if poisoned else {}
            report = train(engine, engine_groups(step, case.get("oracles", ())), config, step=step)
            if case.get("zero_advantage_between"):
                groups = without_advantages(engine_groups(step))
                nothing = train(engine, groups, config, step=step)
                assert (nothing.grad_norm, nothing.learning_rate, nothing.applied) == (0.0, 0.0, True)
                judged = [r for group in groups for r in group.rollout_group.rollouts if r.reward is not None]
                assert nothing.tokens.num_tokens == sum(rollout.num_tokens for rollout in judged)
            if case.get("absurd_between"):
                dropped = train(engine, absurd(engine_groups(step)), config, step=step, watchdog=WATCHDOG)
                assert (dropped.applied, dropped.grad_norm, dropped.tokens.ess < 0.1) == (False, math.inf, True)
                assert dropped.skipped == f"watchdog: {dropped.verdict}"
            if hook:
                hook.remove()
                after = engine.gather_weights()
                assert all(torch.equal(before[name], after[name]) for name in before)
            reports.append(structs.asdict(report.published()))
        weights = engine.gather_weights()
        assert bool(weights) == engine.ranks.first
        results[case["name"]] = reports
        if engine.ranks.first:
            torch.save(weights, Path(options["out"]) / f"{case['name']}.pt")
    if os.environ["RANK"] == "0":
        (Path(options["out"]) / "reports.json").write_text(json.dumps(results))
    engine.close()


class Payload:
    """Writes a file when it is unpickled: code in a checkpoint that was tampered with."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self._marker, "code of the checkpoint was run")


def hostile(options: dict[str, Any]) -> None:
    """Save, load, then load again with a payload in each file in turn; each of those loads must raise."""
    folder = Path(options["out"]) / "checkpoint"
    for stage in options["stages"]:
        config = run_config("x", zero_stage=stage)
        policy = as_policy(tiny_lm(), temperature=1.0, chunk_tokens=config.learner.logprob_chunk_tokens)
        engine = DeepSpeedEngine(policy, config.learner, dtype=torch.float32, device=torch.device("cpu"))
        train(engine, random_groups(3, GROUP_SIZE), config, step=1)
        engine.save(folder / str(stage))
        engine.load(folder / str(stage))
        for file in sorted((folder / str(stage)).rglob("*.pt")):
            honest = file.read_bytes()
            torch.save({"module": Payload(Path(options["out"]) / "marker")}, file)
            try:
                engine.load(folder / str(stage))
            except pickle.UnpicklingError as error:
                print("refused", stage, file.name, str(error).splitlines()[0])
            else:
                raise AssertionError(f"{file} was loaded")
            file.write_bytes(honest)
    engine.close()


class PoisonedLearner(Learner):
    """Scales its weights before some steps, as an update that destroyed the policy would."""

    poisoned: Sequence[int] = ()

    def _train(self, groups: list[TrainGroup]) -> StepReport:
        if self._step + 1 in self.poisoned:
            with torch.no_grad():
                for parameter in self._trainable._policy.parameters():
                    parameter.mul_(3.0)
        return super()._train(groups)


def learner(options: dict[str, Any]) -> None:
    settings = options.get("settings")
    config = load(Path(settings)) if settings else run_config(options["name"], **options.get("learner", {}))
    folder = Path(options["folder"])
    publisher = None
    if os.environ["RANK"] == "0":
        client = connect(options["redis_url"], client_name="publisher")
        board = WeightBoard(client, Keys(options["name"]), incarnation=options.get("incarnation") or "")
        publisher = FilePublisher(folder / "weights", board, keep=100)
    learner = PoisonedLearner(
        config,
        rank=int(os.environ["RANK"]),
        redis_url=options["redis_url"],
        run_folder=folder,
        model_path=Path(options["model_path"]),
        publisher=publisher,
        incarnation=options.get("incarnation"),
    )
    learner.poisoned = options.get("poisoned", ())
    learner.run()


class DyingFineTuner(FineTuner):
    """Kills its process after training a step, before the step is reported or saved."""

    dies_at = -1

    def _end_step(self, report: SftStep) -> None:
        if report.step == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        super()._end_step(report)


def fine_tuner(options: dict[str, Any]) -> None:
    config = replace(run_config(options["name"], **options.get("learner", {})), sft=SftSettings(**options["sft"]))
    tuner = DyingFineTuner(
        config,
        random_examples(),
        rank=int(os.environ["RANK"]),
        redis_url=options["redis_url"],
        checkpoints=Path(options["folder"]) / "checkpoints",
        model_path=Path(options["model_path"]),
    )
    tuner.dies_at = options.get("dies_at", -1)
    tuner.run()


def replayed(options: dict[str, Any]) -> None:
    """Like `LearnerRole.replay`, without Ray."""
    plan = ReplayPlan(options["first"], options["last"], Path(options["start"]), Path(options["out"]))
    replay(load(Path(options["settings"])), plan, redis_url=options["redis_url"])


PROGRAMS = {
    "engine": engines,
    "hostile": hostile,
    "learner": learner,
    "fine_tuner": fine_tuner,
    "replay": replayed,
}
