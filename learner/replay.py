"""Recorded batches trained again, beside the run they are of: nothing of the run is written.

The same settings on a CPU reach the same weights, bit for bit. Others show what another objective does with the same
data.
"""

import msgspec

from broker.connection import connect
from broker.keys import Keys
from broker.ring import Ring
from conf.schema import RunConfig
from learner.checkpoints import Checkpoints
from learner.model import save_model
from learner.opening import checkpoint_settings, open_engine
from learner.replay_plan import STEPS, ReplayPlan
from learner.step import run_step


def replay(config: RunConfig, plan: ReplayPlan, *, redis_url: str) -> None:
    """Train the batches of `plan` on this rank; RANK and its like are set as for a learner.

    The files in `start` are read as they are: whoever made the plan has verified them. Raises CheckpointError when they
    are of another number of ranks.
    """
    client = connect(redis_url, client_name="replay", timeout_s=config.broker.connect_timeout_s)
    ring = Ring(client, Keys(config.run.name), config.broker.ring.capacity)
    policy, engine = open_engine(config, plan.start)
    try:
        if plan.first:
            settings = checkpoint_settings(config)
            checkpoints = Checkpoints(plan.start.parent, engine.ranks, keep=1, settings=settings)
            checkpoint = checkpoints.at(plan.first)
            engine.load(checkpoint.folder)
            checkpoints.restore_rng(checkpoint)
        with (plan.out / STEPS).open("ab") as lines:
            for step in range(plan.first + 1, plan.last + 1):
                groups = ring.batch(step)
                assert groups is not None, "whoever made the plan saw this batch, and nobody else uses the run"
                report = run_step(engine, groups, config.learner, step=step)
                if engine.ranks.first:
                    lines.write(msgspec.json.encode(report.metrics()) + b"\n")
                    lines.flush()
        weights = engine.gather_weights()
        if engine.ranks.first:
            save_model(policy, weights, plan.start, plan.out)
    finally:
        engine.close()
