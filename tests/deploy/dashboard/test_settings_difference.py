"""The settings in which two runs differ."""

from dataclasses import replace

from conf.load import load
from deploy.dashboard.settings_difference import Difference, differences


def test_what_differs_is_named_and_a_password_is_not() -> None:
    here = load(None, ["run.name=a", "learner.max_lag=2"])
    here = replace(here, broker=replace(here.broker, url="redis://reader:secret@host:1/0"))
    there = load(None, ["run.name=b", "learner.max_lag=null", "problems.arms.easy=1"])
    assert differences(here, there) == [
        Difference("broker.url", "redis://reader:***@host:1/0", "null"),
        Difference("learner.max_lag", "2", "null"),
        Difference("problems.arms.easy", "", "1"),
    ]
    assert differences(here, here) == []
