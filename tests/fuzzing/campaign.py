"""`make fuzz`: random input against every reader of external data.

    python -m tests.fuzzing.campaign --records 100000 --answers 1000 --settings 2000 --rows 20000 --seed 0

A target fails when an input makes it raise anything but its documented error, or take longer than its deadline. A
failure is reproduced by the seed and the number of the input.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from actors.problems.jsonl import jsonl_rows, write_rejected
from actors.problems.row_layout import Layout
from actors.problems.rows import read_rows
from actors.verification.verifier import VerifierPool
from broker.errors import RecordError, UsageError
from broker.records import RolloutGroup, TrainGroup, Verdict, decode, encode
from conf.errors import ConfigError
from conf.load import dump, load
from conf.schema import VerifierSettings
from tests.actors.hostile import GOLDS
from tests.fuzzing import mutations

HANG_S = 20.0
"""An input that takes longer counts as a hang, seconds. Inputs have a few kilobytes."""
VERIFIER = VerifierSettings(workers=2, deadline_s=0.5)


def records(count: int, seed: int) -> Counter[str]:
    """Mutated frames through the decoder. A frame that decodes must survive another round trip."""

    def one(random_: random.Random) -> str:
        kind, frame = mutations.frame(random_)
        try:
            record = decode(frame, kind)
        except RecordError:
            return "refused"
        assert decode(encode(record), kind) == record
        group = record.rollout_group if isinstance(record, TrainGroup) else record
        if isinstance(group, RolloutGroup):
            assert group.num_completion_tokens == sum(len(c.token_versions()) for c in group.policy_rollouts)
        return "still a record"

    return _campaign("records", one, count, seed)


def settings(count: int, seed: int) -> Counter[str]:
    """Mutated YAML files through the loader. Settings that load must also be dumped without an error."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fuzzed.yaml"

        def one(random_: random.Random) -> str:
            path.write_text(mutations.settings(random_), encoding="utf-8", errors="surrogatepass")
            try:
                config = load(path)
            except ConfigError as error:
                message = str(error)
            else:
                dump(config)
                return "settings"
            assert "\n" not in message
            assert len(message) < 2000
            return "refused"

        return _campaign("settings", one, count, seed)


def rows(count: int, seed: int) -> Counter[str]:
    """Mutated lines of a problem file. Each gives a problem, a rejected row that can be written, or a UsageError."""
    with tempfile.TemporaryDirectory() as folder:
        path, reasons = Path(folder) / "fuzzed.jsonl", Path(folder) / "rejected.jsonl"

        def one(random_: random.Random) -> str:
            path.write_text(mutations.row(random_), encoding="utf-8")
            try:
                found = read_rows(jsonl_rows(path), Layout("fuzzed", str(path)))
            except UsageError:
                return "refused"
            write_rejected(reasons, found.rejected)
            return "rejected row" if found.rejected else "problem"

        return _campaign("rows", one, count, seed)


def answers(count: int, seed: int) -> Counter[str]:
    """Hostile answers through the verifier pool, two at a time. Each must get a verdict."""

    async def judge(pool: VerifierPool, number: int) -> str:
        random_ = random.Random(f"answers {seed} {number}")
        text, gold = mutations.answer(random_), random_.choice(GOLDS)
        try:
            async with asyncio.timeout(HANG_S + 60.0):  # a new worker may have to start first
                verdict = await pool.judge(text, gold)
        except Exception as error:
            raise AssertionError(f"answers, seed {seed}, input {number}: {type(error).__name__}: {error}") from error
        assert verdict in get_args(Verdict)
        return verdict

    async def run() -> Counter[str]:
        pool, seen = VerifierPool(VERIFIER), Counter[str]()
        try:
            width = 4 * VERIFIER.workers
            for start in range(0, count, width):
                numbers = range(start, min(start + width, count))
                seen.update(await asyncio.gather(*(judge(pool, number) for number in numbers)))
                _show("answers", numbers.stop, count)
        finally:
            pool.close()
        return seen

    return asyncio.run(run())


def _campaign(name: str, one: Callable[[random.Random], str], count: int, seed: int) -> Counter[str]:
    seen: Counter[str] = Counter()
    for number in range(count):
        started = time.process_time()
        try:
            seen[one(random.Random(f"{name} {seed} {number}"))] += 1
        except Exception as error:
            raise AssertionError(f"{name}, seed {seed}, input {number}: {type(error).__name__}: {error}") from error
        took = time.process_time() - started
        assert took < HANG_S, f"{name}, seed {seed}, input {number}: {took:.1f} s"
        if number % 512 == 511:
            _show(name, number + 1, count)
    return seen


def _show(name: str, done: int, count: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{name} {done}/{count} ", end="", file=sys.stderr, flush=True)


TARGETS = {
    "records": (records, 100_000), "settings": (settings, 2_000), "rows": (rows, 20_000), "answers": (answers, 1_000),
}  # fmt: skip
"""Name -> (campaign, default number of inputs)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (_, count) in TARGETS.items():
        parser.add_argument(f"--{name}", type=int, default=count, metavar="N", help=f"inputs; default {count:,}")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name, (campaign, _) in TARGETS.items():
        count, started = getattr(options, name), time.monotonic()
        seen = campaign(count, options.seed)
        outcomes = ", ".join(f"{number:,} {outcome}" for outcome, number in seen.most_common())
        wall_s = time.monotonic() - started
        print(f"{name}: {count:,} inputs in {wall_s:.0f} s, 0 crashes, 0 hangs: {outcomes}", flush=True)


if __name__ == "__main__":
    main()
