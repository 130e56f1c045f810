"""The wire form of every kind of report, field by field, and the way back."""

import json

import msgspec
import pytest

from broker.reports import (
    KINDS,
    LEVELS,
    PLACES,
    ActorOutput,
    DriverNote,
    GroupEnd,
    Heartbeat,
    LearnerStep,
    PreprocessWork,
    Report,
    RoleTimes,
    SftStep,
    WeightSync,
    as_text,
    from_fields,
    has_kind,
    success_rate,
    to_fields,
)
from tests.reports import ended

STEP = {
    "step": "7", "loss/mean": "-0.01", "grad/norm": "inf", "step/applied": "0", "step/seconds": "0.5",
    "step/tokens": "3000", "step/samples": "64", "step/untrained_samples": "1", "step/tokens_per_s": "6000.0",
    "learning_rate/value": "1e-06", "ratio/ess": "0.97", "ratio/clip_share": "0.0", "ratio/mean": "1.0",
    "ratio/max": "1.4", "logprob/rms": "0.02", "entropy/mean": "0.1", "lag/mean": "1.25", "lag/max": "2",
    "lag/histogram": "0:1000 2:2000", "completion/tokens_mean": "46.875", "packing/fill": "0.9",
}  # fmt: skip
WIRE: dict[type[Report], dict[str, str]] = {
    LearnerStep: STEP
    | {
        "ratio/ess_corrected": "0.99", "logprob/rms_lag0": "1e-05",
        "kl/mean": "0.001", "reward/guided/mean": "0.5", "share/advantage/hard/guided": "1.0",
        "share/tokens/hard/guided": "0.75", "share/tokens/easy/easy": "0.25", "gradient/norm/hard/guided": "2.0",
        "gradient/cosine/easy/hard": "-0.5", "gradient/cosine/easy/easy/hard/guided": "-0.5",
        "reward/change/hard/guided": "0.01", "publish/seconds": "0.2", "checkpoint/step": "-1",
        "checkpoint/failures": "0", "watchdog/reasons": "effective sample size 0.20 below 0.3",
        "watchdog/rolled_back_to": "5", "step/mfu": "0.25",
    },
    WeightSync: {
        "actor": "actor-0", "sync/version": "7", "sync/stall_ms": "80.5", "sync/in_flight_groups": "5",
        "sync/canary_mismatches": "0",
    },
    ActorOutput: {
        "actor": "actor-0", "version": "7", "groups": "2", "tokens": "900", "verdict/correct": "3",
        "verdict/no_answer": "13", "truncated": "1", "multi_version_rollouts": "4",
    },
    GroupEnd: {
        "ordinal": "17", "problem_id": "p/0|x", "arm": "guided", "bucket": "hard", "actor": "actor-0",
        "outcome": "kept", "step": "7", "oldest_version": "5", "rollouts": "8", "judged": "7", "reward_sum": "3.0",
        "successes": "3", "prompt_tokens": "80", "completion_tokens": "320", "cut_off": "1", "verdict.correct": "3",
        "verdict.timeout": "1", "sampling_share": "0.25", "guidance_chars": "212",
    },
    PreprocessWork: {
        "worker": "preprocess-0", "step": "7", "preprocess/ring/occupancy": "48", "preprocess/stream/depth": "2",
        "preprocess/groups/seen": "3", "preprocess/groups/errors": "1", "preprocess/groups/kept": "2",
        "preprocess/groups/unreadable": "1", "preprocess/guided/groups": "2", "preprocess/guided/rollouts": "16",
        "preprocess/guided/judged": "16", "preprocess/guided/reward_mean": "0.5",
        "preprocess/guided/success_rate": "0.5",
    },
    SftStep: {
        "step": "7", "epoch": "2", "loss/mean": "1.5", "entropy/mean": "0.7", "grad/norm": "0.3",
        "learning_rate/value": "0.0001", "step/applied": "1", "step/samples": "8", "step/tokens": "400",
        "step/seconds": "0.5", "packing/fill": "0.9",
    },
    RoleTimes: {
        "role": "actor-0", "times/wall_s": "2.0", "times/seconds/work": "0.5", "times/seconds/wait_lag": "1.5",
        "memory/resident_mib": "2844.2",
    },
    DriverNote: {"note": "the arm guided is silent", "alert": "arm guided", "raised": "1"},
}  # fmt: skip
"""One example a kind, as any Redis client reads it."""


