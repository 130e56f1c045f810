"""Seeded mutations of valid records, LaTeX answers, settings and problem rows."""

import json
import random
import struct
import zlib
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import msgspec

from broker.records import (
    SCHEMA,
    Problem,
    Record,
    RolloutGroup,
    Task,
    TrainGroup,
    WeightAnnouncement,
    encode,
    float32_bytes,
)
from conf.layers import CONF_FOLDER
from tests.actors.hostile import BOXED, RESPONSES
from tests.groups import rollout_group, train_group

HEADER = struct.Struct("<4sHBxII")
KINDS: tuple[type[Record], ...] = (RolloutGroup, TrainGroup, WeightAnnouncement, Problem, Task)
"""In the order of their numbers on the wire, from 1."""
RECORDS: dict[type[Record], Record] = {
    RolloutGroup: rollout_group(17, (1.0, 0.0, None), num_tokens=5, oracle=True),
    TrainGroup: msgspec.structs.replace(
        train_group(rollout_group(3, (1.0, 0.0))), reference_logprobs=(float32_bytes([-0.5] * 3),) * 2
    ),
    WeightAnnouncement: WeightAnnouncement(version=7, backend="nccl", tensors=(("w", "float32", (2, 3)),)),
    Problem: Problem(id="p", statement="1+1?", answer="2", bucket="hard", source="s", solution="2", guidance=""),
    Task: Task(problem_id="p", arm="guided", samples=4, guidance="So", seed=1),
}
BOMBS = (
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff",
    b"\x91" * 3000, b"\x81\xa0" * 3000, b"\xc1", b"\xd9\x02\xc3\x28", b"\xca\x7f\xc0\x00\x00", b"\xc7\xff\x01",
    b"\xcf" + b"\xff" * 8,
)  # fmt: skip
"""msgpack: arrays, maps, bytes and texts of 4 GiB, deep nesting, an invalid byte, not UTF-8, NaN, an extension."""
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, -(2**63), 1e308, float("nan"), float("-inf"), "", "x" * 300, "\x00", b"", b"abc",
    b"\xff" * 7, b"\x00\x00\xc0\x7f" * 3, [], [[0, 0]], [[0, -1]], [[5, 1], [0, 2]], {}, {"a": {}}, [None], [[]],
)  # fmt: skip


def frame(random_: random.Random) -> tuple[type[Record], bytes]:
    """A kind of record, and a mutated frame of it."""
    kind = random_.choice(KINDS)
    mutate = random_.choice((_changed_bytes, _cut, _changed_header, _changed_body, _changed_values))
    return kind, mutate(random_, kind)


def answer(random_: random.Random) -> str:
    """A response with something hostile in a box, or around it."""
    if random_.random() < 0.1:
        return random_.choice(list(RESPONSES.values()))
    parts = [_latex(random_) for _ in range(random_.randint(1, 3))]
    inside = random_.choice(("+", ",", "^", "=", "\\cdot ", "", "/", "_", "\\\\")).join(parts)
    wrapped = random_.choice(("{}", "{}", "\\frac{{{}}}{{7}}", "\\sqrt{{{}}}", "({})!", "\\left[{}", "{{{}"))
    balanced = inside + "}" * (inside.count("{") - inside.count("}"))
    content = random_.choice((wrapped.format(inside), balanced))
    return f"So \\boxed{{{content}}}{random_.choice(('', '.', '.', '}', chr(92) + 'boxed{'))}"


def settings(random_: random.Random) -> str:
    """A shipped YAML file with a few mutated lines."""
    files = sorted(CONF_FOLDER.rglob("*.yaml"))
    lines = random_.choice(files).read_text().split("\n")
    for _ in range(random_.randint(1, 4)):
        at = random_.randrange(len(lines))
        name = lines[at].partition(":")[0]
        value = random_.choice((
            "null", "[1, 2", "{a: b}", "!!python/object/apply:os.system ['true']", "&a [*a, *a]", "${oc.env:HOME}",
            "???", "1e400", "-1", "0x7f", ".nan", "'" + "x" * 5000 + "'", "\x1b[2J", "\ud800", "yes", "2026-01-01",
            "<<: *x", "|", "\t- a", str(random_.randint(-(10**20), 10**20)),
        ))  # fmt: skip
        lines[at] = random_.choice((
            f"{name}: {value}", value, lines[at][random_.randrange(len(lines[at]) + 1) :], lines[at] * 2,
            "  " * random_.randint(1, 9) + lines[at], random_.choice(lines),
            f"{name}{chr(random_.randint(0, 0x2FFF))}: 1",
        ))  # fmt: skip
    return "\n".join(lines)


