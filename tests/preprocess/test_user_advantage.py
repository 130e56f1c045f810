"""An advantage of the user: it sees the judged rollouts only, and a failure of it ends the run by name."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from broker.errors import PluginFailed
from broker.keys import Keys
from conf.schema import PreprocessSettings, RunConfig, RunSettings
from preprocess.advantages import group_advantages
from preprocess.preprocessor import Preprocessor
from tests.broker.broker_parts import BrokerParts
from tests.user_module import user_module

ADVANTAGES = """
def doubled(rewards):
    rewards *= 2
    return rewards - rewards.mean()

def listed(rewards):
    return [1 if reward == max(rewards) else -1 for reward in rewards]

def scalar(rewards):
    return rewards.mean()

def infinite(rewards):
    return rewards / 0.0

def raises(rewards):
    raise IndexError("no such rollout")
"""


@pytest.fixture(autouse=True)
def advantages(tmp_path: Path) -> Iterator[None]:
    with user_module(tmp_path, "plugin_advantages", ADVANTAGES):
        yield


def named(name: str) -> PreprocessSettings:
    return PreprocessSettings(advantage=f"plugin_advantages:{name}")


def test_a_users_advantage_is_of_the_judged_rollouts_and_the_others_get_zero() -> None:
    rewards = [1.0, None, 0.0, 0.5]
    assert group_advantages(rewards, named("doubled")).tolist() == [1.0, 0.0, -1.0, 0.0]
    assert group_advantages(rewards, named("listed")).tolist() == [1.0, 0.0, -1.0, -1.0]
    assert group_advantages([1.0, None], named("raises")).tolist() == [0.0, 0.0], "a baseline needs two"


@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value)")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("scalar", r"plugin_advantages:scalar returned 0.5 for rewards \[1.0, 0.0\]; return 2 finite numbers"),
        ("infinite", r"plugin_advantages:infinite returned \[inf, nan\] for rewards"),
        ("raises", r"plugin_advantages:raises failed on \[1.0, 0.0\]: IndexError: no such rollout"),
    ],
)
def test_a_failing_advantage_is_named_with_its_rewards(name: str, message: str) -> None:
    with pytest.raises(PluginFailed, match=message):
        group_advantages([1.0, 0.0], named(name))


def test_a_failing_advantage_ends_the_preprocessor_and_makes_no_dead_letter(
    redis_url: str, run_name: str, client: redis.Redis, keys: Keys
) -> None:
    broker = BrokerParts(client, keys)
    broker.publish_one("a/0", rewards=(1.0, 0.0))
    config = replace(RunConfig(run=RunSettings(name=run_name)), preprocess=named("raises"))
    with pytest.raises(PluginFailed, match="IndexError"):
        Preprocessor(config, redis_url, "preprocess-0").run()
    assert client.xlen(keys.dead_letters) == 0
