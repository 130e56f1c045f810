"""`pope oracle` against a server that misbehaves: every fault is counted by name, no answer is asked for twice, no key
is seen, and every run ends."""

import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from actors.problems.oracle.requests import EndpointDown, EndpointRefused
from broker.errors import UsageError
from conf.load import load
from deploy.jobs.oracle import oracle
from tests.oracle_server import CANARY, COMPLETION_TOKENS, PROMPT_TOKENS, Server, serving
from tests.problem_files import read_problems

REPOSITORY = Path(__file__).parents[3]
FAULTS = {
    "hang": "timeout",
    "drip": "timeout",
    "500": "http_500",
    "503": "http_503",
    "429": "http_429",
    "408": "http_408",
    "retry_after:0.1": "http_429",
    "reset": "connection",
    "cut": "connection",
    "bad_json": "bad_json",
    "deep_json": "bad_json",
    "html": "bad_json",
    "not_unicode": "bad_json",
    "gzip": "bad_json",
    "empty_choices": "empty",
    "huge": "too_large",
    "huge_error": "too_large",
}
"""Behaviour -> the name its failure is counted under."""
REJECTED = {"wrong": "wrong", "truncated": "truncated", "filtered": "filtered", "blank": "no_answer"}
"""Behaviour -> the verdict on its answer."""


class House:
    """A folder with n problems, and `pope oracle` on them."""

    def __init__(self, folder: Path, num_problems: int) -> None:
        self.source, self.out = folder / "problems.jsonl", folder / "solved.jsonl"
        self.log = folder / "solved.jsonl.attempts.jsonl"
        self.write(num_problems)
        self.said = ""

    def write(self, num_problems: int, **more: Any) -> None:
        numbers = range(1, num_problems + 1)
        rows = [{"id": f"p{n}", "problem": f"What is P{n}?", "answer": str(n), **more} for n in numbers]
        self.source.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def words(self, server: Server | str, *words: str) -> list[str]:
        url = server if isinstance(server, str) else server.url
        return [f"oracle.endpoint={url}", "oracle.model=big", "oracle.max_wait_s=0.05", "oracle.timeout_s=4", *words]

    def run(self, server: Server | str, *words: str, **options: bool) -> str:
        """In this process; what it printed."""
        console = Console(file=io.StringIO(), width=200)
        config = load(None, [f"problems.source={self.source}", *self.words(server, *words)])
        try:
            oracle(config, self.out, console, **options)
        finally:
            self.said = console.file.getvalue()  # type: ignore[attr-defined]
        return self.said

    def start(self, server: Server | str, *words: str, environment: Mapping[str, str] = {}) -> "subprocess.Popen[str]":
        """As a command of its own."""
        command = ["oracle", str(self.source), "--out", str(self.out), *self.words(server, *words)]
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", *command],
            cwd=REPOSITORY, env={**os.environ, **environment}, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def attempts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()[1:]]

    def solved(self) -> set[str]:
        return {problem.id for problem in read_problems(self.out) if problem.solution is not None}


@pytest.fixture
def house(tmp_path: Path) -> Callable[[int], House]:
    return lambda num_problems: House(tmp_path, num_problems)


def scripted(words: Sequence[str]) -> dict[str, list[str]]:
    """The n-th word happens to problem n; then it is answered."""
    return {f"P{number}": [word, "right"] for number, word in enumerate(words, start=1)}


def row(said: str, name: str) -> list[str]:
    """The two numbers of a row of the closing table."""
    line = next(line for line in said.splitlines() if line.startswith(f"│ {name} "))
    return [cell.strip() for cell in line.split("│")[2:4]]


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, f"waited a minute for {what}"
        time.sleep(0.02)


# Faults -------------------------------------------------------------------------------------------------------------


