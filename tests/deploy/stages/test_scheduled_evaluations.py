"""Scheduled evaluations: which results a run saves."""

from dataclasses import replace
from pathlib import Path

from broker.connection import Client
from broker.feed import Feed
from broker.keys import EVALUATION_STAGE, Keys, stage_name
from broker.records import Problem
from conf.schema import EvaluationSettings, RunConfig, RunSettings
from deploy.stages.scheduled_evaluations import Evaluations
from deploy.store.measurements import read_evaluations
from deploy.store.run_folder import RunFolder
from tests.groups import rollout_group


def test_what_came_in_after_the_last_step_is_kept_too(client: Client, run_name: str, tmp_path: Path) -> None:
    run = RunSettings(name=run_name)
    config = replace(RunConfig(run=run), evaluation=EvaluationSettings(every_steps=2, every_samples=2))
    problems = [Problem(id="p0", source="test", bucket="hard", statement="1+1", answer="2")]
    folder = RunFolder(tmp_path)
    feed = Feed(client, Keys(stage_name(run_name, EVALUATION_STAGE)))
    with Evaluations(config, client, problems, folder) as evaluations:
        evaluations.follow(3)
        assert read_evaluations(folder.evaluations) == {2: []}
        assert feed.claim("a/0", held_version=0, batch_groups=1, max_lag=None, lease_s=60, high_water=9) == 0
        assert feed.publish(0, "a/0", rollout_group(0, (1.0, 0.0), problem_id="p0"))
    ((step, (result,)),) = read_evaluations(folder.evaluations).items()
    assert (step, result.samples, result.successes) == (2, 2, 1)
