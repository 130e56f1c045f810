"""Guidance that changes during training, on the embedded Redis: recorded with the assignment and repeatable."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count, pairwise

import msgspec
import pytest
import redis

from actors.problems.catalog import load_problems
from actors.problems.guidance import Prefixes, candidate_prefixes
from actors.problems.guidance_lengths import GuidanceLengths
from actors.problems.mixture import Mixture
from actors.problems.problem_order import AdaptiveProblems, UniformProblems
from actors.problems.recorded_mixture import RecordedMixture
from actors.problems.training_assignment import guidance_lengths, training_assignment
from broker.assignments import Assignments, Choice, GroupResult
from broker.errors import BrokerError
from broker.keys import Keys
from broker.ledger import Ledger
from broker.records import Assignment, Problem
from conf.schema import GuidanceSettings, ProblemSettings, RunConfig
from tests.broker.broker_parts import BrokerParts
from tests.groups import rollout_group, train_group

CHAINS = load_problems(ProblemSettings(num_hard=4, chain_steps=8), 0)
ARMS = {"unguided": 1, "guided": 1}
STAGED = GuidanceSettings(length="staged", shares=[0.5, 0.25, 0.0], schedule_groups=24)
INTERVAL = GuidanceSettings(length="adaptive", adapt_rule="interval")
RATIO = GuidanceSettings(length="adaptive", adapt_rule="ratio", shares=[0.5])


def digest(assignments: list[Assignment]) -> str:
    return hashlib.sha256(b"".join(map(msgspec.msgpack.encode, assignments))).hexdigest()


def lines(prefix: str | None) -> int:
    return len((prefix or "").splitlines())


@pytest.fixture
def actor(client: redis.Redis, keys: Keys) -> Callable[..., RecordedMixture]:
    """Starts one more actor of the run. Its clock passes a second between two reads of the ledger."""

    def start(guidance: GuidanceSettings, sampling: str = "uniform", problems=CHAINS, arms=ARMS) -> RecordedMixture:
        mixture, ticks = Mixture(problems, arms, 0), count()
        order = (
            UniformProblems(mixture)
            if sampling == "uniform"
            else AdaptiveProblems(mixture, ProblemSettings(sampling="adaptive"), group_size=2)
        )
        lengths = GuidanceLengths(problems, guidance, 0)
        recorded, ledger = Assignments(client, keys), Ledger(client, keys)
        return RecordedMixture(mixture, recorded, ledger, order, lengths, clock=lambda: float(next(ticks) // 2))

    return start


def train(parts: BrokerParts, mixture: RecordedMixture, groups: int, solved_lines: int) -> list[Assignment]:
    """Groups one after the other; a guided one is solved if its prefix has at least `solved_lines` lines."""
    assigned = []
    for _ in range(groups):
        token = f"a/{parts.client.incr('token')}"
        group_id = parts.claim(token)
        assert group_id is not None
        assignment = mixture.assignment(group_id)
        solved = assignment.arm == "guided" and lines(assignment.guidance) >= solved_lines
        group = rollout_group(
            group_id, (float(solved), float(solved)), arm=assignment.arm, problem_id=assignment.problem_id
        )
        assert parts.feed.publish(group_id, token, group)
        entry_id, group = parts.read_one()
        if group_id % 3:
            assert parts.ring.put(entry_id, train_group(group), step=group_id // 4)
        else:
            assert parts.ring.drop(entry_id, group, "zero_advantage", step=group_id // 4)
        assigned.append(assignment)
    return assigned


def test_the_prefixes_of_a_chain_are_its_first_lines_and_the_nearest_one_is_chosen() -> None:
    problem = CHAINS[0]
    prefixes = Prefixes.of(problem)
    texts = [prefixes.solution[:length] for length in prefixes.lengths]
    assert texts == ["", *candidate_prefixes(problem.solution, 64, problem.answer, problem.statement)]
    assert [lines(text) for text in texts] == list(range(8))
    assert [lines(prefixes.solution[: prefixes.nearest(share)]) for share in (0, 0.01, 0.5, 0.99, 1)] == [0, 0, 4, 7, 7]
    assert prefixes.nearest(1.0, at_most=prefixes.lengths[3]) == prefixes.lengths[3]


def test_no_share_shows_the_answer_and_a_problem_without_a_prefix_stays_unguided() -> None:
    def problem(solution: str | None, answer: str) -> Problem:
        return Problem(id="p", statement="?", answer=answer, bucket="hard", source="test", solution=solution)

    early = Prefixes.of(problem("We count. There are 14 ways. Add them. Check it. The answer is \\boxed{14}.", "14"))
    assert early.lengths == (0, len("We count."))
    assert {early.nearest(share / 100) for share in range(101)} == set(early.lengths)
    assert Prefixes.of(problem("There are 14 ways. So it is 14.", "14")).lengths == (0,)
    assert Prefixes.of(problem(None, "14")).nearest(1.0) == 0


def test_stages_change_the_prefix_and_neither_arms_nor_problems(actor) -> None:
    staged, uniform = actor(STAGED), Mixture(CHAINS, ARMS, 0)
    assigned = [staged.assignment(group_id) for group_id in range(30)]
    assert [msgspec.structs.replace(each, guidance=None) for each in assigned] == [
        uniform.assignment(group_id) for group_id in range(30)
    ]
    guided = [each for each in assigned if each.arm == "guided"]
    assert [lines(each.guidance) for each in guided] == [4] * 4 + [2] * 4 + [0] * 7
    solutions = {problem.id: problem.solution or "" for problem in CHAINS}
    assert all(solutions[each.problem_id].startswith(each.guidance or "") for each in guided)
    assert all(each.guidance is None for each in assigned if each.arm == "unguided")


def test_an_adaptive_length_follows_the_results_of_its_problem(client: redis.Redis, keys: Keys, actor) -> None:
    """Every problem needs three lines: shorter prefixes are followed by longer ones, and the others by shorter."""
    parts = BrokerParts(client, keys, capacity=10_000)
    assigned = train(parts, actor(INTERVAL), 120, solved_lines=3)
    choices = Assignments(client, keys).all()
    by_problem: dict[str, list[Choice]] = {}
    for assignment, choice in zip(assigned, choices, strict=True):
        if assignment.arm == "unguided":
            assert choice.guidance is None
            continue
        assert choice.guidance is not None
        assert len(assignment.guidance or "") == choice.guidance.chars
        by_problem.setdefault(assignment.problem_id, []).append(choice)
    longer, shorter = 0, 0
    for own in by_problem.values():
        assert own[0].guidance is not None
        assert own[0].guidance.after == ()
        for before, choice in pairwise(own):
            assert choice.guidance is not None
            assert before.guidance is not None
            (result,) = choice.guidance.after
            assert choices[result.group_id] == before, "the choice names the group whose result it used"
            longer += choice.guidance.share > before.guidance.share and not result.successes
            shorter += choice.guidance.share < before.guidance.share and bool(result.successes)
    assert longer + shorter == 60 - len(by_problem), "in every case"
    assert min(longer, shorter) > 10


@pytest.mark.parametrize("settings", [STAGED, INTERVAL, RATIO])
@pytest.mark.parametrize("sampling", ["uniform", "adaptive"])
def test_the_list_gives_the_same_assignments_after_a_restart_and_to_whoever_repeats_the_rule(
    client: redis.Redis, keys: Keys, actor, settings: GuidanceSettings, sampling: str
) -> None:
    parts = BrokerParts(client, keys, capacity=10_000)
    first = actor(settings, sampling)
    assigned = train(parts, first, 36, solved_lines=2)
    second = actor(settings, sampling)
    assert digest([second.assignment(n) for n in range(36)]) == digest(assigned)
    assigned += train(parts, actor(settings, sampling), 12, solved_lines=2)  # another actor continues
    assert digest([first.assignment(n) for n in range(48)]) == digest(assigned)
    assert [each.arm for each in assigned] == ["unguided", "guided"] * 24, "the mixture stays exact"
    again = GuidanceLengths(CHAINS, settings, 0)
    for group_id, choice in enumerate(Assignments(client, keys).all()):
        if choice.guidance is not None:
            assert again.choose(group_id, choice.problem_id, choice.guidance.after) == choice.guidance
            again.record(group_id, choice.problem_id, choice.guidance)


def test_a_group_that_is_issued_again_keeps_its_guidance_whatever_was_learned_since(
    client: redis.Redis, keys: Keys, actor
) -> None:
    parts, mixture = BrokerParts(client, keys, capacity=10_000), actor(INTERVAL)
    train(parts, mixture, 20, solved_lines=9)
    assert [parts.claim(f"lost/{n}") for n in range(2)] == [20, 21]
    before = [mixture.assignment(20), mixture.assignment(21)]
    train(parts, mixture, 40, solved_lines=0)
    assert parts.feed.release("lost") == 2
    assert parts.claim("next/0") == 20
    assert [actor(INTERVAL).assignment(20), mixture.assignment(21)] == before


def test_two_actors_that_choose_at_once_agree_on_the_guidance(client: redis.Redis, keys: Keys, actor) -> None:
    actors = [actor(INTERVAL), actor(INTERVAL)]
    with ThreadPoolExecutor(4) as pool:
        asked = [(mixture, group_id) for group_id in range(40) for mixture in actors]
        found = list(pool.map(lambda pair: pair[0].assignment(pair[1]), asked))
    assert found[::2] == found[1::2]
    assert len(Assignments(client, keys).all()) == 40


def test_results_that_arrive_together_are_used_once_and_in_their_order() -> None:
    lengths = GuidanceLengths(CHAINS, RATIO, 0)
    problem_id = CHAINS[0].id
    for group_id in (1, 3, 5):
        lengths.record(group_id, problem_id, lengths.choose(group_id, problem_id, ()))
    results = [GroupResult(5, 4, 8), GroupResult(1, 8, 8), GroupResult(77, 0, 8)]
    choice = lengths.choose(7, problem_id, results)
    assert choice.after == tuple(results[:2]), "group 77 is none of the problem"
    assert choice.share == round(0.5 * (4.5 / 9) / (8.5 / 9), 4)
    lengths.record(7, problem_id, choice)
    assert lengths.choose(9, problem_id, results).after == ()
    assert lengths.choose(9, problem_id, [*results, GroupResult(3, 0, 8)]).after == (GroupResult(3, 0, 8),)


def test_no_group_has_more_than_the_longest_prefix_that_fits_its_prompt() -> None:
    problem = CHAINS[0]
    two = "\n".join((problem.solution or "").splitlines()[:2])
    fixed = GuidanceSettings(length="fixed", shares=[1.0])
    lengths = GuidanceLengths([msgspec.structs.replace(problem, guidance=two)], fixed, 0)
    assert lengths.prefix(problem.id, lengths.choose(0, problem.id, ())) == two


def test_guided_groups_leave_out_problems_without_a_prefix(actor) -> None:
    bare = msgspec.structs.replace(CHAINS[0], guidance="")
    mixture = actor(STAGED, problems=[bare, *CHAINS[1:]])
    assigned = [mixture.assignment(n) for n in range(24)]
    assert {each.problem_id for each in assigned if each.arm == "guided"} == {problem.id for problem in CHAINS[1:]}


def test_the_setting_decides_whether_guidance_is_recorded(client: redis.Redis, keys: Keys) -> None:
    config = RunConfig()
    assert guidance_lengths(config, CHAINS) is None
    staged = replace(config, guidance=STAGED)
    assignment = training_assignment(staged, CHAINS, client, keys)
    assert lines(assignment(1).guidance) == 4
    assert [choice.guidance is None for choice in Assignments(client, keys).all()] == [True, False]


def test_a_recorded_problem_of_another_turn_is_refused(client: redis.Redis, keys: Keys, actor) -> None:
    Assignments(client, keys).append(0, [Choice("unknown", 1.0)])
    with pytest.raises(BrokerError, match="group 0 is assigned to unknown, which is no problem of its turn"):
        actor(STAGED).assignment(1)
