"""A run without vLLM: recorded or synthetic reports, written again by the product's own writers.

Every group is claimed, published, read, put into the ring or dropped, taken and committed. So the balance holds, the
ring moves, and readers of Redis see what a live run writes.

    python -m tests.replay runs/pope /tmp/again --speed 20      # then: pope dashboard /tmp/again/pope
"""

import argparse
import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from actors.prompts import guided_message, unguided_message
from actors.readable_rollout import sample_values
from broker.connection import Client, connect
from broker.feed import Feed
from broker.keys import Keys
from broker.metrics import Control, Heartbeats, Metrics
from broker.records import Rollout, RolloutGroup, Verdict, WeightAnnouncement, float32_bytes, int32_bytes
from broker.ring import Ring
from broker.rollout_samples import RolloutSamples
from broker.run_record import describe_run, open_run
from broker.streams import RolloutStream
from broker.weights import WeightBoard
from conf.load import dump, load
from conf.schema import RunConfig
from deploy.cluster.redis_server import EmbeddedRedis
from deploy.store.run_folder import RunFolder
from tests.groups import train_group

Row = dict[str, str]
SAMPLE_EVERY = 5
"""One group of this many becomes a sample."""
KEPT_BATCHES = 20


def text_of(token_ids: list[int]) -> str:
    """The replay's tokenizer: every token is a character."""
    return "".join(map(chr, token_ids))


@dataclass(frozen=True)
class Recording:
    """Reports of every room, in the order of their ids."""

    rooms: dict[str, list[Row]]

    @classmethod
    def read(cls, run: Path) -> "Recording":
        files = {path.stem: path for path in (run / "metrics").glob("*.jsonl")}
        return cls({room: [json.loads(line) for line in path.read_text().splitlines()] for room, path in files.items()})

    def events(self) -> Iterator[tuple[float, str, Row]]:
        """(seconds since the first, room, report) in the order they were written."""
        moments = [(_seconds(row), room, row) for room, rows in self.rooms.items() for row in rows]
        moments.sort(key=lambda moment: moment[0])
        for moment_s, room, row in moments:
            yield moment_s - moments[0][0], room, row


def made_up(*, problems: int = 24, steps: int = 12, seed: int = 0) -> Recording:
    """A synthetic run that learns: guided success rises before unguided does. Eight groups of eight rollouts a step."""
    rng = random.Random(seed)
    rooms: dict[str, list[Row]] = {"groups": [], "learner": [], "actors": [], "preprocess": []}
    group_id = 0
    for step in range(steps):
        start_ms = 1_700_000_000_000 + 2000 * step
        kept = 0
        while kept < 8:
            arm = ("unguided", "guided")[group_id % 2]
            skill = min(1.0, step / steps + (0.3 if arm == "guided" else 0.0))
            successes = sum(rng.random() < skill for _ in range(8))
            outcome = "kept" if 0 < successes < 8 else "zero_advantage"
            kept += outcome == "kept"
            rooms["groups"].append(
                {
                    "id": f"{start_ms + 10 * group_id % 900}-0", "ordinal": str(group_id), "arm": arm, "bucket": "hard",
                    "problem_id": f"p{group_id // 2 % problems:03d}", "outcome": outcome, "step": str(step),
                    "successes": str(successes), "oldest_version": str(max(0, step - 1)),
                }
            )  # fmt: skip
            group_id += 1
        rooms["learner"].append(
            {
                "id": f"{start_ms + 1500}-0", "step": str(step + 1), "loss/mean": "-0.01", "grad/norm": "0.3",
                "step/applied": "1", "step/seconds": "0.5", "step/tokens": "3000", "step/samples": "64",
                "step/tokens_per_s": "6000.0", "learning_rate/value": "0.0005", "ratio/ess": "0.97",
                "ratio/clip_share": "0.0", "ratio/mean": "1.0", "ratio/max": "1.4", "logprob/rms": "0.02",
                "entropy/mean": repr(0.2 - 0.15 * step / steps), "lag/mean": "1.25", "lag/max": "2",
                "lag/histogram": "0:1000 1:500 2:1500", "reward/guided/mean": "0.6", "reward/unguided/mean": "0.4",
                "share/advantage/hard/guided": "0.7", "share/advantage/hard/unguided": "0.3",
            }
        )  # fmt: skip
        rooms["actors"] += [
            {"id": f"{start_ms + 100}-0", "actor": "actor-0", "version": str(step), "tokens": "8000", "groups": "8"},
            {
                "id": f"{start_ms + 1600}-0", "actor": "actor-0", "sync/version": str(step + 1),
                "sync/stall_ms": "80.5", "sync/in_flight_groups": "5", "sync/canary_mismatches": "0",
            },
        ]  # fmt: skip
        rooms["preprocess"].append(
            {
                "id": f"{start_ms + 1000}-0", "worker": "preprocess-0", "step": str(step),
                "preprocess/ring/occupancy": "48", "preprocess/stream/depth": "2",
            }
        )  # fmt: skip
    return Recording(rooms)