def row(random_: random.Random) -> str:
    """A line of a problem file with fields of wrong types, or with invalid JSON."""
    fields: dict[str, Any] = {"statement": "What is $1+1$?", "answer": "2", "solution": "So 2.", "id": "a"}
    for _ in range(random_.randint(1, 3)):
        name = random_.choice(("statement", "answer", "solution", "id", "bucket", "guidance", "source", "\ud800"))
        usable = [value for value in VALUES if not isinstance(value, bytes)]
        hostile = ("\ud800", "\x1b]8;;http://x\x07", "$" * 99, "\\boxed{" * 50, "9" * 5000)
        fields[name] = random_.choice((*usable, *hostile))
    text = json.dumps(fields)
    if random_.random() < 0.7:
        return text
    return text[: random_.randrange(len(text))] + random_.choice(("", "}", "[" * 5000))


def _changed_bytes(random_: random.Random, kind: type[Record]) -> bytes:
    data = bytearray(encode(RECORDS[kind]))
    for _ in range(random_.randint(1, 4)):
        data[random_.randrange(len(data))] = random_.randrange(256)
    return bytes(data)


def _cut(random_: random.Random, kind: type[Record]) -> bytes:
    data = encode(RECORDS[kind])
    start, end = sorted((random_.randrange(len(data) + 1), random_.randrange(len(data) + 1)))
    return random_.choice((data[:start], data[start:], data[:start] + data[end:], data + data[start:end], data * 2))


def _changed_header(random_: random.Random, kind: type[Record]) -> bytes:
    data = encode(RECORDS[kind])
    values = list(HEADER.unpack_from(data))
    at = random_.randrange(1, 5)
    values[at] = random_.randrange(256 if at == 2 else 2**16 if at == 1 else 2**32)
    return HEADER.pack(*values) + data[HEADER.size :]


def _changed_body(random_: random.Random, kind: type[Record]) -> bytes:
    """A mutated msgpack body with a valid checksum."""
    body = bytearray(encode(RECORDS[kind])[HEADER.size :])
    for _ in range(random_.randint(1, 3)):
        at = random_.randrange(len(body) + 1)
        change = random_.choice((bytes([random_.randrange(256)]), random_.choice(BOMBS)))
        body[at : at + random_.choice((0, 1, len(change)))] = change
    return _framed(bytes(body), kind)


def _changed_values(random_: random.Random, kind: type[Record]) -> bytes:
    """Well-formed msgpack with values of wrong types."""
    tree = msgspec.to_builtins(RECORDS[kind], builtin_types=(bytes,))
    for _ in range(random_.randint(1, 2)):
        put = random_.choice(_places(tree))
        put(deepcopy(random_.choice(VALUES)))
    try:
        return _framed(msgspec.msgpack.encode(tree), kind)
    except (OverflowError, msgspec.MsgspecError):  # 2**63 does not fit into msgpack
        return b""


def _places(tree: Any) -> list[Callable[[Any], None]]:
    """One setter for each value in nested maps and lists."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    places: list[Callable[[Any], None]] = []
    for key in keys:
        places.append(lambda value, key=key: tree.__setitem__(key, value))
        if isinstance(tree[key], tuple):
            tree[key] = list(tree[key])
        if isinstance(tree[key], dict | list) and tree[key]:
            places += _places(tree[key])
    return places or [lambda value: None]


def _framed(body: bytes, kind: type[Record]) -> bytes:
    return HEADER.pack(b"POPE", SCHEMA, KINDS.index(kind) + 1, zlib.crc32(body), len(body)) + body


def _latex(random_: random.Random) -> str:
    content = random_.choice(list(BOXED.values()))[:900]
    match random_.randrange(4):
        case 0:
            return content
        case 1:
            start = random_.randrange(len(content) + 1)
            return content[start : start + random_.randint(1, 60)]
        case 2:
            at = random_.randrange(len(content) + 1)
            return content[:at] + random_.choice(("\\", "{", "}", "^", "!", "\x00", "\ud800", "9" * 50)) + content[at:]
        case _:
            return str(random_.choice((10**6, -1, 3.5, "x", "\\pi", "10^{10}"))) + random_.choice(("", "!", "^{99999}"))
