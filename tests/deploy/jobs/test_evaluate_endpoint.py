"""`pope eval URL#MODEL` against a faulty server: samples are judged and counted, asked for once, and the key stays."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from actors.evaluation.results import EvaluationReport
from actors.problems.oracle.patient_requests import EndpointDown, EndpointRefused
from broker.errors import UsageError
from conf.errors import ConfigError
from conf.load import load
from deploy.jobs.evaluate_endpoint import SamplesMissing, endpoint_of, evaluate_endpoint
from deploy.view.evaluation_tables import read_reports
from tests.cli import pope
from tests.oracle_server import CANARY, COMPLETION_TOKENS, Server, serving


class Evaluation:
    """`pope eval` of a file of n problems."""

    def __init__(self, root: Path, num_problems: int) -> None:
        self.root, self.source, self.folder = root, root / "set.jsonl", root / "eval"
        rows = [{"id": f"p{n}", "problem": f"What is P{n}?", "answer": str(n)} for n in range(1, num_problems + 1)]
        self.source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.output = ""

    def words(self, server: Server, *more: str) -> list[str]:
        return [
            f"oracle.endpoint={server.url}", "oracle.model=big", f"model.path={server.url}#big", "run.name=eval",
            f"run.root={self.root}", "oracle.max_wait_s=0.05", "oracle.timeout_s=4", "evaluation.samples=2",
            "evaluation.k=[1,2]", *more,
        ]  # fmt: skip

    def run(self, server: Server, *more: str, fresh: bool = False, lm_eval: Path | None = None) -> EvaluationReport:
        console = Console(file=io.StringIO(), width=200)
        config = load(None, self.words(server, *more))
        try:
            return evaluate_endpoint(
                config, [str(self.source)], console, label="big", fresh=fresh, lm_eval=lm_eval
            )
        finally:
            self.output = console.file.getvalue()  # type: ignore[attr-defined]

    def log(self) -> list[dict[str, Any]]:
        (path,) = (self.folder / "requests").glob("*.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()[1:]]


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    return Evaluation(tmp_path, 3)


def test_samples_are_judged_and_counted_as_those_of_an_engine(evaluation: Evaluation) -> None:
    script = {"P1": ["right"], "P2": ["right", "wrong"], "P3": ["truncated", "filtered"]}
    with serving(script) as server:
        report = evaluation.run(server, "oracle.concurrency=1")
    assert server.asked() == {"P1": 2, "P2": 2, "P3": 2}
    (found,) = report.sets
    assert found.name == "set"
    assert [(score.k, score.value) for score in found.scores] == [(1, pytest.approx(2 / 3)), (2, 1.0)]
    assert (found.samples, found.truncated) == (6, 1), "a cut answer is judged: its box was written before"
    assert {name: count for name, count in found.verdicts.items() if count} == {
        "correct": 4, "wrong": 1, "no_answer": 1
    }
    assert found.completion_tokens == 6 * COMPLETION_TOKENS
    assert read_reports([evaluation.folder / "report.json"]) == [report]
    assert "| big " in (evaluation.folder / "report.md").read_text()
    assert "rejected: filtered" in evaluation.output


def test_requests_hold_the_unguided_prompt_and_what_the_settings_ask_for(evaluation: Evaluation) -> None:
    with serving({}) as server:
        evaluation.run(server, "evaluation.temperature=0.6", "evaluation.max_completion_tokens=99")
        plain = server.requests[-1]
        evaluation.run(
            server, "prompts.system=Be brief.", "prompts.template_kwargs={enable_thinking: false}",
            "evaluation.top_p=0.9", "evaluation.top_k=20", "oracle.max_tokens_name=max_completion_tokens",
            "actors.max_completion_tokens=256",
        )  # fmt: skip
    assert plain["path"] == "/v1/chat/completions"
    (turn,) = plain["body"].pop("messages")
    assert turn["role"] == "user"
    assert turn["content"].startswith("What is P")
    assert turn["content"].endswith("\n\nMake sure your final answer is written as: \\boxed{your answer here}")
    assert plain["body"] == {"model": "big", "temperature": 0.6, "max_tokens": 99}
    body = server.requests[-1]["body"]
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert (body["top_p"], body["top_k"], body["max_completion_tokens"]) == (0.9, 20, 256)


def test_the_key_is_that_of_evaluations_and_is_written_nowhere(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_KEY", CANARY)
    monkeypatch.setenv("ORACLE_KEY", "sk-of-another-host-0123")
    with serving({}) as server:
        evaluation.run(server, "oracle.api_key_env=ORACLE_KEY")
        assert "authorization" not in {name.lower() for name in server.requests[-1]["headers"]}
        evaluation.run(server, "oracle.api_key_env=ORACLE_KEY", "evaluation.endpoint_key_env=MODEL_KEY")
        headers = {name.lower(): value for name, value in server.requests[-1]["headers"].items()}
    assert headers["authorization"] == f"Bearer {CANARY}"
    written = [path for path in evaluation.root.rglob("*") if path.is_file() and CANARY in path.read_text()]
    assert not written
    assert CANARY not in evaluation.output
    with serving({}) as server, pytest.raises(UsageError, match=r"evaluation\.endpoint_key_env=ABSENT: .* is not set"):
        evaluation.run(server, "evaluation.endpoint_key_env=ABSENT")


def test_samples_whose_requests_failed_are_missing_until_the_same_command_gets_them(evaluation: Evaluation) -> None:
    script = {"P1": ["right", "500", "503", "right"], "P2": ["wrong"], "P3": ["right"]}
    words = ("oracle.retries=1", "oracle.concurrency=1")
    with serving(script) as server:
        with pytest.raises(SamplesMissing, match="1 samples are missing, whose requests failed; the same command asks"):
            evaluation.run(server, *words)
        (partial,) = read_reports([evaluation.folder / "report.json"])
        assert partial.sets[0].samples == 5, "the report tells how many samples there are"
        assert "failed: http_500" in evaluation.output
        assert [line["error"] for line in evaluation.log() if "error" in line] == ["http_500", "http_503"]
        before = server.asked()
        report = evaluation.run(server, *words)
    assert server.asked() - before == {"P1": 1}, "what was answered is not asked again"
    assert report.sets[0].samples == 6
    with serving({}) as server:
        again = evaluation.run(server, *words)  # another address: another model, another folder
    assert again.sets[0].samples == 6
    assert (evaluation.root / "eval.1").is_dir()


def test_an_endpoint_that_is_down_or_refuses_ends_the_command_and_keeps_the_answers(evaluation: Evaluation) -> None:
    script = {"P1": ["right"], "P2": ["500"], "P3": ["500"]}
    words = ("oracle.retries=9", "oracle.max_failures=3", "oracle.concurrency=1")
    with serving(script) as server, pytest.raises(EndpointDown, match="requests in a row failed"):
        evaluation.run(server, *words)
    assert len([line for line in evaluation.log() if "verdict" in line]) == 2
    assert not (evaluation.folder / "report.json").exists()
    refusals = {
        "401": "set evaluation.endpoint_key_env to the name",
        "404": "check the model big and the address before #",
        "400": "check evaluation.temperature",
    }
    for word, remedy in refusals.items():
        with serving({"P1": [word]}) as server, pytest.raises(EndpointRefused, match=remedy):
            evaluation.run(server, "oracle.concurrency=1", fresh=True)


def test_no_answer_at_all_is_an_error_and_no_table(evaluation: Evaluation) -> None:
    script = {f"P{n}": ["500"] for n in (1, 2, 3)}
    with serving(script) as server, pytest.raises(SamplesMissing, match="no request for set was answered"):
        evaluation.run(server, "oracle.retries=0")


def test_an_endpoint_is_named_by_address_and_model() -> None:
    found = endpoint_of("https://host:1/v1#Qwen/Qwen3-4B")
    assert found is not None
    assert (found.url, found.model) == ("https://host:1/v1", "Qwen/Qwen3-4B")
    assert endpoint_of("runs/pope") is None
    with pytest.raises(UsageError, match="name the model at the endpoint after #"):
        endpoint_of("https://host/v1")
    with pytest.raises(ConfigError, match=r"evaluation\.endpoint_key_env must name an environment variable") as caught:
        load(None, ["evaluation.endpoint_key_env=sk-not-a-name"])
    assert "sk-not" not in str(caught.value)


def test_the_command_line_evaluates_an_endpoint_and_writes_the_set_as_a_task(evaluation: Evaluation) -> None:
    tasks = evaluation.root / "tasks"
    with serving({}) as server:
        done = pope(
            "eval", f"{server.url}#me/big", str(evaluation.source), "n=1", "k=[1]", f"run.root={evaluation.root}",
            "--lm-eval", str(tasks),
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "100.00" in done.stdout
    assert (evaluation.root / "eval-big" / "report.json").exists()
    assert {path.name for path in tasks.iterdir()} == {"pope_set.yaml", "pope_set.jsonl"}
    refused = pope("eval", "https://me:secret@host/v1#big", str(evaluation.source))
    assert refused.returncode == 2
    assert "secret" not in refused.stderr
