"""An engine whose tokens identify the weights that wrote them, under a real actor."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import safe_open

from actors.actor import Actor, ActorLoopSettings
from actors.actor_broker import ActorBroker
from actors.engine import GeneratedRollout
from actors.leased_groups import GroupSource
from actors.problems.mixture import weighted_round_robin
from actors.readable_rollout import sample_values
from broker.connection import Retrying, connect
from broker.failpoints import failpoint
from broker.feed import Feed
from broker.history import History
from broker.keys import Keys
from broker.metrics import Control, Heartbeats, Metrics
from broker.records import (
    Assignment,
    Rollout,
    RolloutGroup,
    WeightAnnouncement,
    float32_bytes,
    int32_array,
    int32_bytes,
)
from broker.rollout_samples import RolloutSamples
from broker.run_record import read_keys_id
from broker.weights import WeightBoard
from conf.load import load
from conf.schema import Sampling

TOKENS, TOKEN_S = 6, 0.05
REWARDS = (1.0, 0.0, 0.0, 1.0)
VOCABULARY = 96

Weights = Mapping[str, NDArray[Any]]


def read_weights(file: Path) -> dict[str, NDArray[Any]]:
    """Every tensor of a safetensors file."""
    with safe_open(file, framework="np") as tensors:
        return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118


def token_of(weights: Weights) -> int:
    """The token that these weights write, a hash of them: a mix of two versions writes another token."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(weights[name].tobytes())
    return 2 + int.from_bytes(digest.digest()[:4]) % (VOCABULARY - 2)


def version_mismatches(groups: Iterable[RolloutGroup], base: Path, folder: Path) -> list[str]:
    """A sentence for every token that was not written by the version it is attributed to; there must be none.

    Version 0 is the file `base`; the others are in `folder`, as `FilePublisher` writes them.
    """
    tokens: dict[int, int] = {}
    wrong = []
    for group in groups:
        for rollout in group.rollouts:
            written = zip(int32_array(rollout.token_ids), rollout.token_versions().tolist(), strict=True)
            for token, version in set(written):
                if version not in tokens:
                    file = folder / f"weights-{version:06d}.safetensors" if version else base
                    tokens[version] = token_of(read_weights(file))
                if token != tokens[version]:
                    wrong.append(f"group {group.group_id} has a token of other weights than version {version}")
    return wrong


class SimulatedEngine:
    """Takes over weights tensor by tensor, as a real engine does, and generates nothing meanwhile."""

    def __init__(self, base: Path) -> None:
        self.version = 0
        self._weights = read_weights(base)
        self._settled = asyncio.Event()
        self._settled.set()

    async def generate(
        self, prompt_ids: Sequence[int], num_rollouts: int, sampling: Sampling, seed: int | None = None
    ) -> list[GeneratedRollout]:
        submitted_at = self.version
        tokens: list[int] = []
        spans: list[tuple[int, int]] = []
        for index in range(TOKENS):
            await asyncio.sleep(TOKEN_S)
            await self._settled.wait()
            if not spans or spans[-1][1] != self.version:
                spans.append((index, self.version))
            tokens.append(token_of(self._weights))
        return [GeneratedRollout(tokens, [-2.0] * TOKENS, tuple(spans), "stop", submitted_at)] * num_rollouts

    async def update(self, announcement: WeightAnnouncement, *, timeout_s: float) -> float:
        assert announcement.path is not None
        self._settled.clear()
        for number, (name, tensor) in enumerate(sorted(read_weights(Path(announcement.path)).items())):
            self._weights[name] = tensor
            await asyncio.sleep(0)
            if number == 1:
                failpoint("actor.mid_update")
        self.version = announcement.version
        self._settled.set()
        return 0.0

    async def checksums(self) -> dict[str, str]:
        return {name: hashlib.sha256(tensor.tobytes()).hexdigest() for name, tensor in self._weights.items()}

    async def check(self) -> None:
        """Never fails."""


class SimulatedWriter:
    """Groups with a gradient: two of four rollouts are correct."""

    def __init__(self, actor: str, engine: SimulatedEngine) -> None:
        self._actor, self._engine = actor, engine

    async def write(self, assignment: Assignment, sampling: Sampling) -> RolloutGroup:
        generations = await self._engine.generate([5, 9, 2], len(REWARDS), sampling)
        return RolloutGroup(
            group_id=assignment.group_id,
            problem_id=assignment.problem_id,
            arm=assignment.arm,
            bucket="hard",
            actor=self._actor,
            prompt_ids=int32_bytes([5, 9, 2]),
            rollouts=tuple(
                Rollout(
                    token_ids=int32_bytes(written.token_ids),
                    logprobs=float32_bytes(written.logprobs),
                    version_spans=written.version_spans,
                    finish_reason="stop",
                    verdict="correct" if reward else "wrong",
                    reward=reward,
                )
                for written, reward in zip(generations, REWARDS, strict=True)
            ),
        )


def run_actor(options: dict[str, Any]) -> None:
    """Run a real actor with a simulated engine until the run stops."""
    folder, name = Path(options["folder"]), options["name"]
    config = load(folder / "settings.yaml")
    client, keys = connect(options["redis_url"], client_name=name), Keys(config.run.name)
    arms = weighted_round_robin(config.problems.arms)
    history = History(folder, name, options["incarnation"])
    history.add("start", server=read_keys_id(client, keys))

    async def run() -> None:
        engine: Any = SimulatedEngine(Path(options["base"]))
        writer: Any = SimulatedWriter(name, engine)
        broker = ActorBroker(
            actor=name,
            incarnation=options["incarnation"],
            retry=Retrying(config.deploy.dead_after_s),
            board=WeightBoard(client, keys),
            metrics=Metrics(client, keys),
            samples=RolloutSamples(client, keys),
            heartbeats=Heartbeats(client, keys),
            control=Control(client, keys),
            history=history,
        )
        await Actor(
            ActorLoopSettings.of(config),
            broker,
            engine=engine,
            writer=writer,
            readable=lambda group: sample_values(group, lambda token_ids: " ".join(map(str, token_ids)), "1"),
            training=GroupSource(
                Feed(client, keys),
                lambda n: Assignment(group_id=n, problem_id=f"p{n}", arm=arms[n % len(arms)]),
                config.actors.sampling,
            ),
        ).run()

    asyncio.run(run())
