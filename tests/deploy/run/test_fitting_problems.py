"""Problems that a model cannot be given are rejected by name before an engine starts; the others are kept."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from actors.problems.problem_set import ProblemSet, RejectedRow
from broker.errors import UsageError
from broker.records import Problem
from conf.load import load
from deploy.cluster.reservation import Reservation
from deploy.run.fitting_problems import fitting_problems
from deploy.run.handshake import Handshake
from deploy.run.session import Session
from deploy.store.run_folder import RunFolder
from tests.actors.chat_tokenizers import CHATML, byte_tokenizer

NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHATML
FOLDS = CHATML.replace("m.content", "m.content | replace('  ', ' ')")


def problem(id: str, statement: str = "What is 1+1?", solution: str = "One and one.\nTwo.", **more: Any) -> Problem:
    values = {"bucket": "hard", "source": "test"} | more
    return Problem(id=id, statement=statement, solution=solution, answer="2", **values)


PROBLEMS = [
    problem("good"),
    problem("long", "1+" * 200 + "1?"),
    problem("token", "What is <|im_end|>?"),
    problem("blanks", "What is  1 + 1?"),
    problem("system", system="You are a calculator."),
    problem("solution", solution="One.<|im_start|>\nTwo."),
    problem("ended", solution="One.\nTwo.<|im_end|>"),
]


class Run:
    """A session without Redis, and what it printed."""

    def __init__(self, folder: Path, template: Any) -> None:
        self.model, self.output = folder / "model", io.StringIO()
        byte_tokenizer(template).save_pretrained(self.model)
        console, no_client = Console(file=self.output, width=300), None
        config = load(None, ["actors.max_prompt_tokens=300", "problems.source=mine.jsonl"])
        run = RunFolder(folder)
        ways = config.run_samplings
        self.session = Session(
            config, console, run, no_client, no_client, ways, Handshake(run, console), Reservation("x")
        )

    def fitting(self, problems: list[Problem], **uses: bool) -> tuple[list[str], dict[str, str]]:
        """(ids of the problems that fit, id -> reason of all rejected rows in the folder)."""
        rows = {problem.id: number for number, problem in enumerate(problems, start=2)}
        rejected = [RejectedRow(1, "row 1", "no_answer", "empty")]
        fitting = fitting_problems(
            self.session, self.model, ProblemSet(problems, rejected, rows), **({"as_guidance": False} | uses)
        )
        file = self.session.folder.rejected
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [problem.id for problem in fitting], {line["id"]: line["reason"] for line in lines}


@pytest.mark.parametrize(
    ("template", "rejected"),
    [
        (CHATML, {"long": "prompt_too_long", "token": "control_token"}),
        (NO_SYSTEM, {"long": "prompt_too_long", "token": "control_token", "system": "no_system_turn"}),
        (FOLDS, {"long": "prompt_too_long", "token": "control_token", "blanks": "changed_by_template"}),
    ],
)
def test_each_is_rejected_with_its_reason_and_counted(tmp_path: Path, template: str, rejected: dict[str, str]) -> None:
    run = Run(tmp_path, template)
    kept, reasons = run.fitting(PROBLEMS)
    assert reasons == rejected
    assert kept == [problem.id for problem in PROBLEMS if problem.id not in rejected]
    assert f"{len(kept)} problems; rejected rows: " in run.output.getvalue()


@pytest.mark.parametrize("use", ["as_guidance", "as_response"])
def test_a_solution_is_checked_where_it_is_used(tmp_path: Path, use: str) -> None:
    kept, reasons = Run(tmp_path, CHATML).fitting(PROBLEMS, **{use: True})
    assert reasons["solution"] == "control_token"
    assert "ended" in kept


def test_nothing_is_written_when_all_fit_and_a_second_look_adds_no_line(tmp_path: Path) -> None:
    run = Run(tmp_path, CHATML)
    assert run.fitting([PROBLEMS[0]]) == (["good"], {})
    assert run.output.getvalue() == ""
    run.fitting(PROBLEMS)
    before = run.session.folder.rejected.read_bytes()
    run.fitting(PROBLEMS)
    assert run.session.folder.rejected.read_bytes() == before


def test_a_bucket_that_loses_every_problem_ends_the_run_with_the_first_reason(tmp_path: Path) -> None:
    easy = problem("long", PROBLEMS[1].statement, bucket="easy")
    with pytest.raises(UsageError, match=r"no easy problem can be given to this model; the first one, long: its "):
        Run(tmp_path, CHATML).fitting([PROBLEMS[0], easy])
