"""The records that roles exchange, and their wire format. Read this file first.

A frame is `magic, schema, kind, CRC-32, length` followed by a msgpack body; token ids and logprobs are raw
little-endian arrays inside it (8 bytes per token). Nothing is pickled. A frame with a wrong checksum, an
unknown schema or field, a size above the limit or inconsistent arrays raises `RecordError`.

Worked example, one group of two rollouts:

    group = RolloutGroup(
        group_id=17, problem_id="chain-0003", arm="guided", bucket="hard", actor="actor-0",
        prompt_ids=int32_bytes([5, 9, 2]),
        rollouts=(
            Rollout(token_ids=int32_bytes([7, 8]), logprobs=float32_bytes([-0.1, -2.0]),
                       weight_spans=((0, 41), (1, 42)), finish_reason="stop", verdict="correct", reward=1.0),
            Rollout(token_ids=int32_bytes([7]), logprobs=float32_bytes([-0.1]),
                       weight_spans=((0, 42),), finish_reason="length", verdict="no_answer", reward=0.0),
        ),
    )
    decode(encode(group)) == group
"""

import math
import struct
import zlib
from typing import Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from broker.errors import RecordError

SCHEMA = 2
"""Incremented by every change of a record but a new field with a default. A frame of another schema is refused."""
MAX_RECORD_BYTES = 64 * 2**20
"""Largest frame, checked by writer and reader. 8 rollouts of 32k tokens take 2 MiB."""
MAX_VERSION = 2**31 - 1
"""Policy versions are int32 in arrays."""
MAX_GROUP_ID = 2**53
"""Lua scripts represent numbers as doubles."""

Verdict = Literal["correct", "wrong", "no_answer", "unparsable", "timeout", "crash"]
FinishReason = Literal["stop", "length"]
Bucket = Literal["hard", "easy", "easier"]
"""The difficulty class of a problem; every arm draws from one bucket."""

_HEADER = struct.Struct("<4sHBxII")  # magic, schema, kind, padding, CRC-32 of the body, length of the body
_MAGIC = b"POPE"


def int32_bytes(values: ArrayLike) -> bytes:
    """Integers -> little-endian int32, 4 bytes each."""
    return np.asarray(values, dtype="<i4").tobytes()


def float32_bytes(values: ArrayLike) -> bytes:
    """Numbers -> little-endian float32, 4 bytes each."""
    return np.asarray(values, dtype="<f4").tobytes()


def int32_array(raw: bytes) -> NDArray[np.int32]:
    """The inverse of `int32_bytes`; a read-only view, no copy."""
    return np.frombuffer(raw, dtype="<i4")


