"""Speed of records and broker: `make bench`. One client, one server, groups of 8 rollouts; rates are groups/s."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Literal

from broker.connection import connect
from broker.keys import Keys
from broker.records import RolloutGroup, decode, encode
from deploy.cluster.redis_server import EmbeddedRedis
from tests.broker.broker_parts import BrokerParts
from tests.groups import rollout_group, train_group

REWARDS = (1.0, 0.0) * 4
GROUPS = 256
BATCH_GROUPS = 8
POLICIES: tuple[Literal["everysec", "always"], ...] = ("everysec", "always")


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@contextmanager
def broker_parts(fsync: Literal["always", "everysec"]) -> Iterator[BrokerParts]:
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedRedis(Path(folder), fsync=fsync, max_memory_gib=4.0)
        client = connect(server.start(), client_name="bench")
        try:
            yield BrokerParts(client, Keys("bench"), capacity=GROUPS * len(REWARDS), batch_groups=BATCH_GROUPS)
        finally:
            client.close()
            server.stop()


def wire() -> None:
    print(f"{'tokens a rollout':>18} {'bytes a token':>14} {'encode ms':>10} {'decode ms':>10}")
    for num_tokens in (100, 1000, 4000, 16000):
        group = rollout_group(0, REWARDS, num_tokens=num_tokens)
        frame = encode(group)
        encode_ms = 1e3 * seconds(partial(encode, group))
        decode_ms = 1e3 * seconds(partial(decode, frame, RolloutGroup))
        per_token = len(frame) / group.num_completion_tokens
        print(f"{num_tokens:>18} {per_token:>14.2f} {encode_ms:>10.2f} {decode_ms:>10.2f}")


def publish_all(broker: BrokerParts, num_tokens: int) -> None:
    """Claim and publish (arrows 1 and 5)."""
    for number in range(GROUPS):
        group_id = broker.claim(f"bench/{number}", high_water=GROUPS + 1)
        assert group_id is not None
        assert broker.feed.publish(group_id, f"bench/{number}", rollout_group(group_id, REWARDS, num_tokens=num_tokens))


def put_all(broker: BrokerParts) -> None:
    """Read and put (arrows 6 and 7), one group at a time as the preprocessor does."""
    for _ in range(GROUPS):
        entry_id, group = broker.read_one()
        assert broker.ring.put(entry_id, train_group(group), step=1)


def train_all(broker: BrokerParts) -> None:
    """Take and commit (arrow 8), with a trim after each step as after a checkpoint."""
    for step in range(1, GROUPS // BATCH_GROUPS + 1):
        assert broker.ring.take(step, BATCH_GROUPS * len(REWARDS), max_lag=None) is not None
        assert broker.ring.batch(step) is not None
        broker.ring.commit(step)
        broker.ring.trim(step)


def whole_path() -> None:
    """Every group goes from the feed through stream and ring into a step."""
    print(f"{'fsync':>18} {'tokens a rollout':>18} {'claim+publish/s':>16} {'read+put/s':>12} {'take+commit/s':>14}")
    for fsync, num_tokens in product(POLICIES, (100, 4000)):
        with broker_parts(fsync) as broker:
            published = seconds(partial(publish_all, broker, num_tokens))
            put = seconds(partial(put_all, broker))
            trained = seconds(partial(train_all, broker))
            assert broker.balance().trained == GROUPS
        rates = " ".join(f"{GROUPS / s:>{w}.0f}" for s, w in ((published, 16), (put, 12), (trained, 14)))
        print(f"{fsync:>18} {num_tokens:>18} {rates}")


if __name__ == "__main__":
    wire()
    print()
    whole_path()
