"""Trains recorded batches again, without changing the run they come from.

With the same settings on a CPU the weights are bit-identical. With other settings, objectives can be compared on the
same data.
"""

import msgspec

from broker.connection import connect
from broker.errors import PopeError
from broker.keys import Keys
from broker.reports import to_fields
from broker.ring import Ring
from conf.schema import RunConfig
from learner.manifest import read_manifest
from learner.replay_plan import STEPS, ReplayPlan
from learner.step import run_step
from learner.trainable import Trainable
from learner.watchdog import Watchdog


def replay(config: RunConfig, plan: ReplayPlan, *, redis_url: str) -> None:
    """Trains the batches of `plan` on this rank; RANK and the other variables are set as for a learner.

    The caller has verified the files in `plan.start`. Raises CheckpointError when they were written by another number
    of ranks, PopeError at a step in which the watchdog rolls back: a replay saves no checkpoint to return to.
    """
    client = connect(redis_url, client_name="replay", timeout_s=config.broker.connect_timeout_s)
    ring = Ring(client, Keys(config.run.name), config.broker.ring.capacity)
    trainable = Trainable(
        config.learner,
        dtype=config.model.dtype,
        device=config.deploy.device,
        model_path=plan.start,
        checkpoints=plan.start.parent,
        temperature=config.actors.temperature,
        entropy_gradient=config.learner.entropy_coef > 0,
    )
    engine = trainable.engine
    stored = read_manifest(plan.start).get("watchdog") if plan.first else None
    watchdog = Watchdog(config.learner.watchdog, stored)
    watchdog.saved(plan.first)
    try:
        if plan.first:
            trainable.load(plan.first)
        with (plan.out / STEPS).open("ab") as lines:
            for step in range(plan.first + 1, plan.last + 1):
                groups = ring.batch(step)
                assert groups is not None, "the plan names recorded batches, and the run is locked"
                report = run_step(
                    engine,
                    groups,
                    config.learner,
                    step=step,
                    max_completion_tokens=config.actors.max_completion_tokens,
                    watchdog=watchdog,
                )
                if report.verdict.roll_back_to is not None:
                    raise PopeError(
                        f"step {step}: the watchdog restores the checkpoint of step {report.verdict.roll_back_to} "
                        f"({report.verdict}), which a replay does not follow; end it with --to {step - 1}, begin it "
                        f"with --from-step {step}, or set learner.watchdog.action=skip"
                    )
                if engine.ranks.first:
                    lines.write(msgspec.json.encode(to_fields(report.published())) + b"\n")
                    lines.flush()
        trainable.save_model(plan.out)
    finally:
        engine.close()