def test_a_success_rate_counts_a_group_by_the_inverse_of_its_sampling_share() -> None:
    """A problem drawn four times as often counts as much as one drawn as under uniform sampling."""
    groups = [ended(successes=4, judged=8, sampling_share=4.0) for _ in range(4)] + [ended(successes=0, judged=8)]
    assert [group.weight for group in groups] == [0.25] * 4 + [1.0]
    assert success_rate(groups) == 0.25
    assert success_rate([ended(judged=0)]) == 0.0


def test_every_kind_has_an_example() -> None:
    assert WIRE.keys() == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_wire_form_is_this_one_and_comes_back(kind: type[Report]) -> None:
    entry = {"id": "1700000000123-4", **WIRE[kind]}
    report = from_fields(kind, entry)
    assert as_text(report) == entry
    assert from_fields(kind, to_fields(report)) == msgspec.structs.replace(report, id="")
    assert report.unix_s == 1_700_000_000.123


@pytest.mark.parametrize("kind", KINDS)
def test_the_kinds_of_a_room_are_told_apart(kind: type[Report]) -> None:
    assert [other for other in KINDS if other.room == kind.room and has_kind(other, WIRE[kind])] == [kind]


def test_numbers_mappings_and_truth_values_are_typed() -> None:
    step = from_fields(LearnerStep, WIRE[LearnerStep])
    assert (step.applied, step.grad_norm, step.lag_histogram) == (False, float("inf"), {0: 1000, 2: 2000})
    assert (step.reward_mean, step.reward_change) == ({"guided": 0.5}, {"hard/guided": 0.01})
    assert step.gradient_cosine == {"easy/hard": -0.5, "easy/easy/hard/guided": -0.5}
    work = from_fields(PreprocessWork, WIRE[PreprocessWork])
    assert (work.outcomes, work.errors, work.groups) == ({"kept": 2, "unreadable": 1}, 1, {"guided": 2})


def test_what_is_optional_stays_absent() -> None:
    step = from_fields(LearnerStep, STEP)
    assert (step.kl, step.checkpoint_step, step.advantage_share) == (None, None, {})
    assert to_fields(step).keys() == STEP.keys()
    assert to_fields(DriverNote(note="x")) == {"note": "x"}


def test_fields_of_a_newer_version_are_ignored() -> None:
    newer = STEP | {"ratio/median": "1", "entropy": "9", "note": "x"}
    assert from_fields(LearnerStep, newer) == from_fields(LearnerStep, STEP)


@pytest.mark.parametrize("broken", [{"entropy/mean": "high"}, {"lag/max": "1.5"}, {"lag/histogram": "a:b"}])
def test_a_field_that_is_no_number_is_refused(broken: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        from_fields(LearnerStep, STEP | broken)
    lacking = {name: value for name, value in STEP.items() if name != "entropy/mean"}
    assert not has_kind(LearnerStep, lacking)
    with pytest.raises(msgspec.ValidationError, match="entropy"):
        from_fields(LearnerStep, lacking)


def test_a_file_of_json_lines_reads_like_a_stream() -> None:
    """Numbers may be numbers, as in the steps of a replay."""
    step = from_fields(LearnerStep, STEP | {"grad/norm": "0.3"})
    assert from_fields(LearnerStep, json.loads(json.dumps(to_fields(step)))) == step


def test_a_heartbeat_is_a_time_and_a_status() -> None:
    assert Heartbeat.decode("1700000000123 waiting for groups") == Heartbeat(1_700_000_000.123, "waiting for groups")


def test_places_and_levels_are_names_of_reports() -> None:
    names = {field.encode_name for kind in KINDS for field in msgspec.structs.fields(kind)}
    assert {*PLACES, *LEVELS} <= names
