"""P2 and P6: the actor against its bare engine, and the stall of weight syncs.

    python -m tests.bench.actor        all measurements, in a process of its own: vLLM reads its environment once
    python -m tests.bench.actor experiment=real_mine actors.threads=2
                                       under other settings, such as those of another model; the problems are its own

One engine samples the hard problems under the shipped settings of the toy, or those given. Bare: all prompts are handed
to vLLM at once. Actor: claims, prompts, sampling, verdicts, publishing over a Redis with the shipped `broker.fsync`,
heartbeats. The two alternate. Then the actor samples while weights are published, one version for each batch of groups.
"""

import asyncio
import json
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors.torch import load_file
from transformers import AutoTokenizer

from actors.actor import Actor, ActorLoopSettings
from actors.actor_broker import ActorBroker
from actors.engine import Engine
from actors.leased_groups import GroupSource
from actors.problems.mixture import Mixture
from actors.prompts import PromptBuilder
from actors.readable_rollout import sample_values
from actors.rollout_writer import RolloutWriter
from actors.stop_tokens import completion_text, stop_token_ids
from actors.verification.judge import Judge
from broker.balance import read_balance
from broker.connection import Client, Retrying, connect
from broker.feed import Feed
from broker.history import History
from broker.keys import Keys
from broker.metrics import Control, Heartbeats, Metrics
from broker.records import Problem
from broker.reports import RoleTimes, WeightSync
from broker.rollout_samples import RolloutSamples
from broker.streams import RolloutStream
from broker.weights import WeightBoard
from conf.load import load
from conf.schema import RunConfig
from deploy.jobs.problems import load_run_problems
from deploy.run.model_source import resolve_model
from deploy.statistics.role_times import times_by_kind
from learner.file_publisher import FilePublisher
from tests.bench.measure import Measure, in_own_process, of_pairs, server

FILLS, PAIRS = 3, 3
"""Groups of one measurement, as a multiple of those that fill the engine, and alternating pairs."""
SYNCS = 10
"""Weight versions that are published while the actor samples."""


