from pathlib import Path

import pytest
import redis

import broker
from broker.errors import BrokerError
from broker.scripts import Script

SOURCES = sorted((Path(broker.__file__).parent / "lua").glob("*.lua"))
ENTRANCES = {"append_tasks", "claim", "publish"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_every_script_says_what_it_is_and_only_entrances_refuse_a_full_server(path: Path) -> None:
    first, second = path.read_text().splitlines()[:2]
    assert first.startswith("#!lua")
    assert second.startswith("-- ")
    drains = "allow-oom" in first or "no-writes" in first
    assert drains is (path.stem not in ENTRANCES)


def test_a_server_that_lost_its_scripts_is_sent_the_source(client: redis.Redis, run_name: str) -> None:
    note = Script("note")
    key = f"pope:{{{run_name}}}:control"
    client.script_flush()
    assert note(client, [key], "a", "1", "replace") == 1
    assert note(client, [key], "a", "2", "first") == 0
    assert client.hgetall(key) == {b"a": b"1"}


def test_a_refusal_of_a_script_is_a_broker_error_in_its_own_words(client: redis.Redis, run_name: str) -> None:
    keys = [f"pope:{{{run_name}}}:{name}" for name in "abc"]
    with pytest.raises(BrokerError, match=r"^commit: the step is not a number$"):
        Script("commit")(client, keys, "seven")
