"""Oracle solutions: which requests are made, the log of attempts, and how texts of the endpoint are cleaned."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import msgspec
import pytest

from actors.problems.oracle.attempts import Attempt, AttemptLog, Header, fingerprint
from actors.problems.oracle.endpoint import printable, retry_after_s
from actors.problems.oracle.patient_requests import EndpointDown, Reply, RequestFailed
from actors.problems.oracle.request_counts import RequestCounts
from actors.problems.oracle.requests import Oracle
from broker.errors import UsageError
from broker.records import Problem, Verdict
from conf.schema import OracleSettings

HEADER = Header(model="big", source="p.jsonl", problems="abc")
RIGHT = Attempt(id="p1", attempt=1, wall_s=0.5, verdict="correct", text="so 1", prompt_tokens=100, completion_tokens=50)


def problem(number: int) -> Problem:
    return Problem(id=f"p{number}", statement=f"P{number}", answer=str(number), bucket="hard", source="p.jsonl")


class ScriptedOracle:
    """An oracle whose endpoint follows a script for each problem. `events`: the problems requested, in order."""

    def __init__(self, script: dict[str, list[object]], earlier: tuple[Attempt, ...] = (), **settings) -> None:
        self.script = script
        self.events: list[str] = []
        self.recorded: list[Attempt] = []
        self.oracle = Oracle(
            OracleSettings(**{"max_wait_s": 0.001, **settings}),
            ask=self.ask, judge=self.judge, record=self.recorded.append, earlier=earlier,
        )  # fmt: skip

    async def ask(self, message: str) -> Reply:
        name = message.split()[0]
        self.events.append(name)
        reply = self.script[name].pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Reply) else Reply(text=str(reply), prompt_tokens=100, completion_tokens=50)

    async def judge(self, text: str, answer: str) -> Verdict:
        return "correct" if text.endswith(f"so {answer}") else "wrong"

    def solve(self, *numbers: int) -> dict[str, str]:
        asyncio.run(self.oracle.solve([problem(number) for number in numbers]))
        return self.oracle.solutions


# Requests -----------------------------------------------------------------------------------------------------------


def test_solutions_are_requested_until_one_is_correct():
    run = ScriptedOracle({"P1": ["so 7", "so 8", "so 1", "so 1"]})
    assert run.solve(1) == {"p1": "so 1"}
    assert [attempt.verdict for attempt in run.recorded] == ["wrong", "wrong", "correct"]
    assert [attempt.attempt for attempt in run.recorded] == [1, 2, 3]


def test_at_most_max_attempts_solutions_are_requested():
    run = ScriptedOracle({"P1": ["so 7"] * 9}, max_attempts=3)
    assert run.solve(1) == {}
    assert run.events == ["P1"] * 3
    assert run.oracle.unsolved([problem(1)]) == []


def test_a_failed_request_is_retried_at_most_retries_times_and_its_problem_left_for_another_run():
    run = ScriptedOracle({"P1": [RequestFailed("http_500")] * 9, "P2": ["so 2"]}, retries=2, concurrency=1)
    assert run.solve(1, 2) == {"p2": "so 2"}
    assert run.events == ["P1", "P1", "P1", "P2"]
    assert [attempt.retry for attempt in run.recorded] == [0, 1, 2, 0]
    assert run.oracle.unsolved([problem(1), problem(2)]) == [problem(1)]


def test_a_truncated_answer_is_an_attempt_that_is_not_judged():
    run = ScriptedOracle({"P1": [Reply(text="so 1", unjudged="truncated"), "so 1"]})
    assert run.solve(1) == {"p1": "so 1"}
    assert [attempt.verdict for attempt in run.recorded] == ["truncated", "correct"]


def test_the_solution_is_the_text_after_the_thinking():
    assert ScriptedOracle({"P1": ["<think>\nhm, so 2?\n</think>\n\nso 1"]}).solve(1) == {"p1": "so 1"}


def test_answers_of_earlier_runs_are_not_requested_again():
    wrong = Attempt(id="p2", attempt=1, wall_s=0.1, verdict="wrong", text="so 7")
    failed = Attempt(id="p2", attempt=2, wall_s=0.1, error="timeout")
    run = ScriptedOracle({"P2": ["so 8", "so 2"]}, earlier=(RIGHT, wrong, failed), max_attempts=2)
    assert run.solve(1, 2) == {"p1": "so 1"}
    assert run.events == ["P2"], "one of two attempts was left; a failed request does not count as one"
    assert [attempt.attempt for attempt in run.recorded] == [2]
    assert run.oracle.this_run.answers == 1
    assert run.oracle.all_runs.answers == 3


def test_consecutive_failures_over_all_problems_end_the_run():
    run = ScriptedOracle({f"P{n}": [RequestFailed("connection")] * 9 for n in range(1, 100)}, retries=1, max_failures=8)
    run.solve(*range(1, 100))
    assert isinstance(run.oracle.stopped_by, EndpointDown)
    assert "8 requests in a row failed, the last with connection" in str(run.oracle.stopped_by)
    assert 8 <= len(run.events) <= 8 + 7, "at most 7 other requests were in flight"
    assert len(run.recorded) <= len(run.events)


def test_an_answer_resets_the_count_of_consecutive_failures():
    script = {f"P{n}": [RequestFailed("http_503")] * 2 + [f"so {n}"] for n in range(1, 9)}
    run = ScriptedOracle(script, concurrency=1, max_failures=3)
    assert len(run.solve(*range(1, 9))) == 8
    assert run.oracle.stopped_by is None


def test_retry_after_delays_all_requests_but_not_longer_than_max_wait():
    script = {"P1": [RequestFailed("http_429", retry_after_s=1e6), "so 1"], "P2": ["so 2"]}
    run = ScriptedOracle(script, max_wait_s=0.3, concurrency=1, retries=0)
    loop_time = asyncio.run(timed(run.oracle, [problem(1), problem(2)]))
    assert run.events == ["P1", "P2"]
    assert 0.3 <= loop_time < 2.0


async def timed(oracle: Oracle, problems: list[Problem]) -> float:
    start = asyncio.get_running_loop().time()
    await oracle.solve(problems)
    return asyncio.get_running_loop().time() - start


def test_the_backoff_doubles_with_jitter_up_to_the_bound():
    oracle = ScriptedOracle({}, max_wait_s=10.0).oracle
    for retry, (low, high) in enumerate([(0.5, 1), (1, 2), (2, 4), (4, 8), (8, 10), (10, 10)]):
        waits = {oracle._wait_s(retry, RequestFailed("http_500")) for _ in range(1000)}  # of 8..10 s a quarter vary
        assert low <= min(waits) <= max(waits) <= high
        assert low == high or len(waits) > 10
    assert 3.5 <= oracle._wait_s(0, RequestFailed("http_429", retry_after_s=3.0)) <= 4.0


def test_an_answer_that_is_being_judged_when_the_run_is_stopped_is_recorded():
    run = ScriptedOracle({"P1": ["so 1"], "P2": ["so 2"]}, concurrency=1)

    async def judge_slowly(text: str, answer: str) -> Verdict:
        run.oracle.stop(UsageError("enough"))
        await asyncio.sleep(0.05)
        return "correct"

    run.oracle._judge = judge_slowly
    assert run.solve(1, 2) == {"p1": "so 1"}
    assert run.events == ["P1"]


def test_an_error_of_the_log_ends_the_run_and_is_not_swallowed():
    run = ScriptedOracle({f"P{n}": [f"so {n}"] for n in range(1, 9)})

    def full(attempt: Attempt) -> None:
        raise UsageError("no space left")

    run.oracle._record = full
    run.solve(*range(1, 9))
    assert str(run.oracle.stopped_by) == "no space left"


# Counts -------------------------------------------------------------------------------------------------------------


def test_request_counts_and_cost():
    counts = RequestCounts()
    for attempt in (
        Attempt(id="p1", attempt=1, wall_s=0.1, error="timeout"),
        Attempt(id="p1", attempt=1, retry=1, wall_s=0.1, error="http_500"),
        Attempt(id="p1", attempt=1, retry=2, wall_s=0.1, verdict="wrong", prompt_tokens=100, completion_tokens=50),
        Attempt(id="p1", attempt=2, wall_s=0.1, verdict="correct", prompt_tokens=100, completion_tokens=150),
        Attempt(id="p2", attempt=1, wall_s=0.1, verdict="no_answer"),
    ):
        counts.add(attempt)
    assert (counts.requests, counts.answers, counts.retries, counts.without_usage) == (5, 3, 2, 1)
    assert (counts.requested, counts.accepted) == ({"p1", "p2"}, {"p1"})
    assert counts.errors == {"timeout": 1, "http_500": 1}
    # 200 prompt tokens at 5 a million and 200 completion tokens at 10 a million.
    assert counts.cost(OracleSettings(prompt_price=5, completion_price=10)) == pytest.approx(0.003)


# The log ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


def opened(path: Path, header: Header = HEADER, **options) -> tuple[Attempt, ...]:
    with AttemptLog(path, header, **options) as log:
        return log.earlier


def test_a_log_returns_the_attempts_written(path: Path):
    with AttemptLog(path, HEADER) as log:
        log.append(RIGHT)
    assert opened(path) == (RIGHT,)


@pytest.mark.parametrize("kept", [1, 30, -1])
def test_an_incomplete_last_line_is_cut_off_and_the_log_continues(path: Path, kept: int):
    with AttemptLog(path, HEADER) as log:
        log.append(RIGHT)
        whole = path.read_bytes()
        log.append(RIGHT)
    torn = path.read_bytes()[len(whole) :][:kept]
    path.write_bytes(whole + torn)
    with AttemptLog(path, HEADER) as log:
        assert log.earlier == (RIGHT,)
        log.append(RIGHT)
    assert opened(path) == (RIGHT, RIGHT)


def test_a_log_with_an_incomplete_header_starts_over(path: Path):
    path.write_bytes(b'{"pope_ora')
    assert opened(path) == ()
    assert opened(path) == ()


def test_a_damaged_line_of_the_log_is_refused_with_its_number(path: Path):
    opened(path)
    with path.open("ab") as file:
        file.write(b'{"id": 3}\n')
    with pytest.raises(UsageError, match=rf"{path}:2: not a line of this log .* --fresh"):
        opened(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "other"}, "the model 'big'"),
        ({"source": "q.jsonl"}, "the source 'p.jsonl'"),
        ({"problems": "x"}, "other problems"),
    ],
)
def test_a_log_with_another_header_is_refused_unless_fresh(path: Path, change: dict[str, str], words: str):
    with AttemptLog(path, HEADER) as log:
        log.append(RIGHT)
    other = Header(**{"model": "big", "source": "p.jsonl", "problems": "abc", **change})
    with pytest.raises(UsageError, match=f"was made for {words}.*--fresh"):
        opened(path, other)
    assert opened(path, other, fresh=True) == ()
    assert opened(path.with_name("log.1")) == (RIGHT,), "the old log is kept"


def test_two_processes_cannot_open_one_log(path: Path):
    with AttemptLog(path, HEADER):
        for fresh in (False, True):
            with pytest.raises(UsageError, match="another pope oracle writes to it"):
                opened(path, fresh=fresh)
    assert opened(path) == ()
    assert [file.name for file in path.parent.iterdir()] == ["log"], "no log was renamed"


@contextmanager
def files_up_to(num_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_a_usage_error_and_leaves_the_log_intact(path: Path):
    with AttemptLog(path, HEADER) as log:
        log.append(RIGHT)
        with files_up_to(path.stat().st_size + 10), pytest.raises(UsageError, match=f"{path}: .*free space"):
            log.append(RIGHT)
    assert opened(path) == (RIGHT,)


def test_a_missing_folder_is_a_usage_error(tmp_path: Path):
    with pytest.raises(UsageError, match="No such file"):
        opened(tmp_path / "nowhere" / "log")


def test_the_fingerprint_depends_on_the_problems_and_not_on_their_solutions():
    same = msgspec.structs.replace(problem(1), solution="so 1")
    other = msgspec.structs.replace(problem(1), answer="2")
    assert fingerprint([same]) == fingerprint([problem(1)]) != fingerprint([other])


# Texts of the endpoint ----------------------------------------------------------------------------------------------


def test_control_characters_are_removed_from_texts_of_the_endpoint():
    assert printable("\x1b[31mred\x00\r\nline\ttab\x9b\u202e\ue000\u2028end\ud800é∑") == "[31mred\nline\ttab end\u00e9∑"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, 0.0), ("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("nan", 0.0), ("9" * 400, 0.0), ("soon", 0.0), ("", 0.0)],
)
def test_an_invalid_retry_after_is_no_wait(header: str | None, seconds: float):
    assert retry_after_s(header) == seconds


def test_a_retry_after_may_be_a_date():
    assert 25 < retry_after_s(format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)) <= 30
    assert retry_after_s("Mon, 01 Jan 2001 00:00:00 GMT") == 0.0