def float32_array(raw: bytes) -> NDArray[np.float32]:
    """The inverse of `float32_bytes`; a read-only view, no copy."""
    return np.frombuffer(raw, dtype="<f4")


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all records: immutable, keyword-only, no unknown fields."""


R = TypeVar("R", bound=Record)


class Problem(Record, frozen=True):
    """A problem with a verifiable answer."""

    id: str
    statement: str
    answer: str
    """The reference answer, without its box."""
    bucket: Bucket
    source: str
    solution: str | None = None
    """Oracle solution; guidance is cut from it."""
    guidance: str | None = None
    """Chosen prefix z^{0:i*} of the solution. Empty when every possible prefix shows the answer; None before a prefix
    is chosen."""
    system: str | None = None
    """System message of the prompt; None: `prompts.system`."""


class Task(Record, frozen=True):
    """A request for a rollout group of a problem under an arm."""

    problem_id: str
    arm: str
    samples: int | None = None
    """Number of rollouts; None: as many as a training group has."""
    guidance: str | None = None
    """Guidance to use instead of `Problem.guidance`."""
    seed: int | None = None
    """Sampling seed: the same task gives the same rollouts under the same weights. None: the engine chooses."""


class Assignment(Task, frozen=True, kw_only=True):
    """The task that a group id of the feed stands for."""

    group_id: int
    sampling_share: float = 1.0
    """As in `RolloutGroup`."""


class Rollout(Record, frozen=True, rename={"version_spans": "weight_spans"}):
    """One sampled response to the prompt, with its verdict."""

    token_ids: bytes
    """int32[T]: sampled ids, the end-of-sequence token included when it was sampled."""
    logprobs: bytes
    """float32[T], nats: log-probability of each sampled token under the distribution it was sampled from."""
    version_spans: tuple[tuple[int, int], ...]
    """(first completion index, policy version), ascending. ((0, 41), (118, 42)): tokens 0..117 by version 41,
    the rest by 42."""
    finish_reason: FinishReason
    verdict: Verdict
    reward: float | None
    """None when the verifier failed (verdict `timeout` or `crash`): such a rollout is excluded from the baseline and
    carries no loss."""
    off_policy: bool = False
    """The oracle solution as a rollout of the group (LUFFY). It was not sampled, so it has neither logprobs nor spans.
    It is trained and shares the baseline; it does not count as a rollout or a success of the policy."""

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids) // 4

    @property
    def oldest_version(self) -> int:
        """Policy version of the first token; versions ascend. Undefined for an off-policy rollout."""
        return self.version_spans[0][1]

    def token_versions(self) -> NDArray[np.int32]:
        """int32[T]: the policy version that sampled each token."""
        starts = [start for start, _ in self.version_spans] + [self.num_tokens]
        versions = [version for _, version in self.version_spans]
        return np.repeat(np.asarray(versions, dtype=np.int32), np.diff(starts))


class RolloutGroup(Record, frozen=True, rename={"group_id": "ordinal", "rollouts": "completions"}):
    """All rollouts of one prompt; the unit of the baseline, of the feed and of every counter."""

    group_id: int
    problem_id: str
    arm: str
    bucket: Bucket
    actor: str
    prompt_ids: bytes
    """int32[P]: the whole prompt, guidance included; it carries no loss."""
    rollouts: tuple[Rollout, ...]
    prompt_version: int | None = None
    """Policy version when the rollouts were requested: keys and values of the prompt are of this version or of newer
    ones. A request that waited during a weight sync has tokens of the new version only, and may have reused a prompt
    of the old one from the prefix cache. None: unknown."""
    sampling_share: float = 1.0
    """How often its problem is drawn within its arm, relative to uniform sampling; > 0. The mean of an outcome over
    groups weighted by 1 / sampling_share counts every problem of the arm alike (`actors/problems/adaptive_order.py`).
    1 under `problems.sampling=uniform`."""
    guidance_chars: int = 0
    """Characters of guidance in the prompt; 0: none. With a `guidance.length` that changes during training they are the
    first characters of the oracle solution."""

    def is_wholly_of(self, version: int, rollout: Rollout) -> bool:
        """Whether the weights of one version computed the prompt and every token of the rollout."""
        return self.prompt_version == version and rollout.version_spans == ((0, version),)

    @property
    def policy_rollouts(self) -> tuple[Rollout, ...]:
        """The sampled rollouts: all but an off-policy one. All counts are over these."""
        return tuple(c for c in self.rollouts if not c.off_policy)

    @property
    def num_prompt_tokens(self) -> int:
        return len(self.prompt_ids) // 4

    @property
    def num_completion_tokens(self) -> int:
        return sum(c.num_tokens for c in self.policy_rollouts)

    @property
    def oldest_version(self) -> int:
        return min(c.oldest_version for c in self.policy_rollouts)

    @property
    def num_judged(self) -> int:
        """Rollouts with a reward."""
        return sum(c.reward is not None for c in self.policy_rollouts)

    @property
    def newest_version(self) -> int:
        return max(c.version_spans[-1][1] for c in self.policy_rollouts)

    @property
    def num_successes(self) -> int:
        return sum(c.verdict == "correct" for c in self.policy_rollouts)


class TrainGroup(Record, frozen=True, rename={"rollout_group": "group"}):
    """A group with its advantages: what the ring holds and the learner trains."""

    rollout_group: RolloutGroup
    advantages: bytes
    """float32[G]: by `preprocess.advantage`; 0 for a rollout without a reward, which carries no loss."""
    reference_logprobs: tuple[bytes, ...] | None = None
    """One float32[T] a rollout, nats: log-probability of each token under the frozen starting model, at the
    sampling temperature. Only when `learner.kl_coef` is set."""

    def loss_weights(self) -> NDArray[np.float32]:
        """float32[G]: 1 for a rollout that is trained, 0 for one whose verifier failed."""
        return np.asarray([c.reward is not None for c in self.rollout_group.rollouts], dtype=np.float32)


class Rendezvous(Record, frozen=True):
    """Address and ranks of a transfer group (nccl backend). The learner is rank 0."""

    master_address: str
    master_port: int
    world_size: int
    """The learner plus every engine worker."""
    rank_offsets: dict[str, int]
    """Actor -> rank of its first engine worker. Actors that are not listed do not take part."""
    packed: bool = True

    def init_info(self, actor: str) -> dict[str, str | int | bool]:
        """Arguments of vLLM's `init_weight_transfer_engine` for the engine of `actor`."""
        return {
            "master_address": self.master_address,
            "master_port": self.master_port,
            "rank_offset": self.rank_offsets[actor],
            "world_size": self.world_size,
            "packed": self.packed,
        }


