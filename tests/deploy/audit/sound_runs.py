"""Simulated runs that keep every promise: their histories, Redis and checkpoints."""

import random
from collections import Counter
from typing import Any

from broker.assignments import Choice
from broker.group_locations import GroupLocations
from broker.history import Event, Line, RoleHistory
from deploy.audit.evidence import Bounds, Evidence, Occupancy
from deploy.store.run_view import SavedCheckpoint

GROUPS_A_STEP = 2
RING_GROUPS = 4
MAX_LAG = 2
SERVER = "server-1"
ARMS = ("unguided", "guided", "unguided")
"""One cycle."""


class SoundRun:
    """A small model of the pipeline with random moves; roles die and leave out a line now and then."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._texts: dict[str, list[Event]] = {}
        self._incarnations: Counter[str] = Counter()
        self._issued = 0
        self._leased: list[int] = []
        self._reissue: list[int] = []
        self._stream: list[tuple[int, int]] = []
        self._ring: list[tuple[int, int]] = []
        self._batches: dict[int, tuple[int, ...]] = {}
        self._ended: dict[int, str] = {}
        self._occupancy: list[Occupancy] = []
        self._saved: dict[int, str] = {}
        self._step = self._committed = 0
        self._counters: Counter[str] = Counter()
        for role in ("actor-0", "preprocess-0", "learner-0"):
            self._start(role)
        self._say("learner-0", "announce", version=0)
        self._held = 0

    def evolve(self, moves: int) -> "SoundRun":
        actions = [self._claim, self._claim, self._publish, self._publish, self._preprocess, self._preprocess,
                   self._train, self._train, self._sync, self._fail, self._expire, self._checkpoint, self._die]
        for _ in range(moves):
            self._rng.choice(actions)()
            place = f"metrics {len(self._occupancy)}-0"
            self._occupancy.append(Occupancy(place, 8 * len(self._ring), len(self._stream)))
        return self

    def evidence(self) -> Evidence:
        histories = []
        for role in ("preprocess-0", "actor-0", "learner-0"):
            lines = tuple(Line(f"{role}.jsonl:{n}", e) for n, e in enumerate(self._texts[role], start=1))
            histories.append(RoleHistory(role, lines, ()))
        locations = GroupLocations(
            server=SERVER,
            issued=self._issued,
            leased=tuple(self._leased),
            reissue=tuple(self._reissue),
            stream=tuple(n for n, _ in self._stream),
            ring=tuple(n for n, _ in self._ring),
            batches={s: b for s, b in self._batches.items() if s > min(self._saved, default=0)},
            committed=self._committed,
            taken=max(self._batches, default=0),
            ended=dict(self._ended),
            counters=dict(self._counters),
        )
        saved = tuple(SavedCheckpoint(f"step-{s:06d}", s, digest) for s, digest in sorted(self._saved.items()))
        bounds = Bounds(8 * RING_GROUPS, 10_000, MAX_LAG)
        choices = tuple(Choice(f"p{group_id % 7}", 1.0) for group_id in range(self._issued))
        occupancy = tuple(self._occupancy)
        return Evidence(bounds, tuple(histories), (), locations, occupancy, saved, ARMS, choices, locations)

    def _start(self, role: str, **fields: Any) -> None:
        self._incarnations[role] += 1
        self._texts.setdefault(role, [])
        self._say(role, "start", server=SERVER, **fields)

    def _say(self, role: str, what: str, **fields: Any) -> None:
        incarnation = f"{role}@{self._incarnations[role]}"
        self._texts[role].append(Event(at=0.0, role=role, incarnation=incarnation, what=what, **fields))  # type: ignore[arg-type]

    def _claim(self) -> None:
        if self._reissue:
            self._leased.append(self._reissue.pop(0))
        elif len(self._leased) < 6:
            self._leased.append(self._issued)
            self._issued += 1
            self._counters["issued"] += 1

    def _publish(self) -> None:
        if self._leased:
            group_id = self._leased.pop(self._rng.randrange(len(self._leased)))
            self._stream.append((group_id, self._held))
            self._counters["published"] += 1
            arm, problem = ARMS[group_id % len(ARMS)], f"p{group_id % 7}"
            self._say("actor-0", "publish", group_id=group_id, problem_id=problem, arm=arm)

    def _fail(self) -> None:
        if self._leased and self._rng.random() < 0.2:
            group_id = self._leased.pop()
            self._end(group_id, "failed.prompt_too_long")
            self._say("actor-0", "fail", group_id=group_id, reason="prompt_too_long")

    def _expire(self) -> None:
        if self._leased and self._rng.random() < 0.3:
            self._reissue.append(self._leased.pop(0))

    def _preprocess(self) -> None:
        if not self._stream:
            return
        group_id, version = self._stream.pop(0)
        if self._rng.random() < 0.25:
            self._end(group_id, "filtered.zero_advantage")
            self._say("preprocess-0", "drop", group_id=group_id, reason="zero_advantage")
            return
        if len(self._ring) == RING_GROUPS:
            self._end(self._ring.pop(0)[0], "replaced")
        self._ring.append((group_id, version))
        self._counters["admitted"] += 1
        self._say("preprocess-0", "put", group_id=group_id, versions=(version, version))

    def _train(self) -> None:
        step = self._step + 1
        if step not in self._batches:
            for group_id, version in [g for g in self._ring if step - 1 - g[1] > MAX_LAG]:
                self._ring.remove((group_id, version))
                self._end(group_id, "stale")
            if len(self._ring) < GROUPS_A_STEP:
                return
            self._batches[step] = tuple(self._ring.pop(0)[0] for _ in range(GROUPS_A_STEP))
        self._say("learner-0", "batch", step=step, group_ids=self._batches[step])
        if step > self._committed:
            self._committed = step
            for group_id in self._batches[step]:
                self._end(group_id, "trained")
        if self._rng.random() < 0.05:
            self._restart_learner()  # it died before it wrote the line of the commit
            return
        self._step = step
        self._say("learner-0", "commit", step=step)
        self._say("learner-0", "announce", version=step)

    def _sync(self) -> None:
        if self._step > self._held:
            self._held = self._step
            self._say("actor-0", "hold", version=self._held)

    def _checkpoint(self) -> None:
        if self._step and self._step not in self._saved:
            self._saved[self._step] = f"digest-{self._step}-{self._rng.random()}"
            self._say("learner-0", "checkpoint", step=self._step, sha256=self._saved[self._step])
            for old in sorted(self._saved)[:-2]:
                del self._saved[old]

    def _die(self) -> None:
        """A role dies, perhaps between an operation and its line, and is restarted."""
        if self._rng.random() > 0.3:
            return
        role = self._rng.choice(["actor-0", "preprocess-0", "learner-0"])
        if self._texts[role][-1].what not in ("start", "announce") and self._rng.random() < 0.5:
            self._texts[role].pop()
        if role == "learner-0":
            self._restart_learner()
            return
        self._start(role)
        if role == "actor-0":
            self._reissue += self._leased
            self._leased = []

    def _restart_learner(self) -> None:
        self._step = max(self._saved, default=0)
        self._start("learner-0", step=self._step)
        self._say("learner-0", "announce", version=self._step)

    def _end(self, group_id: int, end: str) -> None:
        self._ended[group_id] = end
        self._counters[end] += 1
