"""Seconds by phase, under a clock that the test moves."""

import os
import subprocess
import sys

import pytest

from broker.reports import RoleTimes, from_fields, to_fields
from broker.resident_memory import ResidentMemory, family
from broker.role_clock import REPORT_EVERY_S, RoleClock


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.at_s = 100.0

    def __call__(self) -> float:
        return self.at_s


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def clock(hand: Hand) -> RoleClock:
    return RoleClock("learner-0", now=hand)


def test_the_phases_of_a_role_sum_to_its_wall_time(clock: RoleClock, hand: Hand) -> None:
    hand.at_s += 1.0
    clock.enter("work")
    hand.at_s += 2.0
    clock.enter("optimizer")
    hand.at_s += 0.5
    clock.enter("other")
    hand.at_s += 0.25
    report = clock.report()
    assert report.seconds == {"other": 1.25, "work": 2.0, "optimizer": 0.5}
    assert report.wall_s == 3.75
    assert (report.role, report.kind) == ("learner-0", "learner")


def test_a_report_counts_from_the_last_one_and_the_phase_goes_on(clock: RoleClock, hand: Hand) -> None:
    clock.enter("wait_input")
    hand.at_s += REPORT_EVERY_S - 0.5
    assert not clock.due
    hand.at_s += 0.5
    assert clock.due
    assert clock.report().seconds == {"wait_input": REPORT_EVERY_S}
    assert not clock.due
    hand.at_s += 1.0
    assert clock.report().seconds == {"wait_input": 1.0}
    hand.at_s += 7.0
    clock.restart()
    assert clock.report().seconds == {}


def test_an_engine_is_in_several_phases_by_its_room_for_groups(clock: RoleClock, hand: Hand) -> None:
    clock.share({"work": 0.5, "wait_lag": 0.25})
    hand.at_s += 8.0
    assert clock.report().seconds == {"work": 4.0, "wait_lag": 2.0, "other": 2.0}


def test_a_pause_takes_the_whole_role_and_ends_in_what_was_entered_meanwhile(clock: RoleClock, hand: Hand) -> None:
    clock.share({"work": 1.0})
    with clock.within("weights"):
        hand.at_s += 1.0
        clock.share({"wait_lag": 1.0})
        hand.at_s += 2.0
    hand.at_s += 4.0
    assert clock.report().seconds == {"weights": 3.0, "wait_lag": 4.0}


def test_a_report_crosses_the_wire_with_its_phases(clock: RoleClock, hand: Hand) -> None:
    clock.enter("work")
    hand.at_s += 2.0
    report = clock.report()
    assert report.memory_mib > 1
    assert from_fields(RoleTimes, to_fields(report)) == report


def test_memory_counts_child_processes() -> None:
    code = "import sys; kept = bytes(64 << 20); print('ready', flush=True); sys.stdin.read()"
    alone = ResidentMemory().mib()
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in family(os.getpid())
        both = ResidentMemory()
        assert both.mib() > alone + 5  # the zeros of the 64 MiB were never written
        assert child.stdin is not None
        child.stdin.close()
    assert both.mib() < alone + 60  # ended: counts nothing