@pytest.mark.faults
def test_every_fault_is_counted_by_its_name_and_the_problem_is_solved_in_spite_of_it(house: Any) -> None:
    there = house(len(FAULTS))
    with serving(scripted(list(FAULTS))) as server:
        said = there.run(server, "oracle.concurrency=6")
    errors = {attempt["id"]: attempt["error"] for attempt in there.attempts() if "error" in attempt}
    assert errors == {f"p{number}": name for number, name in enumerate(FAULTS.values(), start=1)}
    assert server.asked() == {f"P{number}": 2 for number in range(1, len(FAULTS) + 1)}
    assert there.solved() == set(errors)
    for name in set(FAULTS.values()):
        assert row(said, f"failed: {name}") == [str(list(FAULTS.values()).count(name))] * 2
    assert row(said, "requests") == [str(2 * len(FAULTS))] * 2
    assert row(said, "of them retries") == row(said, "answers") == [str(len(FAULTS))] * 2


@pytest.mark.faults
def test_answers_that_do_not_verify_are_rejected_by_name_and_paid_for(house: Any) -> None:
    there = house(len(REJECTED))
    with serving(scripted(list(REJECTED))) as server:
        said = there.run(server, "oracle.prompt_price=5", "oracle.completion_price=20")
    assert there.solved() == {f"p{number}" for number in range(1, len(REJECTED) + 1)}
    for name in REJECTED.values():
        assert row(said, f"rejected: {name}") == ["1", "1"]
    answers = 2 * len(REJECTED)
    assert row(said, "prompt tokens") == [f"{answers * PROMPT_TOKENS:,}"] * 2 == ["800", "800"]
    assert row(said, "completion tokens") == [f"{answers * COMPLETION_TOKENS:,}"] * 2 == ["400", "400"]
    assert row(said, "cost") == ["0.0120", "0.0120"]  # 800 * 5 + 400 * 20 = 12000 millionths
    assert row(said, "accepted") == ["4 (100%)"] * 2


@pytest.mark.faults
def test_an_endpoint_that_never_gets_it_right_is_asked_a_bounded_number_of_times(house: Any) -> None:
    there = house(2)
    with serving({"P1": ["wrong"], "P2": ["500"]}) as server:
        said = there.run(server, "oracle.max_attempts=3", "oracle.retries=2")
    assert server.asked() == {"P1": 3, "P2": 3}
    assert there.solved() == set()
    assert [json.loads(line)["solution"] for line in there.out.read_text().splitlines()] == [None, None]
    assert "1 are unsolved after all 3 attempts, 1 are left for another run" in said


@pytest.mark.faults
def test_a_retry_after_is_honoured(house: Any) -> None:
    there = house(1)
    with serving({"P1": ["retry_after:1", "right"]}) as server:
        there.run(server, "oracle.max_wait_s=5")
    first, second = (request["at"] for request in server.requests)
    assert 1.0 <= second - first <= 3.5


@pytest.mark.faults
def test_a_retry_after_of_a_year_is_not(house: Any) -> None:
    there = house(1)
    with serving({"P1": ["retry_after:31536000", "right"]}) as server:
        there.run(server, "oracle.max_wait_s=0.2")
    first, second = (request["at"] for request in server.requests)
    assert 0.2 <= second - first <= 2.5
    assert there.solved() == {"p1"}


@pytest.mark.faults
def test_a_dead_endpoint_ends_the_run_and_says_how_to_go_on(house: Any) -> None:
    there = house(50)
    with serving({}) as server:
        pass  # its port is closed again
    process = there.start(server, "oracle.concurrency=4", "oracle.max_failures=12")
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "12 requests in a row failed, the last with connection" in errors
    assert "run the same command" in errors
    assert 12 <= len(there.attempts()) <= 15
    assert row(said, "accepted") == ["0 (0%)"] * 2
    assert len(read_problems(there.out)) == 50


@pytest.mark.faults
def test_an_endpoint_that_hangs_for_ever_ends_the_run_too(house: Any) -> None:
    there = house(20)
    with serving({f"P{number}": ["hang"] for number in range(1, 21)}) as server, pytest.raises(EndpointDown):
        there.run(server, "oracle.concurrency=4", "oracle.max_failures=8", "oracle.timeout_s=0.3")
    assert len(server.requests) <= 12


