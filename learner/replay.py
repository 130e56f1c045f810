"""Recorded batches trained again, beside the run they are of: nothing of the run is written.

The same settings on a CPU reach the same weights, bit for bit. Others show what another objective does with the same
data.
"""

import msgspec

from broker.connection import connect
from broker.keys import Keys
from broker.reports import to_fields
from broker.ring import Ring
from conf.schema import RunConfig
from learner.replay_plan import STEPS, ReplayPlan
from learner.step import run_step
from learner.trainable import Trainable


def replay(config: RunConfig, plan: ReplayPlan, *, redis_url: str) -> None:
    """Train the batches of `plan` on this rank; RANK and its like are set as for a learner.

    The files in `start` are read as they are: whoever made the plan has verified them. Raises CheckpointError when they
    are of another number of ranks.
    """
    client = connect(redis_url, client_name="replay", timeout_s=config.broker.connect_timeout_s)
    ring = Ring(client, Keys(config.run.name), config.broker.ring.capacity)
    trainable = Trainable(
        config,
        model_path=plan.start,
        checkpoints=plan.start.parent,
        temperature=config.actors.temperature,
        entropy_gradient=config.learner.entropy_coef > 0,
    )
    engine = trainable.engine
    try:
        if plan.first:
            trainable.move_to(plan.first)
        with (plan.out / STEPS).open("ab") as lines:
            for step in range(plan.first + 1, plan.last + 1):
                groups = ring.batch(step)
                assert groups is not None, "whoever made the plan saw this batch, and nobody else uses the run"
                report = run_step(engine, groups, config, step=step)
                if engine.ranks.first:
                    lines.write(msgspec.json.encode(to_fields(report.published())) + b"\n")
                    lines.flush()
        trainable.save_model(plan.out)
    finally:
        engine.close()
