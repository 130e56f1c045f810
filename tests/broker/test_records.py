import struct
import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import records
from broker.errors import RecordError
from broker.records import (
    Rollout,
    RolloutGroup,
    TrainGroup,
    WeightAnnouncement,
    decode,
    encode,
    float32_array,
    float32_bytes,
    int32_array,
    int32_bytes,
)
from tests.groups import completion, oracle_rollout, rollout_group, train_group


def reframed(body: bytes, kind: int = 1, schema: int = records.SCHEMA) -> bytes:
    """A frame with a valid checksum around any body."""
    return struct.pack("<4sHBxII", b"POPE", schema, kind, zlib.crc32(body), len(body)) + body


def changed(group: RolloutGroup, **fields: object) -> RolloutGroup:
    """The group with fields of its only rollout replaced, without the checks of `encode`."""
    return msgspec.structs.replace(group, rollouts=(msgspec.structs.replace(group.rollouts[0], **fields),))


def wire(record: object) -> bytes:
    return msgspec.msgpack.encode(record)


@st.composite
def rollouts(draw: st.DrawFn) -> Rollout:
    num_tokens = draw(st.integers(1, 20))
    starts = sorted({0, *draw(st.lists(st.integers(0, num_tokens - 1), max_size=3))})
    versions = sorted(draw(st.lists(st.integers(0, 2**31 - 1), min_size=len(starts), max_size=len(starts))))
    reward = draw(st.none() | st.floats(-1, 1))
    return Rollout(
        token_ids=int32_bytes(draw(st.lists(st.integers(0, 2**31 - 1), min_size=num_tokens, max_size=num_tokens))),
        logprobs=float32_bytes(draw(st.lists(st.floats(-99, 0, width=32), min_size=num_tokens, max_size=num_tokens))),
        version_spans=tuple(zip(starts, versions, strict=True)),
        finish_reason=draw(st.sampled_from(["stop", "length"])),
        verdict=draw(st.sampled_from(["timeout", "crash"] if reward is None else ["correct", "wrong", "unparsable"])),
        reward=reward,
    )


groups = st.builds(
    RolloutGroup,
    group_id=st.integers(0, 2**53),
    problem_id=st.text(min_size=1, max_size=20),
    arm=st.sampled_from(["guided", "unguided"]),
    bucket=st.sampled_from(["hard", "easy", "easier"]),
    actor=st.text(max_size=10),
    prompt_ids=st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=20).map(int32_bytes),
    rollouts=st.lists(rollouts(), min_size=1, max_size=4).map(tuple),
)


@given(groups)
@settings(max_examples=60)
def test_decode_inverts_encode(group: RolloutGroup) -> None:
    assert decode(encode(group), RolloutGroup) == group
    with_advantages = TrainGroup(rollout_group=group, advantages=float32_bytes(np.zeros(len(group.rollouts))))
    assert decode(encode(with_advantages), TrainGroup) == with_advantages


def test_arrays_are_little_endian_int32_and_float32() -> None:
    assert int32_bytes([1, 256]) == b"\x01\x00\x00\x00\x00\x01\x00\x00"
    assert int32_array(int32_bytes([7, -1])).tolist() == [7, -1]
    assert float32_bytes([1.0]) == b"\x00\x00\x80\x3f"
    assert float32_array(float32_bytes([-0.5])).tolist() == [-0.5]


def test_token_versions_follow_the_spans() -> None:
    two_versions = msgspec.structs.replace(completion(num_tokens=5), version_spans=((0, 41), (2, 42)))
    assert two_versions.token_versions().tolist() == [41, 41, 42, 42, 42]
    assert two_versions.oldest_version == 41


def test_a_group_takes_eight_bytes_a_token_and_little_more() -> None:
    # By hand: 4 B of id and 4 B of logprob per token; a span, three short strings and a reward per rollout.
    group = rollout_group(17, [1.0] + [0.0] * 7, num_tokens=4000)
    frame = encode(train_group(group))
    num_tokens = 8 * 4000
    assert 8 * num_tokens < len(frame) <= 8 * num_tokens + 1280
    assert len(frame) <= 12 * num_tokens + 1024


@given(st.data())
@settings(max_examples=150)
def test_a_flipped_byte_is_never_read_as_a_record(data: st.DataObject) -> None:
    frame = bytearray(encode(rollout_group()))
    position = data.draw(st.integers(0, len(frame) - 1))
    flip = data.draw(st.integers(1, 255))
    if position == 7:  # the padding byte of the header is not checked
        return
    frame[position] ^= flip
    with pytest.raises(RecordError):
        decode(bytes(frame), RolloutGroup)


@given(st.integers(0, 400))
@settings(max_examples=50)
def test_a_cut_or_extended_frame_is_refused(cut: int) -> None:
    frame = encode(rollout_group())
    with pytest.raises(RecordError):
        decode(frame[: min(cut, len(frame) - 1)], RolloutGroup)
    with pytest.raises(RecordError, match="header says"):
        decode(frame + b"\0" * (cut + 1), RolloutGroup)


@given(st.binary(max_size=200))
@settings(max_examples=100)
def test_arbitrary_bytes_raise_record_error_only(body: bytes) -> None:
    for frame in (body, reframed(body), reframed(body, kind=3)):
        with pytest.raises(RecordError):
            decode(frame, RolloutGroup)


def test_an_unknown_field_is_refused() -> None:
    body = msgspec.to_builtins(rollout_group(), builtin_types=(bytes,)) | {"surprise": 1}
    with pytest.raises(RecordError, match="surprise"):
        decode(reframed(wire(body)), RolloutGroup)


