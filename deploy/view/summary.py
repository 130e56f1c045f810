"""The output of a finished run: summary.json, the closing table, the figure, and the newest rollouts."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from actors.evaluation.results import Result
from actors.problems.prefix_search import describe_kinds
from broker.reports import GroupEnd, LearnerStep, RoleTimes, WeightSync
from broker.rollout_samples import RolloutSamples
from conf.plain import plain_lines, plain_markdown
from conf.schema import RunConfig
from deploy.statistics.role_times import KindTimes, bottleneck, times_by_kind
from deploy.statistics.transfer import explain
from deploy.store.measurements import Measurement, mean_pass_at_k
from deploy.store.metric_files import read_reports
from deploy.store.run_folder import RunFolder
from deploy.store.run_state import RunState
from deploy.view.run_figure import draw

MAX_SAMPLE_CHARS = 2000
"""A rollout longer than this is cut in samples.md."""
MAX_HEADING_CHARS = 200


def summarise(
    config: RunConfig,
    state: RunState,
    measured: Measurement,
    evaluations: Mapping[int, Sequence[Result]],
    folder: RunFolder,
    *,
    reason: str,
    wall_s: float,
    train_s: float,
) -> dict[str, Any]:
    """The content of summary.json. Times are seconds, stalls milliseconds, lag optimizer steps."""
    balance, tokens = state.balance, state.balance.totals["completion_tokens"]
    steps = list(read_reports(folder.metrics, LearnerStep))
    trained = sum(step.tokens for step in steps)
    lag_sum = sum(step.lag_mean * step.tokens for step in steps)
    stalls_ms = [sync.stall_ms for sync in read_reports(folder.metrics, WeightSync)]
    stall_s = sum(stalls_ms) / 1e3
    transfer = state.transfer()
    times = times_by_kind(read_reports(folder.metrics, RoleTimes))
    return {
        "run": config.run.name,
        "seed": config.run.seed,
        "ended": reason,
        "steps": state.step,
        "wall_s": round(wall_s, 1),
        "train_s": round(train_s, 1),
        "tokens_per_s": round(tokens / train_s, 1) if train_s else 0.0,
        "trained_tokens_per_s": round(trained / train_s, 1) if train_s else 0.0,
        "lag_steps": {
            "mean": round(lag_sum / trained, 3) if trained else 0.0,
            "max": max((step.lag_max for step in steps), default=0),
        },
        "counters": {
            "issued": balance.issued,
            "trained": balance.trained,
            "filtered": balance.filtered,
            "replaced": balance.replaced,
            "stale": balance.stale,
            "failed": balance.failed,
            "in_flight": balance.in_flight,
            "balanced": balance.holds,
            **balance.totals,
        },
        "verdicts": dict(sorted(state.verdicts.items())),
        "sync": {
            "count": len(stalls_ms),
            "stall_share": round(stall_s / (train_s * config.actors.num_actors), 5) if train_s else 0.0,
            "stall_ms_p50": round(median(stalls_ms), 1) if stalls_ms else 0.0,
        },
        "times": {kind: asdict(found) for kind, found in times.items()},
        "bottleneck": bottleneck(times),
        "mfu": _utilization(steps),
        "multi_version_rollouts": state.multi_version_rollouts,
        "restarts": state.restarts,
        "notes": state.notes,
        "transfer": None if transfer is None else transfer.counts(),
        "evaluation_sampling": asdict(config.evaluation_sampling),
        "guidance": msgspec.json.decode(folder.guidance.read_bytes()) if folder.guidance.exists() else None,
        "hard": measured.all(config.evaluation.k),
        "evaluations": {
            str(step): mean_pass_at_k(results, (1, config.evaluation.every_samples))
            for step, results in evaluations.items()
            if results
        },
    }


def print_summary(console: Console, summary: Mapping[str, Any], folder: RunFolder) -> None:
    """Prints the closing table of a run."""
    table = Table(title=f"{summary['run']}: hard problems solved", title_justify="left")
    ks = sorted({k for arms in summary["hard"].values() for v in arms.values() for k in v}, key=lambda k: int(k[5:]))
    table.add_column("arm")
    for when in summary["hard"]:
        for k in ks:
            table.add_column(f"{when.replace('_', ' ')} {k}", justify="right")
    for arm in dict.fromkeys(arm for arms in summary["hard"].values() for arm in arms):
        values = [arms.get(arm, {}).get(k) for arms in summary["hard"].values() for k in ks]
        table.add_row(arm, *("" if value is None else f"{value:.1%}" for value in values))
    console.print(table)
    if summary["times"]:
        console.print(times_table({kind: KindTimes(**found) for kind, found in summary["times"].items()}))
    counters, sync = summary["counters"], summary["sync"]
    untrained = {name: counters[name] for name in ("filtered", "replaced", "stale", "failed", "in_flight")}
    sums = {name: sum(v.values()) if isinstance(v, dict) else v for name, v in untrained.items()}
    facts = [
        f"{summary['steps']} steps in {summary['train_s']:.0f} s ({summary['ended']}), "
        f"{summary['tokens_per_s']:,.0f} tokens/s generated",
        f"groups: {counters['issued']} issued = {counters['trained']} trained + "
        + " + ".join(f"{count} {name.replace('_', ' ')}" for name, count in sums.items())
        + ("" if counters["balanced"] else "  (THE BALANCE DOES NOT HOLD)"),
        f"lag: mean {summary['lag_steps']['mean']:.2f}, max {summary['lag_steps']['max']} steps; "
        f"{summary['multi_version_rollouts']} rollouts with tokens of several policy versions",
        f"weight sync: {sync['count']} times, median stall {sync['stall_ms_p50']:.0f} ms, "
        f"{sync['stall_share']:.1%} of generation time",
    ]
    if summary["mfu"] is not None:
        facts.append(f"learner: {summary['mfu']:.1%} of the measured peak in its steps (MFU)")
    if summary["bottleneck"]:
        facts.append(f"bottleneck: {summary['bottleneck']}")
    if kinds := summary["guidance"]:
        facts.append(f"guidance: {describe_kinds(kinds)}")
    if summary["transfer"] is not None:
        facts.append(explain(summary["transfer"]))
    for fact in facts:
        console.print(f"  {fact}", highlight=False)
    for note in summary["notes"]:
        console.print(f"  note: {note}", highlight=False, markup=False)
    console.print(f"  everything is in {folder.path}", highlight=False)


def times_table(times: Mapping[str, KindTimes]) -> Table:
    """Where the time of each kind of role went."""
    table = Table(title="where the time went", title_justify="left")
    table.add_column("role")
    table.add_column("time", justify="right")
    table.add_column("share of it")
    table.add_column("memory", justify="right")
    for kind, found in times.items():
        table.add_row(kind, f"{found.wall_s:,.0f} s", found.described(kind), f"{found.memory_mib:,.0f} MiB")
    return table


def draw_figure(
    config: RunConfig,
    state: RunState,
    measured: Measurement,
    evaluations: Mapping[int, Sequence[Result]],
    folder: RunFolder,
) -> None:
    """Saves the figure of a run."""
    title = f"{config.run.name} · seed {config.run.seed} · {state.step} optimizer steps · {state.balance.issued} groups"
    draw(
        folder.figure,
        title=title,
        learner=list(read_reports(folder.metrics, LearnerStep)),
        solved=state.solved,
        success=_success_by_step(read_reports(folder.metrics, GroupEnd)),
        evaluated=[
            (step, share) for step, results in evaluations.items() for share in mean_pass_at_k(results, [1]).values()
        ],
        measured=measured.all(config.evaluation.k),
    )


def _utilization(steps: Sequence[LearnerStep]) -> float | None:
    """Mean MFU of the steps that have one, weighted by their seconds."""
    known = [(step.mfu, step.seconds) for step in steps if step.mfu is not None]
    seconds = sum(s for _, s in known)
    return round(sum(mfu * s for mfu, s in known) / seconds, 4) if seconds else None


def save_samples(samples: RolloutSamples, path: Path) -> None:
    """Writes the newest rollouts as Markdown."""
    path.write_text(_readable(list(reversed(samples.newest(100)))))


def _success_by_step(groups: Iterable[GroupEnd]) -> dict[str, list[tuple[int, float]]]:
    """Arm -> (policy version when preprocessed, mean reward of the groups judged at that version, by their weights)."""
    groups_of: dict[str, dict[int, list[GroupEnd]]] = defaultdict(lambda: defaultdict(list))
    for group in groups:
        if group.judged:
            groups_of[group.arm][group.step].append(group)
    return {
        arm: [
            (step, float(np.average([g.successes / g.judged for g in of_step], weights=[g.weight for g in of_step])))
            for step, of_step in sorted(steps.items())
        ]
        for arm, steps in groups_of.items()
    }


def _readable(samples: Sequence[Mapping[str, str]]) -> str:
    """Markdown. Model output is indented as code and cut; its control characters are shown as text."""
    parts = ["# Rollouts of this run, oldest first\n"]
    for sample in samples:
        words = (sample["problem"], sample["arm"], sample["verdict"], f"weights {sample['version']}")
        heading = " · ".join(plain_markdown(word, MAX_HEADING_CHARS) for word in words)
        parts.append(f"\n## {heading}\n\n{_indented(sample['prompt'])}\n\n{_indented(sample['completion'])}\n")
    return "".join(parts)


def _indented(text: str) -> str:
    shown = plain_lines(text, MAX_SAMPLE_CHARS)
    return "\n".join("    " + line for line in shown.split("\n")) if shown else "    (empty)"


def save_balance(state: RunState, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(asdict(state.balance)), indent=2) + b"\n")
