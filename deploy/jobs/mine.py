"""`pope mine`: sorts problems into buckets by a model's solve rate, and searches guidance for the hard ones.

mined.jsonl       one record for each problem: bucket, successes, evidence, Wilson interval, lengths
chosen.jsonl      one record for each hard problem: its prefix i* and the reason (--guidance)
prefixes.jsonl    one record for each prefix that was sampled: rollouts and successes (--guidance)
problems.jsonl    the problems that have a bucket
provenance.json   the model and the prompts for which they have it, for `pope train --from FOLDER`
sampling/         every rollout
mining.png, summary.json
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
from rich.console import Console
from rich.table import Table

from actors.evaluation.evaluation_plan import without_solutions
from actors.problems.jsonl import write_lines, write_problems
from actors.problems.mining import MinedProblem, MiningPlan
from actors.problems.prefix_search import ChosenPrefix, PrefixTrial, count_kinds, describe_kinds
from broker.records import Bucket, Problem
from conf.schema import GuidanceSettings, RunConfig
from deploy.jobs.problems import load_all_buckets
from deploy.stages.guidance_search import choose_guidance
from deploy.stages.stage_sequence import Stages, open_stages
from deploy.store.provenance import save_provenance
from deploy.store.run_folder import RunFolder
from deploy.view.mining_figure import draw


@dataclass(frozen=True)
class MiningResult:
    """The result of a mining run."""

    problems: list[Problem]
    """The problems that have a bucket; with --guidance the hard ones have their guidance."""
    records: list[MinedProblem]
    failed: dict[str, str]
    """Problem id -> why it could not be sampled."""
    chosen: list[ChosenPrefix]
    trials: list[PrefixTrial]


def mine(config: RunConfig, console: Console, *, guidance: bool, fresh: bool) -> dict[str, Any]:
    """Mine the problems of the settings. Continues an interrupted run with the same settings, unless `fresh`.

    Returns the summary. Raises UsageError for invalid input and Interrupted when a signal ends it.
    """
    start = time.monotonic()
    problem_set = load_all_buckets(config)
    samplings = [config.mining_sampling, config.actors.sampling] if guidance else [config.mining_sampling]
    with open_stages(config, console, problem_set, samplings, fresh=fresh) as stages:
        problems = stages.fitting(problem_set, as_guidance=guidance)
        mined = _sort_into_buckets(stages, problems, config)
        if guidance:
            mined = _search_guidance(stages, mined, config.guidance, config.run.seed)
        summary = _summary(config, mined, stages.num_rollouts, time.monotonic() - start)
        _save(stages.folder, mined, summary)
        save_provenance(stages.folder, config, "mine")
        draw(stages.folder / "mining.png", mined.records, mined.chosen, mined.trials, config)
        _print(console, mined, summary, stages.folder)
    return summary


def _sort_into_buckets(stages: Stages, problems: Sequence[Problem], config: RunConfig) -> MiningResult:
    """Sample every problem until its bucket is certain."""
    sampled = without_solutions(problems)
    plan = MiningPlan(sampled, config.mining, config.run.seed)
    stages.run("sample problems", "mining", plan, sampled, source="mining", sampling=config.mining_sampling)
    records = plan.mined()
    bucket_of = {record.problem_id: record.bucket for record in records}
    with_bucket = [
        msgspec.structs.replace(problem, bucket=cast(Bucket, bucket))
        for problem in problems
        if (bucket := bucket_of.get(problem.id)) is not None
    ]
    return MiningResult(with_bucket, records, plan.failed, [], [])


def _search_guidance(stages: Stages, mined: MiningResult, settings: GuidanceSettings, seed: int) -> MiningResult:
    """Search a prefix for every hard problem that has a solution."""
    problems, search = choose_guidance(stages, mined.problems, settings, seed)
    return MiningResult(problems, mined.records, mined.failed, search.chosen(), search.trials())


def _summary(config: RunConfig, mined: MiningResult, num_rollouts: int, wall_s: float) -> dict[str, Any]:
    buckets = Counter(record.bucket or "none" for record in mined.records)
    hard_without_solution = sum(p.bucket == "hard" and not p.solution for p in mined.problems)
    return {
        "model": config.model.path,
        "source": config.problems.source,
        "sampling": asdict(config.mining_sampling),
        "problems": len(mined.records),
        "buckets": {name: buckets[name] for name in (*config.mining.buckets, "none") if buckets[name]},
        "not_sampled": dict(Counter(mined.failed.values())),
        "rollouts": num_rollouts,
        "samples": sum(record.samples for record in mined.records),
        "truncated": sum(record.truncated for record in mined.records),
        "unjudged": sum(record.unjudged for record in mined.records),
        "hard_without_solution": hard_without_solution,
        "prefixes_tried": len(mined.trials),
        "prefix_samples": sum(trial.samples for trial in mined.trials),
        "prefix_found": sum(choice.index is not None for choice in mined.chosen),
        "prefix_fallback": sum(choice.kind == "fallback" for choice in mined.chosen),
        "prefix_none": sum(choice.kind == "none" for choice in mined.chosen),
        "wall_s": round(wall_s, 1),
    }


def _save(folder: Path, mined: MiningResult, summary: dict[str, Any]) -> None:
    for name, records in (("mined", mined.records), ("chosen", mined.chosen), ("prefixes", mined.trials)):
        write_lines(folder / f"{name}.jsonl", [msgspec.json.encode(record) for record in records])
    write_problems(folder / "problems.jsonl", mined.problems)
    RunFolder(folder).save_json(folder / "summary.json", summary)


def _print(console: Console, mined: MiningResult, summary: dict[str, Any], folder: Path) -> None:
    table = Table(title="solve rates of the model on these problems", title_justify="left")
    for name in ("bucket", "problems", "solve rate", "samples per problem", "tokens per sample"):
        table.add_column(name, justify="left" if name == "bucket" else "right")
    for bucket in summary["buckets"]:
        records = [record for record in mined.records if (record.bucket or "none") == bucket]
        rates = [record.successes / record.evidence for record in records if record.evidence]
        tokens = sum(r.mean_completion_tokens * r.samples for r in records) / sum(r.samples for r in records)
        table.add_row(
            bucket,
            f"{len(records)}",
            f"{sum(rates) / len(rates):.1%}" if rates else "unknown",
            f"{sum(record.samples for record in records) / len(records):.0f}",
            f"{tokens:,.0f}",
        )
    console.print(table)
    facts = [f"{summary['rollouts']:,} rollouts in {summary['wall_s']:.0f} s"]
    if summary["truncated"] or summary["unjudged"]:
        facts.append(
            f"no evidence: {summary['truncated']} samples cut by the budget of "
            f"{summary['sampling']['max_completion_tokens']:,} tokens (mining.max_completion_tokens), "
            f"{summary['unjudged']} on which the verifier failed"
        )
    if summary["not_sampled"]:
        facts.append("not sampled: " + ", ".join(f"{n} {reason}" for reason, n in summary["not_sampled"].items()))
    hard = [problem for problem in mined.problems if problem.bucket == "hard"]
    if mined.chosen:
        facts.append(
            f"guidance: {describe_kinds(count_kinds(hard, mined.chosen))}; {summary['prefix_samples']:,} rollouts"
        )
    if summary["hard_without_solution"]:
        facts.append(f"{summary['hard_without_solution']} hard problems have no solution; pope oracle can request one")
    facts.append(f"train on them, with this model: pope train --from {folder}")
    for fact in facts:
        console.print(f"  {fact}", highlight=False, soft_wrap=True)