class Replay:
    """Writes a recording to Redis. `write`: group id -> text of its rollouts, hostile texts for example."""

    def __init__(self, client: Client, config: RunConfig, *, write: Callable[[int], str] | None = None) -> None:
        keys = Keys(config.run.name)
        self.config, self.client, self.keys = config, client, keys
        self.feed, self.stream, self.board = Feed(client, keys), RolloutStream(client, keys), WeightBoard(client, keys)
        self.ring = Ring(client, keys, config.broker.ring.capacity, config.broker.ring.when_full)
        self.metrics, self.samples = Metrics(client, keys), RolloutSamples(client, keys)
        self.heartbeats, self.control = Heartbeats(client, keys), Control(client, keys)
        self._write = write or _chain
        self._version = 0

    def open(self) -> None:
        open_run(self.client, self.keys, "replay", resume=False)
        describe_run(self.client, self.keys, {"settings": msgspec.json.encode(self.config).decode()})
        self.feed.open(self.config.run.max_groups)
        self.stream.open()

    def run(self, recording: Recording, *, speed: float | None = None, until: float | None = None) -> None:
        """Tell it all, `speed` times as fast as it happened; None: at once. `until`: seconds of the recording."""
        describe_run(self.client, self.keys, {"num_hard": len({g["problem_id"] for g in recording.rooms["groups"]})})
        waiting = deque(recording.rooms["groups"])
        started = time.monotonic()
        for moment_s, room, row in recording.events():
            if until is not None and moment_s > until:
                return
            if speed is not None:
                time.sleep(max(0.0, started + moment_s / speed - time.monotonic()))
            if room == "groups":
                if waiting and waiting[0] is row:  # else it was used in an earlier step
                    self._group(waiting.popleft())
            elif room == "learner":
                self._step(row, waiting)
            else:
                self._report(room, row)

    def _group(self, row: Row) -> None:
        token = f"replay/{row['ordinal']}"
        group_id = self.feed.claim(token, held_version=0, batch_groups=8, max_lag=None, lease_s=60, high_water=999)
        assert group_id is not None
        group = self._made(group_id, row)
        assert self.feed.publish(group_id, token, group)
        (delivery,) = self.stream.read("preprocess-0", count=1, block_s=0, claim_idle_s=60)
        step = int(row["step"])
        if row["outcome"] == "kept":
            assert self.ring.put(delivery.entry_id, train_group(group), step=step)
        else:
            assert self.ring.drop(delivery.entry_id, group, row["outcome"], step=step)
        sizes = {
            "actor": group.actor, "rollouts": len(group.policy_rollouts), "judged": group.num_judged,
            "reward_sum": float(group.num_successes), "prompt_tokens": group.num_prompt_tokens,
            "completion_tokens": group.num_completion_tokens, "cut_off": 0,
        }  # fmt: skip
        self.metrics.report("groups", {**sizes, **_values(row), "ordinal": group_id})
        if group_id % SAMPLE_EVERY == 0:
            self.samples.add(sample_values(group, text_of))
        self.heartbeats.beat("preprocess-0", "waiting for groups")

    def _made(self, group_id: int, row: Row) -> RolloutGroup:
        statement = f"Problem {row['problem_id']}: find $a$."
        guided = row["arm"] == "guided"
        prompt = guided_message(statement, "$a=F(1)=4$", "default") if guided else unguided_message(statement)
        token_ids = [ord(c) for c in self._write(group_id)]
        oldest, newest = int(row["oldest_version"]), max(int(row["oldest_version"]), self._version)
        both = newest > oldest and len(token_ids) > 10
        spans = ((0, oldest), (10, newest)) if both else ((0, oldest),)
        verdicts: list[Verdict] = ["correct" if i < int(row["successes"]) else "wrong" for i in range(8)]
        return RolloutGroup(
            group_id=group_id,
            problem_id=row["problem_id"],
            arm=row["arm"],
            bucket="hard",
            actor="actor-0",
            prompt_ids=int32_bytes([ord(c) for c in prompt]),
            rollouts=tuple(
                Rollout(
                    token_ids=int32_bytes(token_ids),
                    logprobs=float32_bytes([-0.1 * (i % 9) for i in range(len(token_ids))]),
                    version_spans=spans,
                    finish_reason="stop",
                    verdict=verdict,
                    reward=float(verdict == "correct"),
                )
                for verdict in verdicts
            ),
        )

    def _step(self, row: Row, waiting: deque[Row]) -> None:
        step, samples = self.ring.committed() + 1, self.config.learner.batch_samples
        while self.ring.take(step, samples, max_lag=None) is None:
            if not waiting:
                return
            self._group(waiting.popleft())
        groups = self.ring.batch(step)
        assert groups is not None
        shown = self.samples.shown()
        for trained in groups:
            for i, completion in enumerate(trained.rollout_group.rollouts):
                if (trained.rollout_group.group_id, i) in shown:
                    ratios = [1 + 0.5 * ((n % 7) - 3) / 3 for n in range(completion.num_tokens)]
                    self.samples.add_ratios(trained.rollout_group.group_id, i, step, ratios)
        self.ring.commit(step)
        if step > KEPT_BATCHES:
            self.ring.trim(step - KEPT_BATCHES)
        self._version = step
        self.board.announce(WeightAnnouncement(version=step, backend="file", path="/dev/null"))
        self.board.hold("actor-0", step)
        self.heartbeats.beat("learner-0", f"waiting for the batch of step {step + 1}")
        self.metrics.report("learner", {**_values(row), "step": step})

    def _report(self, room: str, row: Row) -> None:
        if room == "actors":
            self.heartbeats.beat("actor-0", "33 groups in flight")
        self.metrics.report(room, _values(row))


def _chain(group_id: int) -> str:
    return f"$a=F({group_id % 10})=4$\nThe answer is $\\boxed{{a^{group_id % 10}}}$."


def _values(row: Row) -> dict[str, float | int | str]:
    return {name: value for name, value in row.items() if name != "id"}


def _seconds(row: Row) -> float:
    return int(row["id"].split("-")[0]) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("out", type=Path, help="root of the new run folder")
    parser.add_argument("--speed", type=float, default=10.0)
    words = parser.parse_args()
    config = load(words.run / "settings.yaml")
    config = replace(config, run=replace(config.run, root=str(words.out), max_groups=None))
    folder = RunFolder.of(config)
    folder.path.mkdir(parents=True)
    folder.settings.write_text(dump(config))
    with EmbeddedRedis(folder.redis, run=config.run.name, fsync="everysec") as server:
        replay = Replay(connect(server.url_of("driver"), client_name="replay"), config)
        replay.open()
        print(f"replaying {words.run} in {folder.path}", flush=True)
        replay.run(Recording.read(words.run), speed=words.speed)
        replay.control.stop("the recording is over")


if __name__ == "__main__":
    main()
