"""A test fixture: all parts of the broker of one run, and shortcuts through the pipeline."""

import redis

from broker.balance import Balance, read_balance
from broker.feed import Feed
from broker.keys import Keys
from broker.ledger import Ledger
from broker.records import RolloutGroup, decode
from broker.ring import Ring
from broker.streams import Delivery, RolloutStream
from broker.weights import WeightBoard
from tests.groups import rollout_group, train_group


class BrokerParts:
    """A run with two-sample groups, a ring of `capacity` samples and batches of `batch_groups` groups."""

    def __init__(
        self, client: redis.Redis, keys: Keys, *, capacity: int = 8, when_full: str = "replace", batch_groups: int = 2
    ) -> None:
        self.client, self.keys, self.batch_groups = client, keys, batch_groups
        self.feed = Feed(client, keys)
        self.stream = RolloutStream(client, keys)
        self.ring = Ring(client, keys, capacity, when_full)  # type: ignore[arg-type]
        self.ledger = Ledger(client, keys)
        self.board = WeightBoard(client, keys)
        self.feed.open(None)
        self.stream.open()

    def claim(
        self,
        token: str,
        *,
        held_version: int = 0,
        max_lag: int | None = None,
        lease_s: float = 60,
        high_water: int = 99,
    ) -> int | None:
        return self.feed.claim(
            token,
            held_version=held_version,
            batch_groups=self.batch_groups,
            max_lag=max_lag,
            lease_s=lease_s,
            high_water=high_water,
        )

    def publish_one(self, token: str, *, version: int = 0, rewards: tuple[float | None, ...] = (1.0, 0.0)) -> int:
        """Claims and publishes a group; returns its group id."""
        group_id = self.claim(token)
        assert group_id is not None
        assert self.feed.publish(group_id, token, rollout_group(group_id, rewards, version=version))
        return group_id

    def read(self, consumer: str = "c0", *, count: int = 1, idle_s: float = 99.0) -> list[Delivery]:
        return self.stream.read(consumer, count=count, block_s=0, claim_idle_s=idle_s)

    def read_one(self) -> tuple[str, RolloutGroup]:
        (delivery,) = self.read()
        return delivery.entry_id, decode(delivery.frame, RolloutGroup)

    def put_one(self, token: str, *, version: int = 0, step: int = 0) -> int:
        """Claims, publishes, reads and puts a group; returns its group id."""
        self.publish_one(token, version=version)
        entry_id, group = self.read_one()
        assert self.ring.put(entry_id, train_group(group), step=step)
        return group.group_id

    def balance(self) -> Balance:
        """The balance, which must hold."""
        balance = read_balance(self.client, self.keys)
        assert balance.holds, balance.explain()
        return balance
