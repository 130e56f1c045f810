"""Unreadable entries on the rollout stream: each becomes a dead letter with its reason; sound groups pass."""

import struct
import zlib

import msgspec
import numpy as np
import pytest
import redis

from broker.keys import Keys
from broker.records import MAX_RECORD_BYTES, SCHEMA, encode, float32_bytes, int32_bytes
from broker.streams import KEPT_BYTES
from conf.schema import RunConfig
from tests.broker.broker_parts import BrokerParts
from tests.groups import rollout_group, train_group
from tests.preprocess.test_preprocessor import broker, config, until, working  # noqa: F401 - fixtures


def framed(body: bytes, *, schema: int = SCHEMA, kind: int = 1) -> bytes:
    """A frame with a correct checksum around any body."""
    return struct.pack("<4sHBxII", b"POPE", schema, kind, zlib.crc32(body), len(body)) + body


def with_rollout(**fields: object) -> bytes:
    group = rollout_group(0)
    rollout = msgspec.structs.replace(group.rollouts[0], **fields)
    return framed(msgspec.msgpack.encode(msgspec.structs.replace(group, rollouts=(rollout,))))


SOUND = encode(rollout_group(0))
POISON = {
    "no field": ({}, "shorter than its header"),
    "not a frame": ({"group": b"\x00\x01\x02" * 9}, "wrong magic"),
    "bad msgpack": ({"group": framed(b"\xc1\xff\x00")}, "RolloutGroup"),
    "nested without end": ({"group": framed(b"\x91" * 100_000)}, "RolloutGroup"),
    "an array of 4 GiB": ({"group": framed(b"\xdd\xff\xff\xff\xff")}, "RolloutGroup"),
    "not UTF-8": ({"group": framed(b"\x81\xa2\xc3\x28\x01")}, "RolloutGroup"),
    "a flipped bit": ({"group": SOUND[:-1] + bytes([SOUND[-1] ^ 1])}, "checksum"),
    "cut off": ({"group": SOUND[:-5]}, "header says"),
    "unknown schema": ({"group": framed(SOUND[16:], schema=99)}, "schema 99"),
    "another kind": ({"group": encode(train_group(rollout_group(0)))}, "kind 2"),
    "wrong length of an array": ({"group": with_rollout(token_ids=b"\x00" * 7)}, "int32 array"),
    "one logprob too few": ({"group": with_rollout(logprobs=float32_bytes([-1.0]))}, "one logprob a token"),
    "NaN logprob": ({"group": with_rollout(logprobs=float32_bytes([-1.0, np.nan, -1.0]))}, "logprob"),
    "NaN reward": ({"group": with_rollout(reward=float("nan"))}, "reward"),
    "negative token": ({"group": with_rollout(token_ids=int32_bytes([1, -2, 3]))}, "negative id"),
    "a version of the far future": ({"group": with_rollout(version_spans=((0, 2**40),))}, "policy version"),
    "a thousand fields": ({f"field-{n}": b"x" * 100 for n in range(1000)}, "shorter than its header"),
    "55 MB of nothing": ({"group": b"\x00" * 55_000_000}, "wrong magic"),
    "55 MB in a frame": ({"group": framed(b"\xc6\x03\x47\x3b\xc0" + b"x" * 55_000_000)}, "RolloutGroup"),
}


@pytest.mark.parametrize(("fields", "reason"), POISON.values(), ids=POISON)
def test_a_malformed_entry_is_a_dead_letter_and_other_groups_pass(
    config: RunConfig,  # noqa: F811
    redis_url: str,
    client: redis.Redis,
    broker: BrokerParts,  # noqa: F811
    keys: Keys,
    fields: dict[str, bytes],
    reason: str,
) -> None:
    assert broker.claim("bad/0") == 0
    assert broker.feed.publish(0, "bad/0", rollout_group(0))
    client.delete(keys.rollouts)
    broker.stream.open()
    client.xadd(keys.rollouts, {"ordinal": "0", **fields})
    broker.publish_one("a/1")
    with working(config, redis_url, client):
        until(lambda: broker.stream.depth() == 0, 60.0)
    balance = broker.balance()
    assert (balance.failed, balance.in_flight["ring"]) == ({"unreadable": 1}, 1)
    ((_, letter),) = client.xrange(keys.dead_letters)
    assert reason in letter[b"reason"].decode()
    assert int(letter[b"bytes"]) == sum(map(len, fields.values())) + 1
    assert sum(map(len, letter.values())) < 4 * KEPT_BYTES
    assert broker.feed.failures() == {0: "unreadable"}


def test_redis_refuses_an_entry_above_the_size_limit_of_a_record(client: redis.Redis, keys: Keys) -> None:
    with pytest.raises(redis.RedisError, match=r"invalid bulk length|closed|reset|Broken pipe"):
        client.xadd(keys.rollouts, {"group": b"x" * (MAX_RECORD_BYTES + 1)})
    assert client.xlen(keys.rollouts) == 0


def test_a_dead_letter_with_a_wrong_group_id_marks_no_other_group(broker: BrokerParts, client: redis.Redis) -> None:  # noqa: F811
    for group_id in (b"-1", b"1e3", b"0x10", b"9" * 30, b""):
        client.xadd(broker.keys.rollouts, {"ordinal": group_id, "group": b"?"})
    for delivery in broker.read(count=9):
        assert broker.stream.dead_letter(delivery.entry_id, "test")
        assert not broker.stream.dead_letter(delivery.entry_id, "test"), "a second time counts nothing"
    assert broker.feed.failures() == {}
    assert int(client.hget(broker.keys.counters, "failed.unreadable") or 0) == 5
