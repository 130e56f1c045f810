"""P3: stream and ring against appending the same bytes to a stream of Redis.

One client, one server under the shipped `broker.fsync`. A pair is a block of groups through the product and the frames
of the same groups through XADD; pairs alternate in order.
"""

from functools import partial

from broker.records import RolloutGroup, decode, encode
from tests.bench.measure import REWARDS, Measure, of_pairs, seconds, server
from tests.broker.broker_parts import BrokerParts
from tests.groups import rollout_group, train_group

BLOCK, PAIRS, NUM_TOKENS = 64, 6, 200


def transport() -> list[Measure]:
    streams, rings, rates = [], [], []
    with server() as redis, redis.parts("transport", capacity=BLOCK * PAIRS * len(REWARDS) * 2) as broker:
        for pair in range(PAIRS):
            groups = [broker.claim(f"bench/{pair}/{n}", high_water=10**9) for n in range(BLOCK)]
            rollouts = [rollout_group(group_id or 0, REWARDS, num_tokens=NUM_TOKENS) for group_id in groups]
            frames = [encode(group) for group in rollouts]
            ready = [encode(train_group(group)) for group in rollouts]
            raw = partial(_append, broker, frames)
            publish = partial(_publish, broker, pair, rollouts)
            raw_s, publish_s = (seconds(raw), seconds(publish)) if pair % 2 else (seconds(publish), seconds(raw))[::-1]
            deliveries = broker.read(count=BLOCK)
            trained = [(d.entry_id, train_group(decode(d.frame, RolloutGroup))) for d in deliveries]
            raw_ring_s = seconds(partial(_append, broker, ready))
            put_s = seconds(partial(_put, broker, trained))
            streams.append(raw_s / publish_s)
            rings.append(raw_ring_s / put_s)
            rates.append((BLOCK / publish_s, BLOCK / put_s, BLOCK / raw_s))
    publish_rate, put_rate, raw_rate = (sorted(rate)[PAIRS // 2] for rate in zip(*rates, strict=True))
    size = f"groups of {len(frames[0]) / 1e3:.0f} kB; XADD {raw_rate:.0f} groups/s"
    return [
        of_pairs(
            "P3", "stream: groups/s published (encoded, lease checked, counted) / raw XADD of their bytes", streams,
            target="", detail=f"{publish_rate:.0f} groups/s, {size}",
        ),
        of_pairs(
            "P3", "ring: groups/s put (encoded, moved, counted, ledger) / raw XADD of their bytes", rings,
            target="", detail=f"{put_rate:.0f} groups/s, {size}",
        ),
    ]  # fmt: skip


def _append(broker: BrokerParts, frames: list[bytes]) -> None:
    for frame in frames:
        broker.client.xadd("bench:raw", {b"frame": frame}, maxlen=BLOCK)


def _publish(broker: BrokerParts, pair: int, groups: list[RolloutGroup]) -> None:
    for number, group in enumerate(groups):
        assert broker.feed.publish(group.group_id, f"bench/{pair}/{number}", group)


def _put(broker: BrokerParts, groups: list) -> None:  # type: ignore[type-arg]
    for entry_id, group in groups:
        assert broker.ring.put(entry_id, group, step=1)
