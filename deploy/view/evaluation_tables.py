"""Evaluations as Markdown tables, in the layout of the paper's table 2, and as JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from actors.evaluation.results import VERDICTS, EvaluationReport, Score, SetReport
from broker.errors import UsageError
from conf.plain import plain_markdown

SCHEMA = 1
NOT_MEASURED = "–"  # noqa: RUF001 - an en dash is as wide as a digit
SAMPLED_DIFFERENTLY = "**The rows were sampled differently and do not compare.**"


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of one JSON file."""

    schema: int
    reports: tuple[EvaluationReport, ...]


def to_json(reports: Sequence[EvaluationReport]) -> bytes:
    """The reports with the result of every problem; `read_reports` reads them back."""
    document = _Document(schema=SCHEMA, reports=tuple(reports))
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def read_reports(paths: Sequence[Path]) -> list[EvaluationReport]:
    """The reports of several files, in order, as the rows of one table.

    Reports with the same label make one row, so that a checkpoint can be measured on one problem set at a time.
    Raises UsageError for a file that cannot be read, and when two files have the same set under the same label.
    """
    rows: dict[str, EvaluationReport] = {}
    sources: dict[tuple[str, str], Path] = {}
    for path in paths:
        for report in _read(path):
            for each in report.sets:
                if earlier := sources.get((report.label, each.name)):
                    raise UsageError(
                        f"{path}: {each.name} of {report.label!r} is already in {earlier}; leave out one of the files, "
                        "or evaluate again under another label"
                    )
                sources[report.label, each.name] = path
            row = rows.get(report.label)
            rows[report.label] = report if row is None else _with_sets_of(row, report, path)
    return list(rows.values())


def to_markdown(reports: Sequence[EvaluationReport]) -> str:
    """The table of the paper, and a second one with the details it leaves out."""
    return f"{main_table(reports)}\n{detail_table(reports)}"


def main_table(reports: Sequence[EvaluationReport]) -> str:
    """One row per checkpoint, one column per problem set and k. Percent with two decimals.

    Rows that were sampled differently are marked: the table then says how each was, and that they do not compare.
    """
    sets = _set_names(reports)
    columns = [(name, k) for name in sets for k in _ks(reports, name)]
    differ = len({report.sampling for report in reports}) > 1
    rows = []
    for report in reports:
        measured = {each.name: each for each in report.sets}
        cells = [_percent(_score(measured, name, k)) for name, k in columns]
        rows.append([report.label, *([_sampled(report)] if differ else []), *cells])
    header = ["run", *(["sampling"] if differ else []), *(f"{name} pass@{k}" for name, k in columns)]
    return markdown(header, rows) + (f"\n{SAMPLED_DIFFERENTLY}\n" if differ else "")


def detail_table(reports: Sequence[EvaluationReport]) -> str:
    """One row per checkpoint and problem set: intervals, truncation, verdicts and tokens.

    Shares are percent: of problems for pass@k, of samples for the rest.
    """
    ks = sorted({k for name in _set_names(reports) for k in _ks(reports, name)})
    header = ["run", "set", "sampling", "weights", "problems", "samples per problem", *(f"pass@{k}" for k in ks)]
    header += ["truncated", *VERDICTS, "tokens per completion", "longest"]
    rows = []
    for report in reports:
        for each in report.sets:
            rows.append(
                [
                    report.label,
                    each.name,
                    _sampled(report),
                    _range([result.policy_version for result in each.results]),
                    str(len(each.results)),
                    _range([result.samples for result in each.results]),
                    *(_with_interval(each.score(k), len(each.results)) for k in ks),
                    f"{100 * each.truncated / each.samples:.2f}",
                    *(f"{100 * each.verdicts.get(verdict, 0) / each.samples:.2f}" for verdict in VERDICTS),
                    f"{each.completion_tokens / each.samples:.1f}",
                    str(each.longest_completion_tokens),
                ]
            )
    levels = ", ".join(sorted({f"{100 * report.confidence:g} %" for report in reports}))
    note = (
        f"In percent. Brackets: {levels} bootstrap interval for the mean over the population of problems. "
        "Samples whose verifier failed (timeout, crash) are not counted as attempts."
    )
    return f"{markdown(header, rows)}\n{note}\n"


def _read(path: Path) -> tuple[EvaluationReport, ...]:
    try:
        document = msgspec.json.decode(path.read_bytes(), type=_Document)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name a report.json of pope eval") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a report of an evaluation: {error}") from error
    if document.schema != SCHEMA:
        raise UsageError(f"{path} has schema {document.schema}, but this version reads {SCHEMA}; evaluate again")
    return document.reports


def _with_sets_of(row: EvaluationReport, more: EvaluationReport, path: Path) -> EvaluationReport:
    if more.confidence != row.confidence:
        raise UsageError(
            f"{path}: {more.label!r} has intervals of confidence {more.confidence:g}, the files before it of "
            f"{row.confidence:g}; evaluate it again with the same confidence"
        )
    if more.sampling != row.sampling:
        raise UsageError(
            f"{path}: {more.label!r} was sampled with {_sampled(more)}, in the files before it with {_sampled(row)}; "
            "evaluate it again in the same way, or under another label"
        )
    return msgspec.structs.replace(row, sets=row.sets + more.sets)


def _sampled(report: EvaluationReport) -> str:
    return "not recorded" if report.sampling is None else str(report.sampling)


def _set_names(reports: Sequence[EvaluationReport]) -> list[str]:
    """In the order they first appear."""
    return list(dict.fromkeys(each.name for report in reports for each in report.sets))


def _ks(reports: Sequence[EvaluationReport], name: str) -> list[int]:
    """Every k that a report has for the set, ascending."""
    return sorted({s.k for report in reports for each in report.sets if each.name == name for s in each.scores})


def _score(measured: Mapping[str, SetReport], name: str, k: int) -> Score | None:
    return measured[name].score(k) if name in measured else None


def _percent(score: Score | None) -> str:
    return NOT_MEASURED if score is None or score.value is None else f"{100 * score.value:.2f}"


def _with_interval(score: Score | None, num_problems: int) -> str:
    if score is None or score.value is None or score.lower is None or score.upper is None:
        return NOT_MEASURED
    fewer = "" if score.problems == num_problems else f" of {score.problems} problems"
    return f"{_percent(score)} [{100 * score.lower:.2f}, {100 * score.upper:.2f}]{fewer}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with padded columns: text to the left, numbers to the right."""
    is_text = [name in ("run", "set", "sampling") for name in header]
    cells = [[plain_markdown(c) if t else c for c, t in zip(row, is_text, strict=True)] for row in rows]
    table = [[plain_markdown(cell) for cell in header], *cells]
    widths = [max(3, *(len(row[i]) for row in table)) for i in range(len(header))]
    lines = [
        "| " + " | ".join(c.ljust(w) if t else c.rjust(w) for c, w, t in zip(row, widths, is_text, strict=True)) + " |"
        for row in table
    ]
    rules = ["-" * (w + 2) if t else "-" * (w + 1) + ":" for w, t in zip(widths, is_text, strict=True)]
    return "\n".join([lines[0], "|" + "|".join(rules) + "|", *lines[1:]]) + "\n"


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
