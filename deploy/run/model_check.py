"""The check of a model before anything is sampled with it, in a learner's process of its own."""

from pathlib import Path

from deploy.cluster.learner_ranks import LearnerRanks
from deploy.cluster.learner_role import LearnerRole
from deploy.cluster.placement import learner_demands
from deploy.run.progress import stage
from deploy.run.session import Session, make_role, start_all


def check_model_alone(session: Session, model_path: Path) -> None:
    """Compare the learner's log-probabilities with the model's own, and print by how much they differ.

    A stage that fine-tunes later calls it before its engines start. Raises RoleRefused when they differ too much, or
    when the model cannot be trained.
    """
    timeout_s = session.config.deploy.start_timeout_s
    ranks = LearnerRanks([make_role(session, LearnerRole, learner_demands(session.config)[0], model_path)])
    try:
        with stage(session.console, "model check"):
            start_all(session.handshake, ranks.roles, timeout_s)
            result = ranks.check_model(model_path, timeout_s)
        session.console.print(f"    {result}", highlight=False)
    finally:
        ranks.first.kill()
