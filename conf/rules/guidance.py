"""Guidance: what the lengths need."""

from collections.abc import Iterator

from conf.rules.rule import Rule, Violation
from conf.schema import RunConfig

SCHEDULED = ("staged", "annealed")


def shares_are_shares(config: RunConfig) -> Iterator[Violation]:
    shares = config.guidance.shares
    if not shares or not all(0 <= share <= 1 for share in shares):
        yield ("guidance.shares",), (
            f"guidance.shares={str(shares)[:80]} must be shares of the solution from 0 to 1, at least one, such as "
            "[0.5, 0.25, 0.0]"
        )


def shares_fit_the_length(config: RunConfig) -> Iterator[Violation]:
    length, shares = config.guidance.length, config.guidance.shares
    keys, value = ("guidance.shares", "guidance.length"), f"guidance.shares={str(shares)[:80]}"
    if length == "annealed" and len(shares) != 2:
        yield keys, (
            f"{value} must be [first, last] with guidance.length=annealed, whose probability falls from the first to "
            "the last; give two, such as [0.95, 0.05]"
        )
    if length == "staged" and len(shares) < 2:
        yield keys, f"{value} is one stage; give one share for each stage, or set guidance.length=fixed"
    if length in ("fixed", *SCHEDULED) and not any(shares):
        yield keys, f"{value} makes every guided prompt the unguided one; give a share above 0, such as [0.5]"
    if length == "adaptive" and config.guidance.adapt_rule == "ratio" and shares[0] == 0:
        yield keys, (
            f"{value} begins with 0, and guidance.adapt_rule=ratio changes a share by factors; begin with more, such "
            "as [1.0]"
        )


def a_schedule_has_an_end(config: RunConfig) -> Iterator[Violation]:
    if config.guidance.length in SCHEDULED and config.guidance.schedule_groups is None:
        budget = config.run.max_groups
        yield ("guidance.schedule_groups", "guidance.length"), (
            f"guidance.length={config.guidance.length} needs guidance.schedule_groups, the issued groups after which "
            f"its schedule is over; set it to {'2000, for example' if budget is None else f'run.max_groups={budget}'}"
        )


def a_changing_length_has_a_guided_arm(config: RunConfig) -> Iterator[Violation]:
    if config.guidance.by_share and not config.problems.arms.get("guided"):
        yield ("guidance.length", "problems.arms"), (
            f"guidance.length={config.guidance.length} chooses the prefixes of guided groups, and problems.arms draws "
            "none; set problems.arms.guided=1, or guidance.length=shortest_useful"
        )


def demonstrations_have_a_searched_prefix(config: RunConfig) -> Iterator[Violation]:
    if config.guidance.by_share and config.sft.data == "prefix":
        yield ("guidance.length", "sft.data"), (
            f"sft.data=prefix needs the prefix that a search before training finds, and "
            f"guidance.length={config.guidance.length} searches none; set guidance.length=shortest_useful, or "
            "sft.data=full_oracle"
        )


RULES: tuple[Rule, ...] = (
    shares_are_shares,
    shares_fit_the_length,
    a_schedule_has_an_end,
    a_changing_length_has_a_guided_arm,
    demonstrations_have_a_searched_prefix,
)