def actor() -> list[Measure]:
    (found,) = in_own_process("actor")
    bare, rates, stalls = found["bare"], found["actor"], found["stall_ms"]
    return [
        of_pairs(
            "P2", "actor: tokens/s of the whole actor / of its bare engine, same prompts",
            [a / b for a, b in zip(rates, bare, strict=True)], target=">= 0.95",
            detail=f"{sorted(rates)[PAIRS // 2]:,.0f} against {sorted(bare)[PAIRS // 2]:,.0f} tokens/s",
        ),
        of_pairs(
            "P6", "weight sync: time an engine is paused for transfer and canary / all its time", [found["share"]],
            target="<= 0.02",
            detail=f"a sync for {found['groups_a_sync']} groups, median transfer "
            f"{sorted(stalls)[len(stalls) // 2]:.0f} ms, canary {found['canary']:.1%} of the time, {len(stalls)} syncs",
        ),
    ]  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """The parts of an actor that all measurements share."""

    config: RunConfig
    problems: list[Problem]
    client: Client
    engine: Engine
    prompts: PromptBuilder
    verifier: Judge
    stop_ids: list[int]
    tokenizer: object

    @property
    def groups(self) -> int:
        """Groups of one measurement."""
        return FILLS * self.config.actors.max_in_flight_groups

    async def bare(self) -> float:
        """Tokens/s of the engine alone."""
        size, sampling = self.config.actors.group_size, self.config.actors.sampling
        prompts = [self.prompts.ids(self.problems[n % len(self.problems)], guided=False) for n in range(self.groups)]
        start = time.perf_counter()
        groups = await asyncio.gather(*(self.engine.generate(prompt, size, sampling) for prompt in prompts))
        return sum(len(rollout.token_ids) for group in groups for rollout in group) / (time.perf_counter() - start)

    async def actor(self, name: str, groups: int, publisher: "Publisher | None" = None) -> float:
        """Tokens/s of the actor from its first claim to its last publication."""
        keys = Keys(name)
        Feed(self.client, keys).open(groups)
        RolloutStream(self.client, keys).open()
        config = replace(self.config, broker=replace(self.config.broker, rollouts_high_water=10**9))
        start = time.perf_counter()
        finished = self._finished(keys, groups, publisher, start)
        took_s, _ = await asyncio.gather(finished, self._actor(config, keys).run())
        return read_balance(self.client, keys).totals["completion_tokens"] / took_s

    async def _finished(self, keys: Keys, groups: int, publisher: "Publisher | None", start: float) -> float:
        """Stops the run when all groups are published; seconds until then."""
        while (published := read_balance(self.client, keys).totals["published"]) < groups:
            if publisher is not None:
                publisher.up_to(published // self.config.batch_groups)
            await asyncio.sleep(0.02)
        took_s = time.perf_counter() - start
        Control(self.client, keys).stop("enough")
        return took_s

    def _actor(self, config: RunConfig, keys: Keys) -> Actor:
        writer = RolloutWriter(
            actor="actor-0", engine=self.engine, prompts=self.prompts, decode=self._decode, verifier=self.verifier,
            problems={problem.id: problem for problem in self.problems}, settings=config.actors,
        )  # fmt: skip
        broker = ActorBroker(
            actor="actor-0", incarnation="actor-0@1", retry=Retrying(5.0), board=WeightBoard(self.client, keys),
            metrics=Metrics(self.client, keys), samples=RolloutSamples(self.client, keys),
            heartbeats=Heartbeats(self.client, keys), control=Control(self.client, keys),
            history=History(None, "actor-0", "actor-0@1"),
        )  # fmt: skip
        answers = {problem.id: problem.answer for problem in self.problems}
        mixture = Mixture(self.problems, {"unguided": 1}, seed=0)
        training = GroupSource(Feed(self.client, keys), mixture.assignment, config.actors.sampling)
        return Actor(
            ActorLoopSettings.of(config), broker, engine=self.engine, writer=writer,
            readable=lambda group: sample_values(group, self._decode, answers[group.problem_id]), training=training,
        )  # fmt: skip

    def _decode(self, token_ids: list[int]) -> str:
        return completion_text(self.tokenizer, token_ids, self.stop_ids)  # type: ignore[arg-type]


class Publisher:
    """Publishes versions of the same weights from a thread, as the learner's process would."""

    def __init__(self, folder: Path, model: Path, board: WeightBoard) -> None:
        self._publisher = FilePublisher(folder, board)
        self._weights = load_file(model / "model.safetensors")
        self._version = 0
        self._thread: threading.Thread | None = None

    def up_to(self, version: int) -> None:
        if version > self._version and (self._thread is None or not self._thread.is_alive()):
            self._version = version
            self._thread = threading.Thread(target=self._publisher.publish, args=(version, list(self._weights.items())))
            self._thread.start()

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()


async def measure(bench: Bench, model: Path, folder: Path) -> dict[str, object]:
    await bench.engine.start_version(0)
    await bench.bare()  # warm-up
    await bench.actor("warm-up", 16)
    bare, rates = [], []
    for pair in range(PAIRS):
        for kind in ("bare", "actor")[:: 1 - 2 * (pair % 2)]:
            if kind == "bare":
                bare.append(await bench.bare())
            else:
                rates.append(await bench.actor(f"pair{pair}", bench.groups))
    keys = Keys("sync")
    publisher = Publisher(folder, model, WeightBoard(bench.client, keys))
    await bench.actor("sync", bench.config.batch_groups * (SYNCS + 1), publisher)
    publisher.join()
    metrics = Metrics(bench.client, keys)
    times = times_by_kind(metrics.read(RoleTimes))["actor"]
    return {
        "bare": bare,
        "actor": rates,
        "stall_ms": [sync.stall_ms for sync in metrics.read(WeightSync)],
        "groups_a_sync": bench.config.batch_groups,
        "share": times.share("weights", "canary"),
        "canary": times.share("canary"),
    }


def main() -> None:
    config = load(None, ["run.name=bench", *sys.argv[1:]])
    model = resolve_model(config.model)
    problems = [problem for problem in load_run_problems(config).problems if problem.bucket == "hard"]
    tokenizer = AutoTokenizer.from_pretrained(model)
    stop_ids = stop_token_ids(tokenizer, model, {})
    prompts = PromptBuilder(tokenizer, config.guidance.instruction, config.prompts, stop_ids=stop_ids)
    loop = asyncio.new_event_loop()
    with server() as redis, TemporaryDirectory(dir="/dev/shm") as folder:

        async def run() -> dict[str, object]:
            engine = Engine(
                model, config.actors, max_model_tokens=config.actors.max_model_tokens, dtype=config.model.dtype,
                device=config.deploy.device, transfer_backend="file", stop_token_ids=stop_ids, seed=0,
            )  # fmt: skip
            verifier = Judge(config.verifier, prompts.template.thoughts)
            client = connect(redis.url, client_name="bench")
            bench = Bench(config, problems, client, engine, prompts, verifier, stop_ids, tokenizer)
            try:
                return await measure(bench, model, Path(folder))
            finally:
                verifier.close()
                engine.close()
                client.close()

        print(json.dumps(loop.run_until_complete(run())), flush=True)


if __name__ == "__main__":
    main()
