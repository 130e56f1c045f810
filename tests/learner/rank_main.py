"""One learner process of a test: `python -m tests.learner.rank_main engine|learner|replay OPTIONS.json`.

The environment holds RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from broker.connection import connect
from broker.keys import Keys
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
)
from learner.deepspeed_engine import DeepSpeedEngine
from learner.learner import Learner
from learner.model import as_policy
from learner.publish import FilePublisher
from learner.replay import replay
from learner.replay_plan import ReplayPlan
from learner.step import run_step
from tests.learner.tiny import random_groups, tiny_lm

GROUP_SIZE = 4
STEP_GROUPS = 3


def run_config(name: str, **learner: Any) -> RunConfig:
    settings = {"batch_samples": GROUP_SIZE * STEP_GROUPS, "row_tokens": 64, "logprob_chunk_tokens": 16,
                "checkpoint_every": 3, **learner}
    max_steps = settings.pop("max_steps", 8)
    return RunConfig(
        run=RunSettings(name=name, max_steps=max_steps),
        actors=ActorSettings(group_size=GROUP_SIZE),
        broker=BrokerSettings(ring=RingSettings(capacity=1000)),
        learner=LearnerSettings(**settings),
        deploy=DeploySettings(heartbeat_s=0.2),
    )


def engines(options: dict[str, Any]) -> None:
    """For each case: four steps, of which the third has a gradient that is not finite."""
    results = {}
    for case in options["cases"]:
        settings = replace(run_config("x").learner, zero_stage=case["stage"], row_tokens=case["row_tokens"])
        policy = as_policy(tiny_lm(tied=case["tied"]), temperature=0.9, chunk_tokens=settings.logprob_chunk_tokens)
        engine = DeepSpeedEngine(policy, settings, dtype=torch.float32, device=torch.device("cpu"))
        reports = []
        for step in range(1, 5):
            poisoned = step == 3
            parameter = next(policy.parameters())
            hook = parameter.register_hook(lambda g: g * float("nan")) if poisoned else None
            before = engine.gather_weights() if poisoned else {}
            groups = random_groups(5, GROUP_SIZE, seed=step, failed=[(1, 0)])
            report = run_step(engine, groups, settings, step=step)
            if hook:
                hook.remove()
                after = engine.gather_weights()
                assert all(torch.equal(before[name], after[name]) for name in before)
            reports.append({"loss": report.tokens.loss, "norm": report.grad_norm, "applied": report.applied,
                            "ess": report.tokens.ess, "tokens": report.tokens.num_tokens, **report.metrics()})
        weights = engine.gather_weights()
        assert bool(weights) == engine.ranks.first
        results[case["name"]] = reports
        if engine.ranks.first:
            torch.save(weights, Path(options["out"]) / f"{case['name']}.pt")
    if os.environ["RANK"] == "0":
        (Path(options["out"]) / "reports.json").write_text(json.dumps(results))
    engine.close()


def learner(options: dict[str, Any]) -> None:
    settings = options.get("settings")
    config = load(Path(settings)) if settings else run_config(options["name"], **options.get("learner", {}))
    folder = Path(options["folder"])
    publisher = None
    if os.environ["RANK"] == "0":
        client = connect(options["redis_url"], client_name="publisher")
        publisher = FilePublisher(folder / "weights", WeightBoard(client, Keys(options["name"])), keep=100)
    Learner(
        config,
        rank=int(os.environ["RANK"]),
        world_size=int(os.environ["WORLD_SIZE"]),
        redis_url=options["redis_url"],
        run_folder=folder,
        model_path=Path(options["model_path"]),
        publisher=publisher,
    ).run()


def replayed(options: dict[str, Any]) -> None:
    """Like `LearnerRole.replay`, without Ray."""
    start, out = Path(options["start"]), Path(options["out"])
    plan = ReplayPlan(options["first"], options["last"], start, out)
    replay(load(Path(options["settings"])), plan, redis_url=options["redis_url"])


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"engine": engines, "learner": learner, "replay": replayed}[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))