class WeightAnnouncement(Record, frozen=True):
    """Announces to the engines that a new policy version can be fetched."""

    version: int
    """Optimizer steps these weights have seen."""
    backend: Literal["file", "nccl"]
    path: str | None = None
    """safetensors file of the file backend."""
    tensors: tuple[tuple[str, str, tuple[int, ...]], ...] = ()
    """(name, dtype, shape) of every tensor in the order the nccl backend broadcasts them."""
    rendezvous: Rendezvous | None = None
    """nccl backend: set when a new transfer group must be joined before this update."""
    checksums: dict[str, str] = {}
    """Parameter name as the engine holds it -> SHA-256 of its bytes, for the canary."""


_KINDS: dict[int, type[Record]] = {1: RolloutGroup, 2: TrainGroup, 3: WeightAnnouncement, 4: Problem, 5: Task}
_KIND_OF = {cls: kind for kind, cls in _KINDS.items()}
_DECODERS = {kind: msgspec.msgpack.Decoder(cls) for kind, cls in _KINDS.items()}
_ENCODER = msgspec.msgpack.Encoder()


def encode(record: Record) -> bytes:
    """Record -> frame. Raises `RecordError` when the record is inconsistent or the frame too large."""
    _check(record)
    body = _ENCODER.encode(record)
    if _HEADER.size + len(body) > MAX_RECORD_BYTES:
        raise RecordError(f"{type(record).__name__} takes {len(body)} bytes, the limit is {MAX_RECORD_BYTES}")
    return _HEADER.pack(_MAGIC, SCHEMA, _KIND_OF[type(record)], zlib.crc32(body), len(body)) + body


def decode(frame: bytes, expected: type[R]) -> R:
    """Frame -> record of the expected type. Raises `RecordError` with the rule that is broken."""
    if len(frame) > MAX_RECORD_BYTES:
        raise RecordError(f"frame of {len(frame)} bytes, the limit is {MAX_RECORD_BYTES}")
    if len(frame) < _HEADER.size:
        raise RecordError(f"frame of {len(frame)} bytes is shorter than its header")
    magic, schema, kind, checksum, length = _HEADER.unpack_from(frame)
    if magic != _MAGIC:
        raise RecordError("not a pope-rl record: wrong magic bytes")
    if schema != SCHEMA:
        raise RecordError(
            f"record of schema {schema}, this program reads schema {SCHEMA}: another version of pope-rl wrote it; "
            "continue with that version, or start a new run"
        )
    if _KINDS.get(kind) is not expected:
        raise RecordError(f"record of kind {kind}, expected {expected.__name__}")
    body = memoryview(frame)[_HEADER.size :]
    if len(body) != length:
        raise RecordError(f"record body has {len(body)} bytes, its header says {length}")
    if zlib.crc32(body) != checksum:
        raise RecordError("checksum mismatch: the record is damaged")
    try:
        record = _DECODERS[kind].decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:  # the second for a field name that is not UTF-8
        raise RecordError(f"{expected.__name__}: {error}") from error
    _check(record)
    assert isinstance(record, expected)
    return record


