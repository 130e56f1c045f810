"""Supervised fine-tuning: data and sizes."""

from collections.abc import Iterator

from conf.names import did_you_mean
from conf.rules.rule import Rule, Violation
from conf.schema import RunConfig

BUILDERS = ("none", "full_oracle", "guided_oracle", "prefix")


def sft_data_is_known(config: RunConfig) -> Iterator[Violation]:
    data = config.sft.data
    if data not in BUILDERS and not data.endswith(".jsonl"):
        yield ("sft.data",), (
            f"sft.data={data[:80]} is neither one of {', '.join(BUILDERS)} nor a file that ends in .jsonl"
            f"{did_you_mean(data, BUILDERS)}"
        )


def rows_hold_the_longest_demonstration(config: RunConfig) -> Iterator[Violation]:
    rows, longest = config.learner.row_tokens, config.sft.max_tokens
    if config.sft.enabled and rows < longest:
        yield ("sft.max_tokens", "learner.row_tokens"), (
            f"sft.max_tokens={longest} is more than learner.row_tokens={rows}, the size of a packed row; lower "
            f"the first to {rows} or raise the second to {longest}"
        )


def every_sft_rank_has_work(config: RunConfig) -> Iterator[Violation]:
    ranks, batch = config.sft.num_ranks, config.sft.batch_samples
    if ranks > batch:
        yield ("sft.num_ranks", "sft.batch_samples"), (
            f"sft.num_ranks={ranks} is more than the sft.batch_samples={batch} demonstrations of a step; "
            f"lower the first to {batch} or raise the second"
        )


def enough_completions_are_sampled(config: RunConfig) -> Iterator[Violation]:
    kept, sampled = config.sft.completions, config.sft.max_samples
    if kept > sampled:
        yield ("sft.completions", "sft.max_samples"), (
            f"sft.completions={kept} is more than sft.max_samples={sampled}, from which they are chosen; lower "
            f"the first to {sampled} or raise the second to {kept}"
        )


RULES: tuple[Rule, ...] = (
    sft_data_is_known,
    rows_hold_the_longest_demonstration,
    every_sft_rank_has_work,
    enough_completions_are_sampled,
)
