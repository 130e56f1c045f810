from pathlib import Path

import pytest
import redis

import broker
from broker.errors import BrokerError
from broker.scripts import Script, assembled

FOLDER = Path(broker.__file__).parent / "lua"
SOURCES, PIECES = sorted(FOLDER.glob("*.lua")), sorted((FOLDER / "lib").glob("*.lua"))
FAIL_WHEN_FULL = {"append_assignments", "append_tasks", "claim", "publish"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_every_script_has_a_comment_and_only_writers_of_new_groups_fail_when_out_of_memory(path: Path) -> None:
    first, second = path.read_text().splitlines()[:2]
    assert first.startswith("#!lua")
    assert second.startswith("-- ")
    drains = "allow-oom" in first or "no-writes" in first
    assert drains is (path.stem not in FAIL_WHEN_FULL)


def test_the_pieces_of_a_script_follow_its_first_line() -> None:
    source = Script("trim").source
    assert source.startswith("#!lua flags=allow-oom\n-- Returns an error when another incarnation")
    assert source.count("local function fenced(") == 1
    assert source.index("local function fenced(") < source.index("fenced(learner, ARGV[2], 'trim')")
    assert assembled("#!lua\n-- Uses nothing.\nreturn 1\n") == "#!lua\n-- Uses nothing.\nreturn 1\n"


def test_the_commands_of_a_script_include_those_of_its_pieces() -> None:
    assert {"setrange", "hincrby", "hdel"} <= set(Script("commit").commands)


def test_an_unknown_piece_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"uses 'fnece', and there is no lib/fnece\.lua"):
        assembled("#!lua\n-- uses: outcomes, fnece\n-- A script.\n")


@pytest.mark.parametrize("path", PIECES, ids=lambda p: p.stem)
def test_every_piece_has_a_comment_and_several_users(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("-- ")
    assert sum(text in Script(source.stem).source for source in SOURCES) > 1


def test_the_source_is_sent_when_the_server_lost_its_scripts(client: redis.Redis, run_name: str) -> None:
    note = Script("note")
    key = f"pope:{{{run_name}}}:control"
    client.script_flush()
    assert note(client, [key], "a", "1", "replace") == 1
    assert note(client, [key], "a", "2", "first") == 0
    assert client.hgetall(key) == {b"a": b"1"}


def test_an_error_of_a_script_is_a_broker_error_with_its_message(client: redis.Redis, run_name: str) -> None:
    keys = [f"pope:{{{run_name}}}:{name}" for name in "abc"]
    with pytest.raises(BrokerError, match=r"^commit: the step is not a number$"):
        Script("commit")(client, keys, "seven")
