"""The results at the top of the page: a few sentences, and the numbers of each experiment. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from broker.ledger import LedgerRow
from deploy.report.draw_cost import THRESHOLD, Cost
from deploy.report.draw_transfer import transfer_of
from deploy.report.experiments import Experiment
from deploy.report.scores import HARD, Score, TableRow
from deploy.statistics.estimates import Estimate, over_seeds


@dataclass(frozen=True)
class Fact:
    """One number with its name; `note` gives its interval or its meaning."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Card:
    """Summary of one experiment."""

    label: str
    about: str
    state: str
    """Whether its runs have finished, and why they ended."""
    facts: tuple[Fact, ...]


def sentences(rows: Sequence[TableRow]) -> list[str]:
    """Which experiment solves most unguided at the smallest k, and which intervals overlap with its own.

    Only experiments with several seeds are compared: an interval over the problems of a single seed does not cover
    the variation between seeds.
    """
    ks = sorted({k for row in rows for name, k in row.scores if name == HARD})
    if not ks:
        return ["No run has measured its hard problems after training yet."]
    column = (HARD, ks[0])
    measured = [(row.label, row.scores[column]) for row in rows if column in row.scores]
    in_order = sorted(measured, key=lambda pair: -pair[1].estimate.mean)
    best, score = in_order[0]
    found = [f"{best} solves the most hard problems without guidance: pass@{ks[0]} {_percent(score)}."]
    ranked, estimate = [(label, other.estimate) for label, other in in_order], score.estimate
    compared = [(label, other) for label, other in ranked[1:] if other.seeds > 1 < estimate.seeds]
    below = [label for label, other in compared if _above(estimate, other)]
    overlapping = [label for label, other in compared if not _above(estimate, other)]
    single = [label for label, other in ranked if other.seeds == 1]
    if below:
        found.append(f"Its 95 % interval is above that of {', '.join(below)}.")
    if overlapping:
        found.append(
            f"Its 95 % interval overlaps with that of {', '.join(overlapping)}: these seeds do not separate them."
        )
    if single and len(ranked) > 1:
        found.append(f"Not compared (a single seed): {', '.join(single)}.")
    return found


def card(each: Experiment, found: Sequence[Score], cost: Cost) -> Card:
    """The numbers of one experiment; those that were not measured are left out."""
    states = {_state(run.over, str(run.summary.get("ended", ""))) for run in each.runs}
    mine = [s for s in found if s.experiment == each.label and s.problem_set == HARD and s.arm == "unguided"]
    stages = list(dict.fromkeys(s.stage for s in mine))
    facts = []
    for k in sorted({s.k for s in mine}):
        values = {s.stage: s for s in mine if s.k == k}
        ends = [values[stage] for stage in (stages[0], stages[-1]) if stage in values]
        shown = " → ".join(f"{100 * estimate.mean:.1f} %" for estimate in dict.fromkeys(s.estimate for s in ends))
        facts.append(Fact(f"unguided pass@{k}", shown, f"{stages[-1]}: {ends[-1].estimate.text} ({_method(ends[-1])})"))
    facts += _guidance(each) + _transfer(each)
    shares = [_solved(run.ledger, run.hard) for run in each.runs if run.ledger and run.hard]
    if shares:
        solved = over_seeds(shares, 0.0, 1.0)
        facts.append(Fact("solved in training", f"{solved.mean:.0%}", "of the hard problems, at least once unguided"))
    reached = sum(rollouts is not None for rollouts in cost.rollouts)
    facts.append(
        Fact(
            f"rollouts to {THRESHOLD:.0%} unguided",
            cost.median_text,
            f"median of seeds; {reached} of {len(cost.seeds)} reached it; each spent at least {min(cost.spent):,}",
        )
    )
    return Card(each.label, each.about, "; ".join(sorted(states)), tuple(facts))


def _guidance(each: Experiment) -> list[Fact]:
    """The hard problems by the kind of their guidance, over all seeds."""
    found = [kinds for run in each.runs if (kinds := run.summary.get("guidance"))]
    if not found:
        return []
    none, fallback, total = (sum(kinds[k] for kinds in found) for k in ("none", "fallback", "useful"))
    total += none + fallback + sum(kinds["given"] + kinds.get("by_share", 0) for kinds in found)
    about = f"hard problems; {fallback} get a random short one, {none} are trained unguided only"
    return [Fact("without a useful prefix", f"{fallback + none} of {total}", about)]


def _transfer(each: Experiment) -> list[Fact]:
    found = [t for run in each.runs if (t := transfer_of(run)) is not None]
    guided = sum(len(t.guided_first) for t in found)
    if not guided:
        return []
    since = sum(len(t.then_unguided) for t in found)
    return [Fact("carried over", f"{since} of {guided}", "problems first solved with guidance, later solved without")]


def _solved(ledger: Sequence[LedgerRow], hard: frozenset[str]) -> float:
    solved = {row.problem_id for row in ledger if row.arm == "unguided" and row.first_solve_step is not None}
    return len(solved & hard) / len(hard)


def _state(over: bool, ended: str) -> str:
    return ended or "ended" if over else "still running, or killed"


def _above(one: Estimate, other: Estimate) -> bool:
    """Whether both have intervals and that of `one` is above the other."""
    return one.lower is not None and other.upper is not None and one.lower > other.upper


def _percent(score: Score) -> str:
    return f"{score.estimate.text} % ({_method(score)})"


def _method(score: Score) -> str:
    """For example: t over seeds, 2 of 3 seeds."""
    return f"{score.estimate.method}, {score.partial}" if score.partial else score.estimate.method
