"""Evaluation: pass@k, unseen problems, evaluations during training."""

from collections.abc import Iterator

from conf.rules.problems import SOURCES
from conf.rules.rule import Rule, Violation
from conf.schema import RunConfig


def pass_at_k_can_be_estimated(config: RunConfig) -> Iterator[Violation]:
    ks, samples = config.evaluation.k, config.evaluation.samples
    if not ks or min(ks) < 1 or ks != sorted(set(ks)):
        yield ("evaluation.k",), f"evaluation.k={ks} must be ascending whole numbers from 1, such as [1, 8]"
    elif max(ks) > samples:
        yield ("evaluation.k", "evaluation.samples"), (
            f"evaluation.k={ks} contains {max(ks)}, and pass@{max(ks)} cannot be estimated from "
            f"evaluation.samples={samples}; raise evaluation.samples to {max(ks)}, or lower evaluation.k"
        )


def held_out_problems_can_be_made(config: RunConfig) -> Iterator[Violation]:
    held_out, source = config.evaluation.num_held_out, config.problems.source
    if held_out and source not in SOURCES:
        yield ("evaluation.num_held_out", "problems.source"), (
            f"evaluation.num_held_out={held_out} needs unseen problems, which problems.source={source[:80]} does not "
            f"have; set evaluation.num_held_out=0, or problems.source to one of {', '.join(SOURCES)}"
        )


def evaluations_can_run_during_training(config: RunConfig) -> Iterator[Violation]:
    evaluation, actors = config.evaluation, config.actors
    if evaluation.every_steps and config.weights.backend == "nccl":
        yield ("evaluation.every_steps", "weights.backend"), (
            f"evaluation.every_steps={evaluation.every_steps} needs an engine whose weights do not change while it "
            "samples a problem, and weights.backend=nccl cannot update engines one by one; set "
            "evaluation.every_steps=0 and run pope eval on the checkpoints"
        )
    if evaluation.every_steps and evaluation.every_samples > actors.max_num_seqs:
        yield ("evaluation.every_samples", "actors.max_num_seqs"), (
            f"evaluation.every_samples={evaluation.every_samples} is more than an engine decodes at the same time, "
            f"actors.max_num_seqs={actors.max_num_seqs}; lower the first to {actors.max_num_seqs} or less"
        )


RULES: tuple[Rule, ...] = (
    pass_at_k_can_be_estimated,
    held_out_problems_can_be_made,
    evaluations_can_run_during_training,
)
