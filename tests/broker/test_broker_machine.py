"""Random histories of a run, compared with a small model in Python, on a server that is killed at random.

Any call may be made twice, as by a client whose first reply was lost. After every step the balance must hold, and
all counts, locations and keys must agree with the model.
"""

import os
import shutil
import signal
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from broker.balance import read_balance
from broker.connection import connect, with_retries
from broker.errors import FeedExhausted, RingFull
from broker.group_locations import read_group_locations
from broker.group_outcomes import IN_FLIGHT, read_group_outcomes
from broker.keys import Keys
from broker.records import RolloutGroup, decode
from deploy.cluster.redis_server import EmbeddedRedis
from tests.broker.broker_parts import BrokerParts
from tests.groups import rollout_group, train_group

T = TypeVar("T")

LIMIT, HIGH_WATER, MAX_ATTEMPTS, CAPACITY, BATCH_GROUPS, GROUP = 60, 5, 2, 8, 2, 2
MAX_KILLS = 20
ACTORS = st.sampled_from(["a", "b"])
LAGS = st.sampled_from([None, 0, 2])
TWICE = st.booleans()
INDEX = st.integers(0, 99)


class BrokerMachine(RuleBasedStateMachine):
    server: EmbeddedRedis
    kills = 0

    def __init__(self) -> None:
        super().__init__()
        self.when_full = "replace"
        self.client: redis.Redis = connect(self.server.start(), client_name="machine")
        self.keys = Keys(uuid.uuid4().hex)
        self.broker = BrokerParts(self.client, self.keys, capacity=CAPACITY, batch_groups=BATCH_GROUPS)
        self.broker.feed.open(LIMIT)
        self.issued = 0
        self.num_tokens = 0
        self.leased: dict[int, str] = {}
        self.claimed: dict[int, int] = {}  # group id -> policy version held at the claim, under a bound on the lag
        self.reissue: list[int] = []
        self.attempts: Counter[int] = Counter()
        self.stream: dict[int, int] = {}  # group id -> policy version
        self.pending: dict[int, str] = {}  # group id -> entry id, read by a consumer
        self.ring: dict[int, int] = {}  # group id -> policy version, oldest first
        self.batches: dict[int, list[int]] = {}
        self.committed = 0
        self.trained = 0
        self.ended: Counter[str] = Counter()
        self.kept_payloads: set[int] = set()

    def teardown(self) -> None:
        for key in self.client.scan_iter(match=self.keys.prefix + "*", count=1000):
            self.client.delete(key)
        self.client.close()

    def call(self, operation: Callable[[], T], twice: bool) -> T:
        """Calls as the roles do; `twice` simulates a client that lost the first reply."""
        first = with_retries(operation, deadline_s=20)
        return with_retries(operation, deadline_s=20) if twice else first

    @property
    def dropped(self) -> int:
        return self.ended.total()

    def may_issue(self, max_lag: int | None) -> bool:
        if max_lag is None:
            return True
        return self.issued - self.dropped < BATCH_GROUPS * (self.committed + 1 + max_lag)

    # -- actors ---------------------------------------------------------------------------------------------------

    @rule(actor=ACTORS, max_lag=LAGS, twice=TWICE)
    def claim(self, actor: str, max_lag: int | None, twice: bool) -> None:
        token = f"{actor}/{self.num_tokens}"
        self.num_tokens += 1
        expected: int | None = None
        exhausted = False
        if len(self.stream) >= HIGH_WATER:
            pass
        elif max_lag is not None and self.committed + max_lag < max(self.committed, *self.batches, 0):
            pass  # no step could train what this engine samples
        elif self.reissue:
            expected = self.reissue.pop(0)
        elif self.issued == LIMIT:
            exhausted = not self.leased
        elif self.may_issue(max_lag):
            expected = self.issued
            self.issued += 1
        try:
            answer = self.call(
                lambda: self.broker.claim(
                    token, held_version=self.committed, max_lag=max_lag, lease_s=600, high_water=HIGH_WATER
                ),
                twice,
            )
        except FeedExhausted:
            assert exhausted
            return
        assert not exhausted
        assert answer == expected
        if answer is not None:
            self.leased[answer] = token
            if max_lag is not None:
                self.claimed[answer] = self.committed
            self.attempts[answer] += 1

    @precondition(lambda self: self.leased)
    @rule(index=INDEX, version=st.integers(0, 3), twice=TWICE)
    def publish(self, index: int, version: int, twice: bool) -> None:
        group_id, token = pick(self.leased, index)
        group = rollout_group(group_id, version=version)
        assert not self.broker.feed.publish(group_id, "stranger/0", group)
        assert self.call(lambda: self.broker.feed.publish(group_id, token, group), twice)
        del self.leased[group_id], self.attempts[group_id]
        self.stream[group_id] = version

    @precondition(lambda self: self.leased)
    @rule(index=INDEX, twice=TWICE)
    def fail(self, index: int, twice: bool) -> None:
        group_id, token = pick(self.leased, index)
        assert self.call(lambda: self.broker.feed.fail(group_id, token, "engine"), twice)
        del self.leased[group_id], self.attempts[group_id]
        self.ended["failed.engine"] += 1

    @rule(actor=ACTORS)
    def renew(self, actor: str) -> None:
        held = with_retries(lambda: self.broker.feed.renew(range(self.issued), actor, lease_s=600), deadline_s=20)
        assert held == sorted(n for n, token in self.leased.items() if token.startswith(actor + "/"))

    @precondition(lambda self: self.leased)
    @rule(index=INDEX, twice=TWICE)
    def expire(self, index: int, twice: bool) -> None:
        group_id, token = pick(self.leased, index)
        with_retries(lambda: self.client.zadd(self.keys.leases, {str(group_id): 1}), deadline_s=20)
        self.call(lambda: self.broker.feed.reclaim(max_attempts=MAX_ATTEMPTS), twice)
        self.lease_ended(group_id, counts=True)
        assert not self.broker.feed.publish(group_id, token, rollout_group(group_id))

    @rule(actor=ACTORS, died=st.booleans(), twice=TWICE)
    def release(self, actor: str, died: bool, twice: bool) -> None:
        self.call(lambda: self.broker.feed.release(actor, max_attempts=MAX_ATTEMPTS if died else None), twice)
        for group_id in sorted(n for n, token in self.leased.items() if token.startswith(actor + "/")):
            self.lease_ended(group_id, counts=died)

    def lease_ended(self, group_id: int, *, counts: bool) -> None:
        del self.leased[group_id]
        if not counts:
            self.attempts[group_id] -= 1
        elif self.attempts[group_id] >= MAX_ATTEMPTS:
            del self.attempts[group_id]
            self.ended["failed.attempts"] += 1
            return
        self.reissue.append(group_id)

    # -- preprocessing --------------------------------------------------------------------------------------------

    @rule(consumer=st.sampled_from(["c0", "c1"]), takes_over=st.booleans())
    def read(self, consumer: str, takes_over: bool) -> None:
        idle_s = 0.0 if takes_over else 3600.0
        for delivery in with_retries(lambda: self.broker.read(consumer, idle_s=idle_s), deadline_s=20):
            group = decode(delivery.frame, RolloutGroup)
            assert self.stream[group.group_id] == group.oldest_version
            self.pending[group.group_id] = delivery.entry_id

    @precondition(lambda self: self.pending)
    @rule(index=INDEX, waits=st.booleans(), twice=TWICE)
    def put(self, index: int, waits: bool, twice: bool) -> None:
        group_id, entry_id = pick(self.pending, index)
        version = self.stream[group_id]
        group = train_group(rollout_group(group_id, version=version))
        self.broker.ring._when_full = "wait" if waits else "replace"
        full = (len(self.ring) + 1) * GROUP > CAPACITY
        if full and waits:
            with pytest.raises(RingFull):
                self.call(lambda: self.broker.ring.put(entry_id, group, step=0), twice)
            return
        assert self.call(lambda: self.broker.ring.put(entry_id, group, step=0), twice) is not twice
        del self.stream[group_id], self.pending[group_id]
        if full:
            victim = next(iter(self.ring))
            del self.ring[victim]
            self.kept_payloads.remove(victim)
            self.ended["replaced"] += 1
        self.ring[group_id] = version
        self.kept_payloads.add(group_id)

    @precondition(lambda self: self.pending)
    @rule(index=INDEX, buries=st.booleans(), twice=TWICE)
    def drop(self, index: int, buries: bool, twice: bool) -> None:
        group_id, entry_id = pick(self.pending, index)
        group = rollout_group(group_id)
        if buries:
            ended = self.call(lambda: self.broker.stream.dead_letter(entry_id, "unreadable"), twice)
        else:
            ended = self.call(lambda: self.broker.ring.drop(entry_id, group, "zero_advantage", step=0), twice)
        assert ended is not twice
        del self.stream[group_id], self.pending[group_id]
        self.ended["failed.unreadable" if buries else "filtered.zero_advantage"] += 1

    # -- learner --------------------------------------------------------------------------------------------------

    @rule(max_lag=LAGS, twice=TWICE)
    def take(self, max_lag: int | None, twice: bool) -> None:
        step = self.committed + 1
        if step not in self.batches:
            for group_id, version in list(self.ring.items()):
                if max_lag is not None and step - 1 - version > max_lag:
                    del self.ring[group_id]
                    self.kept_payloads.remove(group_id)
                    self.ended["stale"] += 1
            if len(self.ring) >= BATCH_GROUPS and not self.must_wait(step, max_lag):
                # Those that no later step can train go first.
                order = sorted(self.ring, key=lambda n: max_lag is not None and self.ring[n] > step - 1 - max_lag)
                self.batches[step] = order[:BATCH_GROUPS]
                for group_id in self.batches[step]:
                    del self.ring[group_id]
                    self.claimed.pop(group_id, None)
        samples = BATCH_GROUPS * GROUP
        assert self.call(lambda: self.broker.ring.take(step, samples, max_lag=max_lag), twice) == self.batches.get(step)

    def must_wait(self, step: int, max_lag: int | None) -> bool:
        """Whether a group is on its way that no later step can train."""
        if max_lag is None or (len(self.ring) + 1) * GROUP > CAPACITY:
            return False
        oldest, waits = step - 1 - max_lag, False
        for group_id, version in list(self.claimed.items()):
            if version > oldest or group_id in self.ring:
                continue
            if version == oldest and (group_id in self.leased or group_id in self.stream):
                waits = True
            else:
                del self.claimed[group_id]
        return waits

    @precondition(lambda self: self.committed + 1 in self.batches)
    @rule(twice=TWICE)
    def commit(self, twice: bool) -> None:
        step = self.committed + 1
        batch = with_retries(lambda: self.broker.ring.batch(step), deadline_s=20)
        assert batch is not None
        assert [g.rollout_group.group_id for g in batch] == self.batches[step]
        assert self.call(lambda: self.broker.ring.commit(step), twice) is not twice
        self.committed = step
        self.trained += BATCH_GROUPS

    @precondition(lambda self: self.committed)
    @rule(twice=TWICE)
    def checkpoint(self, twice: bool) -> None:
        self.call(lambda: self.broker.ring.trim(self.committed), twice)
        for step in [s for s in self.batches if s <= self.committed]:
            self.kept_payloads -= set(self.batches.pop(step))

    # -- all roles, so that histories are long enough to fill the ring -------------------------------------------

    @rule(rounds=st.integers(1, 5), versions=st.lists(st.integers(0, 3), min_size=5, max_size=5), twice=TWICE)
    def flow(self, rounds: int, versions: list[int], twice: bool) -> None:
        for version in versions[:rounds]:
            self.claim("a", None, twice)
            if self.leased:
                self.publish(0, version, twice)
            self.read("c0", False)
            if self.pending:
                self.put(0, False, twice)

    @rule(max_lag=LAGS, twice=TWICE)
    def train(self, max_lag: int | None, twice: bool) -> None:
        self.take(max_lag, twice)
        if self.committed + 1 in self.batches:
            self.commit(twice)

    # -- the server -----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.ring and self.leased)
    @rule()
    def kill_the_server(self) -> None:
        if BrokerMachine.kills == MAX_KILLS:  # bounds the time; a precondition must depend on this history only
            return
        BrokerMachine.kills += 1
        assert self.server.pid is not None
        os.kill(self.server.pid, signal.SIGKILL)
        self.server._process.wait()  # type: ignore[union-attr]
        self.server.start()

    @invariant()
    def the_balance_holds_and_all_locations_agree_with_the_model(self) -> None:
        balance = with_retries(lambda: read_balance(self.client, self.keys), deadline_s=20)
        assert balance.holds, balance.explain()
        assert (balance.issued, balance.trained) == (self.issued, self.trained)
        assert balance.trained_samples == GROUP * self.trained
        ended = {f"filtered.{k}": v for k, v in balance.filtered.items()}
        ended |= {f"failed.{k}": v for k, v in balance.failed.items()}
        ended |= {k: v for k, v in {"replaced": balance.replaced, "stale": balance.stale}.items() if v}
        assert ended == self.ended
        outcomes = with_retries(lambda: read_group_outcomes(self.client, self.keys), deadline_s=20)
        assert outcomes.inconsistency() is None
        assert len(outcomes.by_group_id) == self.issued
        in_flight = {*self.leased, *self.reissue, *self.stream, *self.ring, *self.batches.get(self.committed + 1, [])}
        assert {group_id for group_id, end in enumerate(outcomes.by_group_id) if end == IN_FLIGHT} == in_flight
        never = [n for n, end in enumerate(outcomes.by_group_id) if end in ("failed.engine", "failed.attempts")]
        assert outcomes.unwritten == tuple(sorted([*self.leased, *self.reissue, *never]))
        rollouts = Counter[str]()
        for rollout, count in outcomes.rollouts.items():
            rollouts[rollout.group_outcome] += count
        groups = Counter(end for n, end in enumerate(outcomes.by_group_id) if n not in outcomes.unwritten)
        assert rollouts == Counter({end: GROUP * count for end, count in groups.items()})
        assert {int(n) for n in self.client.hkeys(self.keys.written)} == in_flight - {*self.leased, *self.reissue}
        taken = self.batches.get(self.committed + 1, [])
        assert balance.in_flight == {
            "leased": len(self.leased),
            "reissue": len(self.reissue),
            "stream": len(self.stream),
            "ring": len(self.ring),
            "taken": len(taken),
        }
        where = with_retries(lambda: read_group_locations(self.client, self.keys), deadline_s=20)
        assert (where.issued, where.reissue) == (self.issued, tuple(self.reissue))
        assert set(where.leased) == set(self.leased)
        assert (where.stream, where.ring) == (tuple(self.stream), tuple(self.ring))
        assert where.batches == {step: tuple(batch) for step, batch in self.batches.items()}
        assert Counter(where.ended.values()) == self.ended + Counter(trained=self.trained)
        assert balance.dropped == self.dropped
        assert balance.ring_samples == self.broker.ring.occupancy() == GROUP * len(self.ring) <= CAPACITY
        keys, client = self.keys, self.client
        assert {int(n) for n in client.hkeys(keys.payload)} == self.kept_payloads
        owners = {int(n): token.decode() for n, token in client.hgetall(keys.owners).items()}
        assert owners == self.leased
        assert {int(n) for n in client.zrange(keys.leases, 0, -1)} == set(self.leased)
        assert {token.decode(): int(n) for token, n in client.hgetall(keys.claims).items()} == {
            token: group_id for group_id, token in self.leased.items()
        }
        assert {int(n): int(times) for n, times in client.hgetall(keys.attempts).items()} == dict(self.attempts)


def pick(of: dict[int, str], index: int) -> tuple[int, str]:
    return list(of.items())[index % len(of)]


@pytest.fixture
def durable_server() -> Iterator[EmbeddedRedis]:
    """fsync before every reply, on a file system in memory, where it is fast."""
    shm = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="pope-test-", dir=shm if shm.is_dir() else None))
    with EmbeddedRedis(folder, fsync="always", max_memory_gib=0.5) as server:
        yield server
    shutil.rmtree(folder)


@pytest.mark.faults
def test_the_balance_holds_in_any_history_of_repeats_expiries_and_server_kills(
    durable_server: EmbeddedRedis,
) -> None:
    BrokerMachine.server = durable_server
    run_state_machine_as_test(
        BrokerMachine,
        settings=settings(
            max_examples=120,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