def _check(record: Record) -> None:
    """Checks the rules that the types do not express."""
    match record:
        case RolloutGroup():
            _check_group(record)
        case TrainGroup():
            _check_group(record.rollout_group)
            if len(record.advantages) != 4 * len(record.rollout_group.rollouts):
                raise RecordError("a TrainGroup needs one advantage a rollout")
            if not np.isfinite(float32_array(record.advantages)).all():
                raise RecordError("an advantage is not finite")
            if record.reference_logprobs is not None:
                _check_reference(record.rollout_group, record.reference_logprobs)


def _check_group(group: RolloutGroup) -> None:
    if not group.rollouts:
        raise RecordError("a group needs at least one rollout")
    if not 0 <= group.group_id <= MAX_GROUP_ID:
        raise RecordError(f"group id {group.group_id} is outside 0 to {MAX_GROUP_ID}")
    if not 0 < group.sampling_share < math.inf:
        raise RecordError(f"sampling_share {group.sampling_share} is not a positive number")
    if group.guidance_chars < 0:
        raise RecordError(f"guidance_chars {group.guidance_chars} is negative")
    _check_ids("prompt_ids", group.prompt_ids)
    for rollout in group.rollouts:
        _check_rollout(rollout)
    if not group.policy_rollouts:
        raise RecordError("a group needs at least one rollout that was sampled")
    if group.prompt_version is not None and not 0 <= group.prompt_version <= group.oldest_version:
        raise RecordError(
            f"prompt_version {group.prompt_version} is outside 0 to {group.oldest_version}, its oldest version"
        )


def _check_ids(name: str, raw: bytes) -> None:
    if not raw or len(raw) % 4:
        raise RecordError(f"{name} must be a non-empty int32 array")
    if int32_array(raw).min() < 0:
        raise RecordError(f"{name} holds a negative id, which no vocabulary has")


def _check_rollout(rollout: Rollout) -> None:
    _check_ids("token_ids", rollout.token_ids)
    if rollout.off_policy:
        if rollout.logprobs or rollout.version_spans or rollout.reward is None:
            raise RecordError("an off-policy rollout has a reward, and neither logprobs nor version_spans")
    else:
        _check_logprobs(rollout.logprobs, rollout)
        _check_spans(rollout)
    failed = rollout.verdict in ("timeout", "crash")
    if failed != (rollout.reward is None):
        raise RecordError("a reward is missing exactly when the verifier failed")
    if rollout.reward is not None and not math.isfinite(rollout.reward):
        raise RecordError("a reward is not finite")


def _check_reference(group: RolloutGroup, reference_logprobs: tuple[bytes, ...]) -> None:
    if len(reference_logprobs) != len(group.rollouts):
        raise RecordError("reference_logprobs need one array a rollout")
    for raw, rollout in zip(reference_logprobs, group.rollouts, strict=True):
        _check_logprobs(raw, rollout)


def _check_logprobs(raw: bytes, rollout: Rollout) -> None:
    if len(raw) != len(rollout.token_ids):
        raise RecordError("a rollout needs one logprob a token")
    logprobs = float32_array(raw)
    if not np.isfinite(logprobs).all() or (logprobs > 1e-4).any():
        raise RecordError("a logprob is not a finite number <= 0")


def _check_spans(rollout: Rollout) -> None:
    starts = [start for start, _ in rollout.version_spans]
    versions = [version for _, version in rollout.version_spans]
    if not starts or starts[0] != 0 or sorted(set(starts)) != starts or starts[-1] >= rollout.num_tokens:
        raise RecordError("version_spans must start at token 0 and ascend within the rollout")
    if sorted(versions) != versions or versions[0] < 0:
        raise RecordError("policy versions must not go back within a rollout")
    if versions[-1] > MAX_VERSION:
        raise RecordError(f"policy version {versions[-1]} is above {MAX_VERSION}")

