"""The verifier pool gives correct verdicts, and no answer can block or end it."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors.verification import verifier_process as verify_child
from actors.verification.verifier import VerifierPool
from actors.verification.verifier_lane import VerifierUnavailable
from actors.verification.verifier_process import judge as judge_in_process
from actors.verification.verifier_workers import DeadlineExceeded
from conf.schema import VerifierSettings
from tests.actors.hostile import BOXED

REPOSITORY = Path(__file__).parents[3]
SLOW = BOXED["powers_of_sums"]
"""100^4 terms: math-verify takes hours, and no rule refuses it."""


@contextmanager
def pool(**settings) -> Iterator[VerifierPool]:
    opened = VerifierPool(VerifierSettings(**{"deadline_s": 30.0, **settings}))
    try:
        yield opened
    finally:
        opened.close()


def box(answer):
    return f"So it is \\boxed{{{answer}}}."


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def fork_server_of(pool):
    return pool._fork_server._process.pid


def test_every_verdict_has_its_case():
    cases = [
        ("no box at all", "42", "no_answer"),
        (box(""), "42", "no_answer"),
        (box("42"), "42", "correct"),
        (box("43"), "42", "wrong"),
        (box("\\frac{84}{2}"), "42", "correct"),
        (box("0.5"), "\\frac{1}{2}", "correct"),
        (box("0.25"), "\\frac{1}{2}", "wrong"),
        (box("1+x"), "x+1", "correct"),
        (box("\\text{Monday}"), "\\text{Tuesday}", "wrong"),
        (box("\\frac 1"), "42.5", "unparsable"),
        (box("+"), "42.5", "unparsable"),
        (box("1" * 1001), "42", "unparsable"),
        (f"<think>{box(42)}</think> I give up.", "42", "no_answer"),
    ]

    async def run():
        with pool(workers=1) as verifier:
            return [await verifier.judge(text, gold) for text, gold, _ in cases]

    assert asyncio.run(run()) == [verdict for _, _, verdict in cases]


def test_reference_answers_that_cannot_be_parsed_are_told():
    async def run():
        with pool(workers=1) as verifier:
            return [await verifier.judge_reference(reference) for reference in ("42", "\\frac{1}{2}", "}{")]

    assert asyncio.run(run()) == ["correct", "correct", "unparsable"]


def test_a_hanging_answer_is_a_timeout_and_only_that_one():
    async def run():
        with pool(workers=2, deadline_s=0.7) as verifier:
            await asyncio.gather(*(verifier.judge_reference("x^2+1") for _ in range(2)))
            answers = [SLOW, *["1+x"] * 5]
            return await asyncio.gather(*(verifier.judge(box(answer), "x+1") for answer in answers))

    assert asyncio.run(run()) == ["timeout", *["correct"] * 5]


def test_the_deadline_counts_cpu_time():
    """A worker that the machine does not run has time to answer later."""

    async def run():
        with pool(workers=1, deadline_s=0.3) as verifier:
            assert await verifier.judge_reference("x^2+1") == "correct"
            (worker,) = children(fork_server_of(verifier))
            os.kill(worker, signal.SIGSTOP)
            question = asyncio.create_task(verifier.judge(box("1+x"), "x+1"))
            await asyncio.sleep(0.6)
            os.kill(worker, signal.SIGCONT)
            return await question

    assert asyncio.run(run()) == "correct"


def test_an_answer_whose_worker_waits_without_cpu_time_is_judged_by_another(monkeypatch):
    monkeypatch.setattr("actors.verification.verifier_lane.BACKSTOP_S", 1.0)

    async def run():
        with pool(workers=1, deadline_s=0.2) as verifier:
            assert await verifier.judge_reference("x^2+1") == "correct"
            (worker,) = children(fork_server_of(verifier))
            os.kill(worker, signal.SIGSTOP)
            return await verifier.judge(box("1+x"), "x+1"), await verifier.judge_reference("x^3+1")

    assert asyncio.run(run()) == ("correct", "correct")


@pytest.mark.parametrize(("slow", "number"), [(0, 1), (1, 2), (2, 3), (3, 3)])
def test_a_timeout_is_a_verdict_only_after_a_short_a_whole_and_a_second_trial(monkeypatch, slow, number):
    """`slow`: how many trials the answer takes too long for."""
    trials = []

    async def ask(worker, request, deadline_s):
        await asyncio.sleep(0)
        if request[0]["answer"] != "1+x^2":
            return b'"correct"'
        trials.append((worker, deadline_s))
        if len(trials) > slow:
            return b'"correct"'
        raise DeadlineExceeded

    monkeypatch.setattr("actors.verification.verifier_workers.Worker.ask", ask)

    async def run():
        with pool(workers=3) as verifier:
            retries = []
            monkeypatch.setattr(verifier._retries, "add", lambda *trial: retries.append(trial))
            verdict = await verifier.judge(box("1+x^2"), "\\sin x+1")
            assert len({worker for worker, _ in trials}) == len(trials) == number
            assert [deadline_s for _, deadline_s in trials] == [0.25, 30.0, 30.0][:number]
            assert [timed_out for _, _, timed_out in retries] == [slow == 3] * (number == 3)
            assert await asyncio.gather(*(verifier.judge(box("1+x"), "x+1") for _ in range(5))) == ["correct"] * 5
            return verdict

    assert asyncio.run(run()) == ("timeout" if slow == 3 else "correct")


def test_ordinary_answers_do_not_wait_for_hostile_ones():
    """Twenty answers that take hours stand before one: it has its verdict before they have theirs."""

    async def run():
        with pool(workers=1, deadline_s=2.0) as verifier:
            assert await verifier.judge_reference("x^2+1") == "correct"
            hostile = [asyncio.create_task(verifier.judge(box(f"{SLOW}+{n}"), "x+1")) for n in range(20)]
            await asyncio.sleep(0)
            verdict = await verifier.judge(box("1+x"), "x+1")
            done = sum(task.done() for task in hostile)
            for task in hostile:
                task.cancel()
            await asyncio.wait(hostile)
            return verdict, done

    verdict, done = asyncio.run(run())
    assert verdict == "correct"
    assert done <= 3


def test_workers_grow_while_answers_wait_and_are_few_afterwards():
    async def run():
        with pool(workers=1) as verifier:
            assert await verifier.judge_reference("x^2+1") == "correct"
            answers = [asyncio.create_task(verifier.judge(box(f"{SLOW}+{n}"), "x+1")) for n in range(9)]
            await asyncio.sleep(0.1)
            most = len(verifier._quick._workers)
            for answer in answers:
                answer.cancel()
            await asyncio.wait(answers)
            assert await verifier.judge(box("1+x"), "x+1") == "correct"
            return most, len(verifier._quick._workers), len(verifier._slow._workers)

    assert asyncio.run(run()) == (4, 1, 0)


def test_an_answer_that_timed_out_twice_is_not_tried_again():
    async def run():
        with pool(workers=1, deadline_s=0.3) as verifier:
            first = await verifier.judge(box(SLOW), "x+1")
            workers = verifier._fork_server._ids.__reduce__()
            return first, await verifier.judge(box(SLOW), "x+1"), workers == verifier._fork_server._ids.__reduce__()

    assert asyncio.run(run()) == ("timeout", "timeout", True)


def test_a_killed_worker_is_a_crash_of_its_own_answer_only(monkeypatch):
    monkeypatch.setattr("actors.verification.verifier.QUICK_S", 30.0)

    async def run():
        with pool(workers=1) as verifier:
            assert await verifier.judge_reference("42") == "correct"
            (worker,) = children(fork_server_of(verifier))
            question = asyncio.create_task(verifier.judge(box(SLOW), "x+1"))
            await asyncio.sleep(0.2)
            os.kill(worker, signal.SIGKILL)
            return await question, [await verifier.judge(box("1+x"), "x+1") for _ in range(3)]

    assert asyncio.run(run()) == ("crash", ["correct"] * 3)


def test_a_worker_killed_while_idle_costs_no_answer():
    async def run():
        with pool(workers=1) as verifier:
            assert await verifier.judge_reference("42") == "correct"
            (worker,) = children(fork_server_of(verifier))
            os.kill(worker, signal.SIGKILL)
            await asyncio.sleep(0.2)
            return await verifier.judge(box("1+x"), "x+1")

    assert asyncio.run(run()) == "correct"


def test_a_killed_fork_server_is_replaced():
    async def run():
        with pool(workers=2) as verifier:
            assert await verifier.judge_reference("42") == "correct"
            family = [fork_server_of(verifier), *children(fork_server_of(verifier))]
            os.kill(family[0], signal.SIGKILL)
            while any(running(pid) for pid in family):
                await asyncio.sleep(0.05)
            return await asyncio.gather(*(verifier.judge(box("1+x"), "x+1") for _ in range(6)))

    assert asyncio.run(run()) == ["correct"] * 6


def test_a_worker_may_use_no_more_memory_than_the_settings_say():
    async def run():
        with pool(workers=1, memory_gib=0.75) as verifier:
            assert await verifier.judge_reference("42") == "correct"
            (worker,) = children(fork_server_of(verifier))
            return Path(f"/proc/{worker}/limits").read_text()

    limits = {line[:26].strip(): line[26:].split()[0] for line in asyncio.run(run()).splitlines()}
    assert limits["Max address space"] == str(3 * 2**28)
    assert limits["Max core file size"] == "0"


@pytest.mark.parametrize("step", ["parse", "verify"])
def test_running_out_of_memory_is_no_verdict_but_the_end_of_the_worker(monkeypatch, step):
    def exhausted(*args, **kwargs):
        raise MemoryError

    judge_in_process("42.5", "1")  # the reference answer is parsed before
    monkeypatch.setattr(verify_child, step, exhausted)
    with pytest.raises(MemoryError):
        judge_in_process("42.5", "2")


def test_a_cancelled_question_does_not_answer_the_next_one():
    async def run():
        with pool(workers=1) as verifier:
            assert await verifier.judge_reference("42") == "correct"
            question = asyncio.create_task(verifier.judge(box(SLOW), "x+1"))
            await asyncio.sleep(0.1)
            question.cancel()
            await asyncio.wait([question])
            return question.cancelled(), await verifier.judge(box("1+x"), "x+1")

    assert asyncio.run(run()) == (True, "correct")


def test_workers_are_replaced_after_many_answers(monkeypatch):
    monkeypatch.setattr("actors.verification.verifier_lane.REQUESTS_PER_WORKER", 3)

    async def run():
        with pool(workers=1) as verifier:
            seen = set()
            for _ in range(9):
                assert await verifier.judge(box("1+x"), "x+1") == "correct"
                seen.update(children(fork_server_of(verifier)))
            return len(seen), len(children(fork_server_of(verifier)))

    seen, alive = asyncio.run(run())
    assert seen >= 3
    assert alive <= 2


def test_a_closed_pool_leaves_no_process_and_refuses_questions():
    async def run():
        with pool(workers=2) as verifier:
            assert await verifier.judge_reference("42") == "correct"
            family = [fork_server_of(verifier), *children(fork_server_of(verifier))]
        for _ in range(100):
            if not any(Path(f"/proc/{pid}").exists() for pid in family):
                break
            await asyncio.sleep(0.05)
        with pytest.raises(VerifierUnavailable, match="closed"):
            await verifier.judge(box("1+x"), "x+1")
        return [pid for pid in family if Path(f"/proc/{pid}").exists()]

    assert asyncio.run(run()) == []


def test_workers_die_with_a_parent_that_was_killed():
    import subprocess
    import sys

    script = (
        "import asyncio, time\n"
        "from actors.verification.verifier import VerifierPool\n"
        "from conf.schema import VerifierSettings\n"
        "pool = VerifierPool(VerifierSettings(deadline_s=30.0))\n"
        "asyncio.run(pool.judge_reference('42'))\n"
        "print(pool._fork_server._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    fork_server = int(parent.stdout.readline())
    family = [fork_server, *children(fork_server)]
    assert len(family) == 2
    assert os.getpgid(fork_server) == os.getpgid(parent.pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(running(pid) for pid in family):
        time.sleep(0.05)
    assert not any(running(pid) for pid in family)


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_math_verify_agrees_with_exact_comparison_on_chains():
    rng = random.Random(0)
    disagreements = []
    for n in range(24):
        digits = [rng.randrange(10) for _ in "abcdfghj"]
        other = list(digits)
        if n % 2:
            other[rng.randrange(8)] = rng.randrange(10)
        gold, answer = ("".join(map("{}^{}".format, "abcdfghj", each)) for each in (digits, other))
        if (judge_in_process(gold, answer) == "correct") != (digits == other):
            disagreements.append((gold, answer))
    assert disagreements == []


def test_one_worker_costs_little_beside_the_judging_itself():
    answers = [f"x+{n}" for n in range(300)]

    async def run():
        with pool(workers=1) as verifier:
            await verifier.judge(box("x+1"), "x+4242")
            began = time.monotonic()
            verdicts = await asyncio.gather(*(verifier.judge(box(answer), "x+4242") for answer in answers))
            return set(verdicts), time.monotonic() - began

    verdicts, pool_s = asyncio.run(run())
    assert verdicts == {"wrong"}
    began = time.monotonic()
    assert {judge_in_process("x+4242", answer) for answer in answers} == {"wrong"}
    assert pool_s < 10 * (time.monotonic() - began)


CONFINED = """
import os, signal, socket, subprocess, sys
from actors.verification import confined_process as verify_child
here, there = socket.socketpair()
os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 9)
def attempts():
    yield lambda: socket.create_connection(("127.0.0.1", 9))
    yield lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    yield lambda: socket.socket(socket.AF_UNIX)
    yield lambda: subprocess.run(["true"])
    yield lambda: os.execv(sys.executable, [sys.executable])
    yield lambda: os.kill(os.getppid(), signal.SIGTERM)
    yield lambda: os.pwrite(9, b"x", verify_child.MAX_FILE_BYTES)
    yield lambda: bytearray(3 * 2**30)
