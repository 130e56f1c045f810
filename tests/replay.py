"""A run without vLLM: recorded or synthetic reports, written to Redis by the product's own writers.

Every group is claimed, published, read, put into the ring or dropped, taken and committed. So the balance holds, the
ring moves, and readers of Redis see what a live run writes.

    python -m tests.replay runs/pope /tmp/again --speed 20      # then: pope dashboard /tmp/again/pope
"""

import argparse
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
from broker.reports import ACTORS, GroupEnd, LearnerStep, Report
from broker.ring import Ring
from broker.rollout_samples import RolloutSamples
from broker.run_record import describe_run, open_run
from broker.streams import RolloutStream
from broker.weights import WeightBoard
from conf.load import dump, load
from conf.schema import RunConfig
from deploy.cluster.redis_server import EmbeddedRedis
from deploy.store.metric_files import read_entries
from deploy.store.run_folder import RunFolder
from deploy.store.run_view import ROOMS, Reports
from tests.groups import train_group
from tests.reports import actor_output, ended, learner_step, preprocess_work, role_times, weight_sync

SAMPLE_EVERY = 5
"""One group of this many becomes a sample."""
KEPT_BATCHES = 20


def text_of(token_ids: list[int]) -> str:
    """The replay's tokenizer: every token is a character."""
    return "".join(map(chr, token_ids))


@dataclass(frozen=True)
class Recording:
    """Reports by kind, each oldest first."""

    reports: Reports

    @classmethod
    def read(cls, run: Path) -> "Recording":
        folder = RunFolder(run).metrics
        return cls(Reports.of({room: read_entries(folder, room) for room in ROOMS}))

    def events(self) -> Iterator[tuple[float, Report]]:
        """(seconds since the first, report) in the order they were written."""
        r = self.reports
        everything = [*r.groups, *r.learner, *r.outputs, *r.syncs, *r.preprocess, *r.times, *r.notes]
        everything.sort(key=lambda report: report.unix_s)
        for report in everything:
            yield report.unix_s - everything[0].unix_s, report


def synthetic_recording(*, problems: int = 24, steps: int = 12, seed: int = 0) -> Recording:
    """A synthetic run that learns: guided success rises before unguided does. Eight groups of eight rollouts a step."""
    rng = random.Random(seed)
    reports = Reports()
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
            reports.groups.append(
                ended(
                    successes, id=f"{start_ms + 10 * group_id % 900}-0", group_id=group_id, arm=arm, outcome=outcome,
                    problem_id=f"p{group_id // 2 % problems:03d}", step=step, oldest_version=max(0, step - 1),
                    prompt_tokens=0, completion_tokens=0,  # those of the group that is written
                )
            )  # fmt: skip
            group_id += 1
        reports.learner.append(
            learner_step(
                step + 1, id=f"{start_ms + 1500}-0", mfu=0.25, entropy=0.2 - 0.15 * step / steps,
                reward_mean={"guided": 0.6, "unguided": 0.4},
                advantage_share={"hard/guided": 0.7, "hard/unguided": 0.3},
            )
        )  # fmt: skip
        reports.outputs.append(actor_output(step, id=f"{start_ms + 100}-0"))
        reports.syncs.append(weight_sync(step + 1, id=f"{start_ms + 1600}-0"))
        reports.preprocess.append(preprocess_work(step, id=f"{start_ms + 1000}-0"))
        reports.times.append(role_times("learner-0", id=f"{start_ms + 1500}-1", wait_input=0.92, work=0.9, other=0.18))
        reports.times.append(role_times("actor-0", id=f"{start_ms + 1600}-1", work=1.8, weights=0.06, canary=0.14))
    return Recording(reports)


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
        """Write a recording, `speed` times as fast as it happened; None: at once. `until`: seconds of it."""
        groups = recording.reports.groups
        describe_run(self.client, self.keys, {"num_hard": len({group.problem_id for group in groups})})
        waiting = deque(groups)
        started = time.monotonic()
        for moment_s, report in recording.events():
            if until is not None and moment_s > until:
                return
            if speed is not None:
                time.sleep(max(0.0, started + moment_s / speed - time.monotonic()))
            if isinstance(report, GroupEnd):
                if waiting and waiting[0] is report:  # else it was used in an earlier step
                    self._group(waiting.popleft())
            elif isinstance(report, LearnerStep):
                self._step(report, waiting)
            else:
                if report.room == ACTORS:
                    self.heartbeats.beat("actor-0", "33 groups in flight")
                self.metrics.report(report)

    def _group(self, recorded: GroupEnd) -> None:
        token = f"replay/{recorded.group_id}"
        group_id = self.feed.claim(token, held_version=0, batch_groups=8, max_lag=None, lease_s=60, high_water=999)
        assert group_id is not None
        group = self._rollout_group(group_id, recorded)
        assert self.feed.publish(group_id, token, group)
        (delivery,) = self.stream.read("preprocess-0", count=1, block_s=0, claim_idle_s=60)
        if recorded.kept:
            assert self.ring.put(delivery.entry_id, train_group(group), step=recorded.step)
        else:
            assert self.ring.drop(delivery.entry_id, group, recorded.outcome, step=recorded.step)
        report = msgspec.structs.replace(
            recorded,
            group_id=group_id,
            prompt_tokens=recorded.prompt_tokens or group.num_prompt_tokens,
            completion_tokens=recorded.completion_tokens or group.num_completion_tokens,
        )
        self.metrics.report(report)
        if group_id % SAMPLE_EVERY == 0:
            self.samples.add(sample_values(group, text_of, "a^3"))
        self.heartbeats.beat("preprocess-0", "waiting for groups")

    def _rollout_group(self, group_id: int, recorded: GroupEnd) -> RolloutGroup:
        statement = f"Problem {recorded.problem_id}: find $a$."
        guided = recorded.arm == "guided"
        prompt = guided_message(statement, "$a=F(1)=4$", "default") if guided else unguided_message(statement)
        token_ids = [ord(c) for c in self._write(group_id)]
        oldest, newest = recorded.oldest_version, max(recorded.oldest_version, self._version)
        both = newest > oldest and len(token_ids) > 10
        spans = ((0, oldest), (10, newest)) if both else ((0, oldest),)
        verdicts: list[Verdict] = ["correct" if i < recorded.successes else "wrong" for i in range(8)]
        return RolloutGroup(
            group_id=group_id,
            problem_id=recorded.problem_id,
            arm=recorded.arm,
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

    def _step(self, recorded: LearnerStep, waiting: deque[GroupEnd]) -> None:
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
        self.metrics.report(msgspec.structs.replace(recorded, step=step))


def _chain(group_id: int) -> str:
    return f"$a=F({group_id % 10})=4$\nThe answer is $\\boxed{{a^{group_id % 10}}}$."


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
