"""Each role can do its own work with its own user, and nothing else."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from broker.acl import ROLES, RULES, Role, password, permissions, role_url, secret_of, user
from broker.assignments import Assignments, Choice
from broker.balance import read_balance
from broker.connection import Client, connect
from broker.errors import BrokerUnreachable, UsageError
from broker.feed import Feed
from broker.keys import PREPROCESS_GROUP, Keys, stage_name
from broker.ledger import Ledger
from broker.metrics import Control, Heartbeats, Metrics, read_entries
from broker.records import Task, WeightAnnouncement
from broker.reports import LearnerStep
from broker.ring import Ring
from broker.rollout_samples import RolloutSamples
from broker.run_record import describe_run, holds_run, open_run, read_run
from broker.scripts import Script
from broker.streams import RolloutStream
from broker.tasks import Tasks
from broker.weights import WeightBoard
from deploy.cluster.redis_server import EmbeddedRedis
from tests.groups import rollout_group, train_group
from tests.reports import actor_output, ended, learner_step, note, preprocess_work, sft_step

RUN = "fenced"
KEYS = Keys(RUN)
SOURCES = sorted(path.stem for path in (Path(__file__).parents[2] / "broker" / "lua").glob("*.lua"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    folder = tmp_path_factory.mktemp("acl")
    with EmbeddedRedis(folder, run=RUN, fsync="everysec", max_memory_gib=0.2) as running:
        yield running


@pytest.fixture
def as_role(server: EmbeddedRedis) -> Iterator[Callable[[Role], Client]]:
    owner = connect(server.url, client_name="owner")
    owner.flushall()
    clients = {role: connect(server.url_of(role), client_name=role) for role in ROLES}
    denied(owner)  # `connect` reads settings of the server, which roles may not
    yield clients.__getitem__
    for client in clients.values():
        client.close()
    assert denied(owner) == [], "a role tried what it may not, in a test that did not ask for it"


def denied(owner: Client) -> list[tuple[str, str]]:
    """(user, command) of every refusal since the last call."""
    entries = [(str(entry["username"]), str(entry["object"])) for entry in owner.acl_log()]
    owner.acl_log_reset()
    return entries


def claim(feed: Feed, token: str) -> int | None:
    return feed.claim(token, held_version=0, batch_groups=1, max_lag=None, lease_s=60, high_water=9)


def test_every_role_does_its_work_with_its_own_user(as_role: Callable[[Role], Client]) -> None:
    """One group passes through every script and every read of each role; the server refuses nothing."""
    driver, actor, worker, learner = (as_role(role) for role in ("driver", "actor", "preprocess", "learner"))
    open_run(driver, KEYS, "hash", resume=False)
    describe_run(driver, KEYS, {"num_hard": 2})
    Control(driver, KEYS).clear()
    WeightBoard(driver, KEYS).reopen()
    feed = Feed(driver, KEYS)
    feed.open(3)
    RolloutStream(driver, KEYS).open()

    board = WeightBoard(learner, KEYS)
    assert board.announce(WeightAnnouncement(version=0, backend="file"))
    assert board.held() == {}
    assert Ring(learner, KEYS, 4).adopt(0) == 0

    feed = Feed(actor, KEYS)
    board = WeightBoard(actor, KEYS)
    assert board.newest() is not None
    assert board.wait_newer(-1, timeout_s=0.1) is not None
    board.hold("actor-0", 0)
    for token in ("a/0", "a/1", "a/2"):
        assert claim(feed, token) is not None
    assert feed.renew([0], "a", lease_s=60) == [0]
    assert feed.publish(0, "a/0", rollout_group(0))
    assert feed.publish(1, "a/1", rollout_group(1))
    assert feed.fail(2, "a/2", "prompt_too_long")
    assert feed.release("a") == 0
    assert Control(actor, KEYS).stopped() is None
    assert Assignments(actor, KEYS).look(0, 0).choice is None
    assert Assignments(actor, KEYS).append(0, [Choice("p0", 1.0)])
    assert Ledger(actor, KEYS).newest_outcomes() == {}
    Heartbeats(actor, KEYS).beat("actor-0", "well")
    Metrics(actor, KEYS).report(actor_output())
    RolloutSamples(actor, KEYS).add({"problem": "p", "ordinal": 0, "index": 1})

    stream, ring = RolloutStream(worker, KEYS), Ring(worker, KEYS, 4)
    stream.open()
    first, second = stream.read("w", count=2, block_s=0, claim_idle_s=60)
    stream.keep("w", [first.entry_id])
    assert WeightBoard(worker, KEYS).version() == 0
    assert ring.put(first.entry_id, train_group(rollout_group(0)), step=0)
    assert ring.drop(second.entry_id, rollout_group(1), "zero_advantage", step=0)
    driver.xadd(KEYS.rollouts, {"ordinal": 9, "group": b"poison"})
    (poison,) = stream.read("w", count=1, block_s=0, claim_idle_s=60)
    assert stream.dead_letter(poison.entry_id, "unreadable")
    assert (stream.depth(), ring.occupancy()) == (0, 2)
    Heartbeats(worker, KEYS).beat("preprocess-0", "well")
    Metrics(worker, KEYS).report(preprocess_work())
    Metrics(worker, KEYS).report(ended())
    assert Control(worker, KEYS).stopped() is None

    ring = Ring(learner, KEYS, 4)
    assert ring.take(1, 2, max_lag=None) == [0]
    assert len(ring.batch(1) or []) == 1
    assert ring.commit(1)
    assert ring.committed() == 1
    ring.trim(1)
    Heartbeats(learner, KEYS).beat("learner-0", "well")
    Metrics(learner, KEYS).report(learner_step())
    Metrics(learner, KEYS).report(sft_step())
    assert RolloutSamples(learner, KEYS).shown() == {(0, 1)}
    RolloutSamples(learner, KEYS).add_ratios(0, 1, 1, [1.0])
    Control(learner, KEYS).stop("run.max_steps reached")

    reader = as_role("reader")
    assert holds_run(reader, KEYS)
    assert read_balance(reader, KEYS).trained == 1
    assert [row.problem_id for row in Ledger(reader, KEYS).rows()] == ["p0", "p1"]
    assert Assignments(reader, KEYS).all() == [Choice("p0", 1.0)]
    assert Metrics(reader, KEYS).read(LearnerStep)
    assert RolloutSamples(reader, KEYS).newest(1)
    assert read_entries(reader, KEYS.samples_ratios)
    assert read_run(reader, KEYS)["num_hard"] == "2"
    assert len(Ring(reader, KEYS, 4).groups()) == 0
    assert RolloutStream(reader, KEYS).oldest_unix_ms() is None
    assert WeightBoard(reader, KEYS).held() == {"actor-0": 0}
    assert set(Heartbeats(reader, KEYS).silence()) == {"actor-0", "preprocess-0", "learner-0"}
    assert Control(reader, KEYS).stopped() == "run.max_steps reached"

    Metrics(driver, KEYS).report(note("a role was replaced"))
    Feed(driver, KEYS).reclaim(max_attempts=3)
    Heartbeats(driver, KEYS).forget("actor-0")
    WeightBoard(driver, KEYS).forget("actor-0")


def test_driver_actor_and_reader_may_use_the_stages_of_the_run(as_role: Callable[[Role], Client]) -> None:
    keys = Keys(stage_name(RUN, "evaluation"))
    driver, actor = as_role("driver"), as_role("actor")
    feed, tasks = Feed(driver, keys), Tasks(driver, keys)
    feed.open(0)
    RolloutStream(driver, keys).open()
    tasks.append(0, [Task(problem_id="p0", arm="unguided")])
    assert Tasks(actor, keys).assignment(0).problem_id == "p0"
    assert claim(Feed(actor, keys), "a/0") == 0
    assert Feed(actor, keys).publish(0, "a/0", rollout_group(0))
    (delivery,) = RolloutStream(driver, keys).read("collector", count=1, block_s=0, claim_idle_s=0)
    assert Ring(driver, keys, 0).drop(delivery.entry_id, rollout_group(0), "collected", step=0)
    assert read_balance(as_role("reader"), keys).filtered == {"collected": 1}


FORBIDDEN: list[tuple[Role, tuple[object, ...]]] = [
    ("actor", ("HSET", KEYS.payload, "0", "x")),
    ("actor", ("ZADD", KEYS.ring, 1, "0")),
    ("actor", ("HSET", KEYS.learner, "committed", 99)),
    ("actor", ("XADD", KEYS.weights, "*", "announcement", "x")),
    ("actor", ("HSET", KEYS.control, "stop", "because")),
    ("actor", ("HSET", KEYS.run, "settings_hash", "x")),
    ("actor", ("HINCRBY", KEYS.ledger_successes, "p0|guided", 1)),
    ("actor", ("HSET", KEYS.ledger_outcomes, "p0|guided", "0:8/8")),
    ("actor", ("DEL", KEYS.rollouts)),
    ("preprocess", ("RPUSH", KEYS.assignments, "1.0 p0")),
    ("actor", ("XREADGROUP", "GROUP", PREPROCESS_GROUP, "a", "STREAMS", KEYS.rollouts, ">")),
    ("actor", ("EVAL", "return redis.call('ZADD', KEYS[1], 1, '0')", 1, KEYS.ring)),
    ("actor", ("EVAL", f"return redis.call('HSET', '{KEYS.learner}', 'taken', 7)", 0)),
    ("preprocess", ("HSET", KEYS.learner, "committed", 99)),
    ("preprocess", ("XADD", KEYS.weights, "*", "announcement", "x")),
    ("preprocess", ("HSET", KEYS.owners, "0", "me")),
    ("preprocess", ("HSET", KEYS.control, "stop", "because")),
    ("learner", ("XADD", KEYS.rollouts, "*", "group", "x")),
    ("learner", ("HSET", KEYS.leases, "0", "x")),
    ("learner", ("HINCRBY", KEYS.ledger_successes, "p0|guided", 1)),
    ("reader", ("SET", KEYS.control, "x")),
    ("reader", ("HSET", KEYS.control, "stop", "because")),
    ("reader", ("DEL", KEYS.ring)),
    ("reader", ("XADD", KEYS.samples, "*", "a", "b")),
    ("reader", ("EVAL", "return redis.call('DEL', KEYS[1])", 1, KEYS.ring)),
    ("reader", ("EVAL_RO", "return redis.call('DEL', KEYS[1])", 1, KEYS.ring)),
    *((role, ("GET", "pope:{other}:run")) for role in ROLES),
    *((role, ("GET", "pope:{fenced.more}:run")) for role in ROLES),
    *((role, (command,)) for role in ROLES for command in ("FLUSHALL", "SAVE", "MONITOR", "RANDOMKEY")),
    *((role, words) for role in ROLES for words in (
        ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("KEYS", "*"), ("SCAN", "0"), ("CLIENT", "LIST"), ("SCRIPT", "FLUSH"),
        ("FUNCTION", "FLUSH"), ("DEBUG", "SLEEP", "0"), ("EVAL", "return redis.call('CONFIG', 'GET', '*')", 0),
    )),
]  # fmt: skip


@pytest.mark.parametrize(("role", "words"), FORBIDDEN, ids=lambda v: v if isinstance(v, str) else " ".join(map(str, v)))
def test_a_role_is_refused_other_commands_and_keys(
    server: EmbeddedRedis, as_role: Callable[[Role], Client], role: Role, words: tuple[object, ...]
) -> None:
    owner = connect(server.url, client_name="owner")
    with pytest.raises(redis.ResponseError, match=r"permission|NOPERM|can't run|not allowed|access"):
        as_role(role).execute_command(*words)  # type: ignore[no-untyped-call]
    assert owner.dbsize() == 0
    denied(owner)


def test_one_role_cannot_log_in_as_another(server: EmbeddedRedis) -> None:
    as_learner = server.url_of("actor").replace(user(RUN, "actor"), user(RUN, "learner"))
    with pytest.raises(BrokerUnreachable, match="refused the password"):
        connect(as_learner, client_name="thief")


def test_the_server_configuration_has_no_password_but_the_owners(server: EmbeddedRedis, tmp_path: Path) -> None:
    text = (Path(server.url.rpartition("@")[2]).parent / "valkey.conf").read_text()
    for role in ROLES:
        word = secret_of(server.url_of(role))
        assert word is not None
        assert len(word) == 64
        assert word not in text


def test_every_key_is_in_a_rule_and_every_name_in_a_rule_is_a_key() -> None:
    names = {name for name in vars(KEYS) if name != "prefix"}
    used = {name for rule in RULES.values() for name in (*rule.writes, *rule.reads) if not name.startswith("metrics.")}
    assert names == used | {"health"}  # of the driver only


def test_every_script_is_in_a_rule() -> None:
    others = {"append_tasks", "balance", "oldest", "group_locations"}  # used by driver and readers
    assert {name for rule in RULES.values() for name in rule.scripts} | others == set(SOURCES)


def test_the_commands_of_a_script_are_parsed_from_its_source() -> None:
    assert Script("note").commands == ["hset", "hsetnx"]
    assert "+xautoclaim" in permissions("a", "preprocess")
    assert "+xautoclaim" not in permissions("a", "actor")


def test_passwords_are_derived_from_one_secret() -> None:
    # printf pope-big-actor | openssl dgst -sha256 -hmac secret
    expected = "f22750c62182022ca990a6d55e1c98b1c542a2cc6cf08a781e9ad58fb127de23"
    assert password("secret", "big", "actor") == expected
    assert len({password("secret", run, role) for run in ("a", "b") for role in ROLES}) == 10


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s%40crt@host:6380/0",
        "rediss://anybody:s%40crt@host:6380/0",
        "redis://host:6380/0?password=s%40crt",
        "unix://:s%40crt@/run/redis.sock?db=0",
    ],
)
def test_the_url_of_a_role_differs_only_in_its_login(url: str) -> None:
    own = role_url(url, "big", "reader")
    assert secret_of(own) == password("s@crt", "big", "reader")
    assert own.startswith(url.partition(":")[0] + "://pope-big-reader:")
    assert "s%40crt" not in own
    assert ("host:6380/0" if "host" in url else "/run/redis.sock?db=0") in own
    assert role_url(own, "big", "reader") == own, "who was given a role's URL uses it as it is"


def test_a_url_without_a_password_is_refused() -> None:
    with pytest.raises(UsageError, match="holds no password"):
        role_url("redis://host:6380/0", "big", "reader")