def judge(questions):
    for attempt in attempts():
        try:
            attempt()
            os.write(2, b"allowed\\n")
        except (OSError, MemoryError) as error:
            os.write(2, f"refused {type(error).__name__} {getattr(error, 'errno', '')}\\n".encode())
    return "wrong"
if os.fork() == 0:
    here.close()
    verify_child.run_worker(there, 2**31, os.getppid(), judge)
    os._exit(0)
there.close()
assert verify_child.receive(here, 4) and verify_child.receive(here, 7) == b'"ready"'
request = b'{"deadline_s": 60.0, "request": []}'
here.sendall(len(request).to_bytes(4, "big") + request)
assert verify_child.receive(here, int.from_bytes(verify_child.receive(here, 4), "big")) == b'"wrong"'
here.close()
os.wait()
"""


def test_a_worker_reaches_neither_the_network_nor_another_process_nor_much_disk_or_memory(tmp_path):
    command = [sys.executable, "-c", CONFINED, str(tmp_path / "file")]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    said = [line.strip() for line in ended.stderr.strip().split("\n")]
    assert said[-2:] == ["refused OSError 27", "refused MemoryError"]
    if "no seccomp filters" not in ended.stderr:
        assert said[:-2] == ["refused PermissionError 1"] * 6


def test_the_children_inherit_no_secret(monkeypatch):
    monkeypatch.setenv("POPE_BROKER_URL", "canary")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "canary")
    with pool() as verifier:
        assert asyncio.run(verifier.judge(box("1+x"), "x+1")) == "correct"
        for pid in (fork_server_of(verifier), *children(fork_server_of(verifier))):
            assert "canary" not in Path(f"/proc/{pid}/environ").read_text()
