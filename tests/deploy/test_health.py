from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.health import Event, Health, after

EVENTS = st.lists(st.sampled_from(get_args(Event)), max_size=30)
HEALTHS = st.sampled_from(get_args(Health))


def course(health: Health, *events: Event) -> list[Health]:
    """The states that the events lead through."""
    states = [health]
    for event in events:
        states.append(after(states[-1], event))
    return states


def test_the_whole_circle() -> None:
    circle = course("healthy", "late", "died", "restart", "up", "synced")
    assert circle == ["healthy", "suspect", "dead", "restarting", "stale", "healthy"]


def test_a_beat_clears_a_suspicion() -> None:
    assert course("healthy", "late", "late", "beat")[1:] == ["suspect", "suspect", "healthy"]


def test_a_start_that_fails_is_a_death() -> None:
    assert course("restarting", "died", "restart")[1:] == ["dead", "restarting"]


@pytest.mark.parametrize("health", get_args(Health))
@pytest.mark.parametrize("event", get_args(Event))
def test_every_event_in_every_state_leads_to_a_state(health: Health, event: Event) -> None:
    assert after(health, event) in get_args(Health)


@given(EVENTS, st.sampled_from(["dead", "restarting", "stale"]))
def test_only_a_sync_leads_back_to_trust(events: list[Event], health: Health) -> None:
    """From a death on, nothing but a sync that was completed since makes a role healthy or merely suspect."""
    for event in events:
        health = after(health, event)
        if health in ("healthy", "suspect"):
            assert event == "synced"
            return
        assert event != "synced" or health != "healthy"


@given(EVENTS, HEALTHS)
def test_a_sync_counts_only_when_the_process_came_up_before(events: list[Event], health: Health) -> None:
    states = course(health, "died", *events, "synced")
    since_death = events[::-1].index("died") if "died" in events else len(events)
    lives = [e for e in events[len(events) - since_death :] if e in ("restart", "up")]
    in_order = "restart" in lives and "up" in lives[lives.index("restart") :]
    assert (states[-1] == "healthy") == (in_order and states[-2] != "dead") or states[-2] == "suspect"