def test_a_group_of_an_older_version_was_sampled_uniformly() -> None:
    body = msgspec.to_builtins(rollout_group(), builtin_types=(bytes,))
    del body["sampling_share"]
    assert decode(reframed(wire(body)), RolloutGroup).sampling_share == 1.0


def test_another_schema_or_kind_is_refused() -> None:
    body = wire(rollout_group())
    with pytest.raises(RecordError, match=r"record of schema 1, this program reads schema 2: .* start a new run"):
        decode(reframed(body, schema=1), RolloutGroup)
    with pytest.raises(RecordError, match="expected TrainGroup"):
        decode(reframed(body), TrainGroup)
    with pytest.raises(RecordError, match="kind 9"):
        decode(reframed(body, kind=9), RolloutGroup)


def test_a_record_above_the_size_limit_is_refused_by_encode_and_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = encode(rollout_group())
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", len(frame) - 1)
    with pytest.raises(RecordError, match="limit"):
        encode(rollout_group())
    with pytest.raises(RecordError, match="limit"):
        decode(frame, RolloutGroup)


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (changed(rollout_group(), token_ids=b""), "token_ids"),
        (changed(rollout_group(), token_ids=b"\0" * 5, logprobs=b"\0" * 5), "token_ids"),
        (changed(rollout_group(), logprobs=float32_bytes([-1.0])), "one logprob a token"),
        (changed(rollout_group(), logprobs=float32_bytes([-1.0, np.nan, -1.0])), "logprob"),
        (changed(rollout_group(), logprobs=float32_bytes([-1.0, 0.5, -1.0])), "logprob"),
        (changed(rollout_group(), version_spans=()), "version_spans"),
        (changed(rollout_group(), version_spans=((1, 0),)), "version_spans"),
        (changed(rollout_group(), version_spans=((0, 0), (3, 1))), "version_spans"),
        (changed(rollout_group(), version_spans=((0, 2), (1, 1))), "go back"),
        (changed(rollout_group(), reward=None), "verifier failed"),
        (changed(rollout_group(), verdict="timeout"), "verifier failed"),
        (changed(rollout_group(), reward=float("inf")), "finite"),
        (changed(rollout_group(), verdict="maybe"), "Invalid enum value"),
        (changed(rollout_group(), off_policy=True), "an off-policy rollout has a reward, and neither"),
        (changed(rollout_group(oracle=True), **msgspec.structs.asdict(oracle_rollout())), "that was sampled"),
        (changed(rollout_group(), version_spans=((0, 2**31),)), "policy version 2147483648 is above"),
        (msgspec.structs.replace(rollout_group(version=3), prompt_version=4), "prompt_version 4 is outside 0 to 3"),
        (msgspec.structs.replace(rollout_group(), prompt_version=-1), "prompt_version -1"),
        (changed(rollout_group(), token_ids=int32_bytes([5, -1, 5])), "negative id"),
        (msgspec.structs.replace(rollout_group(), prompt_ids=int32_bytes([-7])), "negative id"),
        (msgspec.structs.replace(rollout_group(), group_id=-1), "group id -1"),
        (msgspec.structs.replace(rollout_group(), rollouts=()), "at least one rollout"),
        (msgspec.structs.replace(rollout_group(), prompt_ids=b"\0\0"), "prompt_ids"),
        (msgspec.structs.replace(rollout_group(), sampling_share=0.0), "sampling_share"),
    ],
)
def test_an_inconsistent_group_is_refused(broken: RolloutGroup, rule: str) -> None:
    with pytest.raises(RecordError, match=rule):
        decode(reframed(wire(broken)), RolloutGroup)


def test_advantages_must_match_the_rollouts_and_be_finite() -> None:
    group = rollout_group()
    for advantages in (float32_bytes([0.5]), float32_bytes([np.nan, 0.0])):
        with pytest.raises(RecordError, match="advantage"):
            encode(TrainGroup(rollout_group=group, advantages=advantages))


def test_reference_logprobs_must_match_the_tokens_and_be_logprobs() -> None:
    group = train_group(rollout_group(oracle=True))  # 3, 3 and 4 tokens
    right = tuple(float32_bytes([-0.5] * n) for n in (3, 3, 4))
    whole = msgspec.structs.replace(group, reference_logprobs=right)
    assert decode(encode(whole), TrainGroup) == whole
    for wrong in (right[:2], (right[0], right[1], right[1]), (right[0], right[1], float32_bytes([np.nan] * 4))):
        with pytest.raises(RecordError, match="logprob"):
            encode(msgspec.structs.replace(group, reference_logprobs=wrong))


def test_an_oracle_solution_is_no_rollout_of_the_policy() -> None:
    group = rollout_group(0, (0.0, None), version=5, oracle=True)
    assert decode(encode(group), RolloutGroup) == group
    assert (len(group.rollouts), len(group.policy_rollouts)) == (3, 2)
    assert (group.num_judged, group.num_successes, group.oldest_version, group.num_completion_tokens) == (1, 0, 5, 6)
    assert train_group(group).loss_weights().tolist() == [1.0, 0.0, 1.0]


def test_a_rollout_without_a_reward_has_loss_weight_zero() -> None:
    assert train_group(rollout_group(0, (1.0, None, 0.0))).loss_weights().tolist() == [1.0, 0.0, 1.0]


def test_an_announcement_is_decoded_completely() -> None:
    announcement = WeightAnnouncement(
        version=7, backend="nccl", tensors=(("w", "bfloat16", (2, 3)),), checksums={"w": "ab"}
    )
    assert decode(encode(announcement), WeightAnnouncement) == announcement