@pytest.mark.faults
@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("401", "set oracle.api_key_env"),
        ("403", "set oracle.api_key_env"),
        ("404", "check oracle.model=big and oracle.endpoint"),
        ("400:max_tokens is too large", r"\(max_tokens is too large\); check oracle.model, oracle.temperature"),
        ("422", "oracle.max_tokens_name"),
        ("redirect:http://127.0.0.1:1/", "redirects are not followed"),
        ("quota", "out of credit"),
    ],
)
def test_a_refusal_ends_the_run_at_once_with_its_remedy_and_keeps_what_there_is(
    house: Any, word: str, remedy: str
) -> None:
    there = house(20)
    script = {"P1": ["right"], **{f"P{number}": [word] for number in range(2, 21)}}
    with serving(script) as server, pytest.raises(EndpointRefused, match=f"refused a request with .*{remedy}"):
        there.run(server, "oracle.concurrency=1")
    assert server.asked() == {"P1": 1, "P2": 1}
    assert there.solved() == {"p1"}
    assert row(there.said, "accepted") == ["1 (100%)"] * 2


# Going on -----------------------------------------------------------------------------------------------------------


def descendants(pid: int) -> set[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return set()
    return {int(child) for child in children}.union(*(descendants(int(child)) for child in children))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def answered(there: House) -> set[str]:
    """Ids with an answer in the log; a line may be half written."""
    lines = there.log.read_bytes().split(b"\n")[1:-1] if there.log.exists() else []
    return {json.loads(line)["id"] for line in lines if b'"verdict"' in line}


@pytest.mark.faults
def test_a_killed_run_goes_on_and_asks_nothing_twice_that_was_answered(house: Any) -> None:
    there = house(12)
    script = {f"P{n}": ["right"] if n <= 6 else ["hang", "right"] for n in range(1, 13)}
    script["P3"] = ["wrong", "hang", "right"]
    with serving(script) as server:
        process = there.start(server, "oracle.concurrency=4", "oracle.timeout_s=60")
        wait_until(lambda: len(answered(there)) == 6 and len(server.requests) == 10, "6 answers and 4 hanging requests")
        family = descendants(process.pid)
        process.kill()
        process.communicate()
        wait_until(lambda: not any(is_alive(pid) for pid in family), "the end of the verifier's processes")
        assert len(family) >= 1
        with there.log.open("ab") as log:
            log.write(b'{"id":"p7","attempt":1,"verd')  # what a kill in the middle of a write leaves
        before = server.asked()
        assert not there.out.exists()

        process = there.start(server, "oracle.concurrency=4", "oracle.timeout_s=60")
        # P8, P9 ... were hanging or never asked; those that hang on their first request now are let go.
        wait_until(lambda: set(server.asked()) == set(script), "every problem to be asked")
        server.hold.set()
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    again = server.asked() - before
    assert not {f"P{n}" for n in (1, 2, 4, 5, 6)} & set(again), "they were answered, and right"
    assert again["P3"] == 1, "its first answer is in the log, its second attempt was cut off"
    assert there.solved() == {f"p{n}" for n in range(1, 13)}
    right = [attempt["id"] for attempt in there.attempts() if attempt.get("verdict") == "correct"]
    assert sorted(right) == sorted(there.solved()), "one accepted answer each, over both runs"
    assert row(said, "accepted") == ["7 (100%)", "12 (100%)"]


@pytest.mark.faults
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_what_there_is(house: Any, number: signal.Signals, code: int) -> None:
    there = house(4)
    with serving({"P1": ["text:\\boxed{\\frac{3}{3}}"], "P3": ["hang"], "P4": ["hang"]}) as server:
        process = there.start(server, "oracle.timeout_s=60")
        wait_until(lambda: answered(there) == {"p1", "p2"} and len(server.requests) == 4, "two answers")
        family = descendants(process.pid)
        os.killpg(process.pid, number)  # as a terminal does: the verifier's processes get it too
        said, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert f"interrupted by {number.name}" in errors
    assert "Traceback" not in errors
    assert there.solved() == {"p1", "p2"}
    assert row(said, "accepted") == ["2 (100%)"] * 2
    wait_until(lambda: not any(is_alive(pid) for pid in family), "the end of the verifier's processes")


@pytest.mark.faults
def test_a_disk_that_fills_up_ends_the_run_and_the_log_goes_on(house: Any) -> None:
    there = house(9)
    with serving({}) as server:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
        try:
            with pytest.raises(UsageError, match=r"free space|make room"):
                there.run(server, "oracle.concurrency=1")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        kept = {f"P{id[1:]}" for id in answered(there)}
        assert 1 <= len(kept) < 9
        before_again = server.asked()
        there.run(server)
    assert there.solved() == {f"p{n}" for n in range(1, 10)}
    assert not kept & set(server.asked() - before_again)


def test_a_finished_run_is_finished(house: Any) -> None:
    there = house(3)
    with serving({"P3": ["wrong"]}) as server:
        there.run(server, "oracle.max_attempts=2")
        written = there.out.read_bytes()
        said = there.run(server, "oracle.max_attempts=2")
        assert len(server.requests) == 4
        assert there.out.read_bytes() == written
        assert row(said, "accepted") == ["0", "2 (67%)"]
        there.run(server, "oracle.max_attempts=3")
        assert server.asked()["P3"] == 3, "more attempts were allowed"


def test_a_log_made_for_another_model_or_source_is_refused_unless_fresh(house: Any) -> None:
    there = house(2)
    with serving({}) as server:
        there.run(server)
        with pytest.raises(UsageError, match="was made for the model 'big'; give --fresh"):
            there.run(server, "oracle.model=other")
        there.write(3)
        with pytest.raises(UsageError, match="other problems"):
            there.run(server)
        assert len(server.requests) == 2
        there.run(server, fresh=True)
    assert there.solved() == {"p1", "p2", "p3"}
    assert there.log.with_name(there.log.name + ".1").exists()


# Problems in, problems out ------------------------------------------------------------------------------------------


def test_a_problem_that_has_a_solution_is_asked_only_to_redo_it(house: Any) -> None:
    there = house(2)
    there.write(2, solution="I know.", bucket="easy")
    with serving({"P2": ["wrong"]}) as server:
        said = there.run(server)
        assert not server.requests
        assert "2 problems were skipped" in said
        assert [problem.solution for problem in read_problems(there.out)] == ["I know."] * 2
        there.run(server, redo=True)
    first, second = read_problems(there.out)
    assert first.solution == "Think.\nSo it is \\boxed{1}."
    assert second.solution == "I know.", "no better one was found"
    assert first.bucket == second.bucket == "easy"


def test_an_answer_is_verified_by_what_it_means(house: Any) -> None:
    there = house(1)
    with serving({"P1": ["text:So \\boxed{\\frac{1}{2}}.", "text:So \\boxed{\\frac{2}{2}}."]}) as server:
        there.run(server)
    assert [attempt["verdict"] for attempt in there.attempts()] == ["wrong", "correct"]
    assert [problem.solution for problem in read_problems(there.out)] == ["So \\boxed{\\frac{2}{2}}."]


def test_a_request_asks_for_a_solution_with_the_settings(house: Any) -> None:
    there = house(1)
    with serving({}) as server:
        there.run(server, "oracle.temperature=null", "oracle.max_tokens=77",
                  "oracle.max_tokens_name=max_completion_tokens")  # fmt: skip
    request = server.requests[0]
    assert request["path"] == "/v1/chat/completions"
    assert "\\boxed{" in request["body"]["messages"][0]["content"]
    assert {key: value for key, value in request["body"].items() if key != "messages"} == {
        "model": "big", "max_completion_tokens": 77,
    }  # fmt: skip


def test_an_answer_whose_tokens_are_miscounted_is_kept_and_said(house: Any) -> None:
    there = house(1)
    with serving({"P1": ["bad_usage"]}) as server:
        said = there.run(server)
    assert there.solved() == {"p1"}
    assert row(said, "answers without token counts") == ["1", "1"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["oracle.model=null"], "oracle.model is not set; give oracle.model=NAME"),
        (["oracle.api_key_env=NO_SUCH_VARIABLE"], "oracle.api_key_env=NO_SUCH_VARIABLE: that environment variable"),
        (["oracle.api_key_env=BAD_KEY"], "oracle.api_key_env=BAD_KEY: .* spaces, line ends"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_asked(
    house: Any, monkeypatch: pytest.MonkeyPatch, words: list[str], complaint: str
) -> None:
    monkeypatch.setenv("BAD_KEY", f"{CANARY}\nX-Evil: 1")
    there = house(1)
    with serving({}) as server, pytest.raises(UsageError, match=complaint) as caught:
        there.run(server, *words)
    assert not server.requests
    assert not there.log.exists()
    assert CANARY not in str(caught.value)


def test_no_file_of_the_user_is_overwritten(house: Any) -> None:
    there = house(1)
    source = there.source.read_bytes()
    with serving({}) as server:
        there.out.write_text("mine")
        with pytest.raises(UsageError, match=r"exists and .* does not"):
            there.run(server)
        there.out.unlink()
        there.out.symlink_to(there.source)
        with pytest.raises(UsageError, match="is the source itself"):
            there.run(server)
        there.out = there.source.parent
        with pytest.raises(UsageError, match="is a folder"):
            there.run(server)
        assert not server.requests
    assert there.source.read_bytes() == source


# Secrets and hostile words ------------------------------------------------------------------------------------------


def everything(folder: Path) -> str:
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("last", ["right", f"401:bad key {CANARY}"])
def test_the_key_reaches_the_endpoint_and_nothing_else(house: Any, tmp_path: Path, last: str) -> None:
    there = house(4)
    told = f"text:Your key is {CANARY}, or {CANARY[:9]}\x00{CANARY[9:]}. \\boxed{{1}}"
    script = {"P1": [told], "P2": [f"500:{CANARY}", "right"], "P3": ["bad_json", "right"], "P4": [last]}
    environment = {
        "ORACLE_KEY": CANARY, "OPENAI_LOG": "debug", "PYTHONASYNCIODEBUG": "1",
        "http_proxy": "http://127.0.0.1:1", "all_proxy": "http://127.0.0.1:1",
    }  # fmt: skip
    with serving(script) as server:
        process = there.start(server, "api_key_env=ORACLE_KEY", "oracle.concurrency=1", environment=environment)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == (0 if last == "right" else 2), errors
    assert len(server.requests) == 6, "no proxy came between"
    assert {request["headers"]["authorization"] for request in server.requests} == {f"Bearer {CANARY}"}
    assert "Your key is ***, or ***." in everything(tmp_path)
    assert CANARY not in everything(tmp_path)
    assert CANARY not in said + errors
    if last != "right":
        assert "(bad key ***)" in errors


def test_without_a_key_no_secret_of_the_environment_is_sent(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("OPENAI_ORG_ID", CANARY)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"Authorization: Bearer {CANARY}\nX-Other: {CANARY}")
    there = house(1)
    with serving({}) as server:
        there.run(server)
    assert CANARY not in json.dumps(server.requests)
    assert "authorization" not in server.requests[0]["headers"]


@pytest.mark.parametrize("word", [f"oracle.api_key={CANARY}", f"oracle.api_key_env={CANARY}", f"api_key={CANARY}"])
def test_a_key_given_as_a_setting_is_refused_and_not_repeated(house: Any, word: str) -> None:
    there = house(1)
    process = there.start("http://127.0.0.1:1/v1", word)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "api_key_env" in errors
    assert CANARY not in said + errors


def test_control_characters_of_the_endpoint_reach_neither_terminal_nor_file(house: Any, tmp_path: Path) -> None:
    there = house(3)
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
    text = f"text:{evil}[bold]So[/bold] \\boxed{{1}}"
    script = {"P1": [text], "P2": [f"500:{evil}", "right"], "P3": [f"400:{evil}x"]}
    with serving(script) as server:
        process = there.start(server, "oracle.concurrency=1")
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "]0;owned[2J31mx" in errors, "the words, without what a terminal would do"
    shown = said + errors + everything(tmp_path)
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(shown)
    assert "\\u001b" not in shown
