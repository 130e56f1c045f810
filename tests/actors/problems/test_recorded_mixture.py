"""Recorded assignments on the embedded Redis: exact arms, one recorded choice a group, several actors."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.problems.mixture import Mixture
from actors.problems.problem_order import AdaptiveProblems
from actors.problems.recorded_mixture import RecordedMixture
from actors.problems.training_assignment import training_assignment
from broker.assignments import Assignments, Choice
from broker.errors import BrokerError
from broker.keys import Keys
from broker.ledger import Ledger
from broker.records import Problem
from conf.schema import ProblemSettings, RunConfig
from tests.broker.broker_parts import BrokerParts
from tests.groups import rollout_group, train_group

PROBLEMS = [
    Problem(id=f"{bucket} {i}", statement="x", answer="1", bucket=bucket, source="test")
    for bucket, count in (("hard", 6), ("easy", 3))
    for i in range(count)
]
ARMS = {"unguided": 1, "guided": 1}
Scene = Callable[..., RecordedMixture]


@pytest.fixture
def actor(client: redis.Redis, keys: Keys) -> Scene:
    """Starts one more actor of the run."""

    def start(arms: dict[str, int] = ARMS, floor: float = 0.25, clock: Callable[[], float] = lambda: 0.0):
        settings = ProblemSettings(sampling="adaptive", sampling_floor=floor)
        mixture, recorded, ledger = Mixture(PROBLEMS, arms, 0), Assignments(client, keys), Ledger(client, keys)
        problems = AdaptiveProblems(mixture, settings, group_size=2)
        return RecordedMixture(mixture, recorded, ledger, problems, clock=clock)

    return start


@settings(max_examples=10)
@given(
    weights=st.dictionaries(st.sampled_from(["unguided", "guided", "easy"]), st.integers(1, 4), min_size=1),
    order=st.permutations(range(24)),
)
def test_the_arms_are_those_of_the_uniform_mixture_whatever_is_asked_first(client, keys, actor, weights, order) -> None:
    client.delete(keys.assignments)
    mixture, uniform = actor(weights), Mixture(PROBLEMS, weights, 0)
    assigned = {group_id: mixture.assignment(group_id) for group_id in order}
    assert [assigned[n].arm for n in range(24)] == [uniform.assignment(n).arm for n in range(24)]
    assert all(assigned[n].problem_id.startswith("easy" if assigned[n].arm == "easy" else "hard") for n in range(24))


def test_without_outcomes_the_first_epoch_is_that_of_the_uniform_mixture(actor: Scene) -> None:
    adaptive, uniform = actor(), Mixture(PROBLEMS, ARMS, 0)
    assert [adaptive.assignment(n) for n in range(12)] == [uniform.assignment(n) for n in range(12)]


def test_the_same_group_has_the_same_problem_for_every_actor_and_after_a_restart(actor: Scene) -> None:
    first = actor()
    assigned = [first.assignment(n) for n in range(30)]
    second = actor()
    assert [second.assignment(n) for n in (29, 0, 7)] == [assigned[n] for n in (29, 0, 7)]
    assert [first.assignment(n) for n in range(30)] == assigned


def test_two_actors_that_choose_at_once_agree(client: redis.Redis, keys: Keys, actor: Scene) -> None:
    actors = [actor(), actor()]
    with ThreadPoolExecutor(8) as pool:
        asked = [(mixture, group_id) for group_id in range(60) for mixture in actors]
        found = list(pool.map(lambda pair: pair[0].assignment(pair[1]), asked))
    recorded = Assignments(client, keys).all()
    assert len(recorded) == 60
    for (_, group_id), assignment in zip(asked, found, strict=True):
        assert (assignment.problem_id, assignment.sampling_share) == (
            recorded[group_id].problem_id,
            recorded[group_id].share,
        )


def test_a_group_that_is_issued_again_keeps_its_problem(client: redis.Redis, keys: Keys, actor: Scene) -> None:
    parts, first = BrokerParts(client, keys), actor()
    assert [parts.claim(f"a/{n}") for n in range(3)] == [0, 1, 2]
    before = [first.assignment(n) for n in range(3)]
    assert parts.feed.release("a") == 3
    assert parts.claim("b/0") == 0
    assert [actor().assignment(n) for n in range(3)] == before


def test_no_problem_of_an_arm_is_in_flight_twice(client: redis.Redis, keys: Keys, actor: Scene) -> None:
    parts, mixture, flying = BrokerParts(client, keys), actor(), {}
    for n in range(60):
        group_id = parts.claim(f"a/{n}")
        assert group_id is not None
        assignment = mixture.assignment(group_id)
        assert (assignment.problem_id, assignment.arm) not in flying.values()
        flying[group_id] = assignment.problem_id, assignment.arm
        if len(flying) > 8:
            ended = min(flying, key=lambda other: (other * 7) % 11)
            assert parts.feed.fail(ended, f"a/{ended}", "prompt_too_long")
            del flying[ended]


def test_problems_whose_groups_have_a_gradient_are_drawn_more_often(
    client: redis.Redis, keys: Keys, actor: Scene
) -> None:
    """Two of six problems have mixed outcomes. The clock passes a second a group, so that the ledger is read again."""
    parts, times = BrokerParts(client, keys, capacity=400), iter(range(10_000))
    mixture = actor({"unguided": 1}, clock=lambda: next(times))
    drawn: Counter[str] = Counter()
    for n in range(72):
        assert parts.claim(f"a/{n}") == n
        assignment = mixture.assignment(n)
        drawn[assignment.problem_id] += 1
        mixed = assignment.problem_id in ("hard 1", "hard 4")
        rewards = (1.0, 0.0) if mixed else (0.0, 0.0)
        group = rollout_group(n, rewards, arm="unguided", problem_id=assignment.problem_id)
        assert parts.feed.publish(n, f"a/{n}", group)
        entry_id, group = parts.read_one()
        if mixed:
            assert parts.ring.put(entry_id, train_group(group), step=0)
        else:
            assert parts.ring.drop(entry_id, group, "zero_advantage", step=0)
    assert drawn["hard 1"] + drawn["hard 4"] > 36
    assert len(drawn) == 6
    shares = [choice.share for choice in Assignments(client, keys).all()]
    assert sum(1 / share for share in shares) == pytest.approx(72, rel=0.2)


def test_an_actor_notices_that_the_server_lost_its_last_second(client: redis.Redis, keys: Keys, actor: Scene) -> None:
    survivor, other = actor(), actor()
    for n in range(10):
        survivor.assignment(n)
    client.ltrim(keys.assignments, 0, 4)
    other_choices = [other.assignment(n) for n in range(12)]
    assert [survivor.assignment(n) for n in range(13)][:12] == other_choices
    client.delete(keys.assignments)
    assert survivor.assignment(0).problem_id == Mixture(PROBLEMS, ARMS, 0).assignment(0).problem_id
    assert len(Assignments(client, keys).all()) == 1


def test_the_setting_decides_and_only_adaptive_sampling_records(client: redis.Redis, keys: Keys) -> None:
    config = RunConfig()
    uniform = training_assignment(config, PROBLEMS, client, keys)
    assert [uniform(n) for n in range(40)] == [Mixture(PROBLEMS, ARMS, 0).assignment(n) for n in range(40)]
    assert client.exists(keys.assignments) == 0
    config = replace(config, problems=replace(config.problems, sampling="adaptive"))
    adaptive = training_assignment(config, PROBLEMS, client, keys)
    assert adaptive(3).problem_id == Assignments(client, keys).all()[3].problem_id


def test_a_recorded_problem_of_another_run_is_refused(client: redis.Redis, keys: Keys, actor: Scene) -> None:
    Assignments(client, keys).append(0, [Choice("unknown", 1.0)])
    with pytest.raises(BrokerError, match="group 0 is assigned to unknown, which is no problem of"):
        actor().assignment(1)
