"""Requests to an endpoint as a table: answers by verdict, failures by name, tokens, cost."""

from rich.table import Table

from actors.problems.oracle.request_counts import RequestCounts
from conf.schema import OracleSettings


def request_table(
    title: str, settings: OracleSettings, this_run: RequestCounts, all_runs: RequestCounts, wall_s: float
) -> Table:
    """One column for this run, one for all runs of the same log. `settings`: the prices."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("this run", justify="right")
    table.add_column("all runs", justify="right")
    columns = (_rows(this_run, settings), _rows(all_runs, settings))
    for name in columns[1]:  # all runs have every name of this run
        table.add_row(name, *(rows.get(name, "0") for rows in columns))
    table.add_row("wall time", f"{wall_s:.1f} s", "")
    return table


def _rows(counts: RequestCounts, settings: OracleSettings) -> dict[str, str]:
    share = f" ({len(counts.accepted) / len(counts.requested):.0%})" if counts.requested else ""
    rejected = {f"rejected: {name}": count for name, count in sorted(counts.verdicts.items()) if name != "correct"}
    failed = {f"failed: {name}": count for name, count in sorted(counts.errors.items())}
    priced = settings.prompt_price or settings.completion_price
    return {
        "problems asked": f"{len(counts.requested):,}",
        "accepted": f"{len(counts.accepted):,}{share}",
        "requests": f"{counts.requests:,}",
        "including retries": f"{counts.retries:,}",
        "answers": f"{counts.answers:,}",
        **{name: f"{count:,}" for name, count in {**rejected, **failed}.items()},
        "prompt tokens": f"{counts.prompt_tokens:,}",
        "completion tokens": f"{counts.completion_tokens:,}",
        "answers without token counts": f"{counts.without_usage:,}",
        "cost": f"{counts.cost(settings):,.4f}" if priced else "no price set",
    }
