"""The state machine of a role's health."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.cluster.health import Event, Health, after

EVENTS = st.lists(st.sampled_from(get_args(Event)), max_size=30)


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


@given(EVENTS)
def test_after_a_death_only_restart_up_and_sync_in_this_order_lead_back_to_trust(events: list[Event]) -> None:
    lacking = way = ["restart", "up", "synced"]
    health: Health = "dead"
    for event in events:
        health = after(health, event)
        if event == "died":
            lacking = way
        elif lacking and event == lacking[0]:
            lacking = lacking[1:]
        assert (health in ("healthy", "suspect")) == (not lacking)
