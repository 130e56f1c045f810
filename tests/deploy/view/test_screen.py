"""Hostile text in the commands that show it: only printable characters reach the terminal, no markup is applied."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from actors.evaluation.results import Result, evaluation_report
from broker.ledger import LedgerRow
from deploy.jobs.problems import show
from deploy.run.progress import stage
from deploy.store.ledger_file import RunLedger
from deploy.view.evaluation_tables import to_markdown
from deploy.view.ledger_table import table
from deploy.view.screen import Screen
from deploy.view.summary import _readable
from tests.conf.test_plain import HOSTILE

REPOSITORY = Path(__file__).parents[3]
WORDS = "[bold]b[/bold][link=http://evil.example]x[/link][/] :smile: " + "".join(HOSTILE.values()).replace("\ud800", "")


def shown(*things: object, terminal: bool = False) -> str:
    out = io.StringIO()
    screen = Screen(file=out, width=4000, force_terminal=terminal, color_system="standard" if terminal else None)
    for thing in things:
        screen.print(thing)
    return out.getvalue()


def assert_harmless(text: str) -> None:
    for line in text.split("\n"):
        assert line.isprintable(), repr(line)


def test_a_string_is_shown_as_it_is_and_a_style_only_where_we_set_one() -> None:
    assert "[bold]b[/bold]" in shown(WORDS)
    assert ":smile:" in shown(WORDS)
    assert_harmless(shown(WORDS))
    assert shown(Text("ours", style="bold"), terminal=True) == "\x1b[1mours\x1b[0m\n"


def test_cells_titles_and_headings_of_a_table_are_strings_too() -> None:
    whole = Table(title=WORDS)
    whole.add_column(WORDS)
    whole.add_row(WORDS)
    assert_harmless(shown(whole))
    assert "[/bold]" in shown(whole)


def test_the_ledger_and_a_stage_show_hostile_names() -> None:
    row = LedgerRow(problem_id=WORDS, arm=WORDS, attempts=1, successes=0, first_solve_step=None)
    assert_harmless(shown(table(RunLedger(run="pope", step=1, rows=(row,)))))
    out = io.StringIO()
    with stage(Screen(file=out, width=4000), WORDS):
        pass
    assert_harmless(out.getvalue())
    assert "[bold]b[/bold]" in out.getvalue()


def test_samples_hold_no_markdown_but_our_own() -> None:
    sample = {"problem": WORDS, "arm": "guided\n# x", "verdict": "wrong", "version": "7"}
    text = _readable([{**sample, "prompt": WORDS, "completion": WORDS}])
    assert_harmless(text)
    headings = [line for line in text.split("\n") if line.startswith("#")]
    assert len(headings) == 2
    assert "\\[link=http" in headings[1]
    assert all(line.startswith(("#", "    ")) or not line for line in text.split("\n"))


def test_the_tables_of_evaluations_hold_no_markdown_of_a_label() -> None:
    result = Result(
        problem_id="p", source=WORDS, samples=1, verdicts={"wrong": 1}, truncated=0, completion_tokens=1,
        longest_completion_tokens=1, policy_version=0,
    )  # fmt: skip
    text = to_markdown([evaluation_report({WORDS: [result]}, [1], "![x](http://evil.example)|" + WORDS)])
    assert_harmless(text)
    assert "![x]" not in text
    rows = [line for line in text.split("\n") if line.startswith("|")]
    assert len(rows) == 6, "header, rule and one row in each of two tables"


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    row = {"id": WORDS, "statement": f"Find x. {WORDS}", "answer": "2", "solution": WORDS + "\nso 2", "guidance": WORDS}
    path = tmp_path / "hostile.jsonl"
    path.write_text(json.dumps({**row, "source": WORDS}) + "\n")
    return path


def test_a_problem_is_listed_and_shown_without_interpreting_its_markup(problems: Path) -> None:
    for id in (None, WORDS):
        out = io.StringIO()
        show(str(problems), [], id, 20, Screen(file=out, width=4000))
        assert_harmless(out.getvalue())
        assert "[bold]b[/bold]" in out.getvalue()


def test_an_error_that_quotes_a_file_is_one_harmless_line(problems: Path) -> None:
    problems.write_text(problems.read_text() * 2)
    command = [sys.executable, "-m", "deploy.cli", "problems", "show", str(problems)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert ended.stderr.startswith("pope: ")
    assert ended.stderr.count("\n") == 1
    assert_harmless(ended.stderr)


def test_a_lone_surrogate_is_shown_escaped(tmp_path: Path) -> None:
    path = tmp_path / "half.jsonl"
    path.write_text('{"statement": "1+1?", "an\\ud800swer": "2"}\n')
    command = [sys.executable, "-m", "deploy.cli", "problems", "show", str(path)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert "an\\ud800swer" in ended.stderr
    assert "Traceback" not in ended.stderr
