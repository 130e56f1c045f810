"""Faults of the network between a role and Redis."""

import queue
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.broker_faults import kept_group
from tests.faults.namespaces import Network, network
from tests.faults.outcome import Outcome
from tests.faults.scene import PlayedActor, PlayedLearner, Scene, wait_until

OUTAGES_S = (0.3, 1.0, 3.0)
LEASE_S = 1.5
"""Some outages outlast it."""
SLACK_S = 15.0
"""A reply that was under way when the cable was cut is waited for in vain, up to the client's own time-out."""


def partitioned(root: Path, seed: int) -> Outcome:
    """F14: the cable between an actor, or the learner, and Redis is cut and joined again.

    Leases that end meanwhile are given to an actor on this side, and the late publication is refused; a batch that was
    under way is committed once.
    """
    outcome = Outcome()
    dice = random.Random(seed)
    with network() as net, Scene(root, f"actors.lease_s={LEASE_S}", listen=net.host) as scene:
        here = PlayedActor(scene, kept_group)
        far_actor = Far(net, lambda: PlayedActor(scene, kept_group))
        far_learner = Far(net, lambda: PlayedLearner(scene))
        with scene.preprocessing():
            for outage_s in dice.sample(OUTAGES_S, len(OUTAGES_S)):
                here.publish(6)
                wait_until(lambda: scene.ring.occupancy() >= scene.config.learner.batch_samples, "groups for a batch")
                held = far_actor.do(lambda actor: actor.claim())
                net.cut()
                cut_at = time.monotonic()
                late = far_actor.begin(lambda actor, held=held: actor.publish_claimed(*held))
                trained = far_learner.begin(lambda learner: learner.train())
                here.publish(2)
                time.sleep(outage_s)
                reissued = scene.feed.reclaim(max_attempts=3)
                if reissued:
                    here.publish_one()
                net.join()
                outcome.injected += 1
                stood = late.get(timeout=outage_s + SLACK_S)
                outcome.require(stood is not bool(reissued), f"after {outage_s} s a late group was taken: {stood}")
                outcome.require(trained.get(timeout=SLACK_S) is True, "the learner trained nothing")
                outcome.recovery_s.append(time.monotonic() - cut_at - outage_s)
            here.publish(-(here.published + far_actor.do(lambda actor: actor.published)) % 3)
            scene.wait_for_empty_stream()
        while far_learner.do(lambda learner: learner.train()):
            pass
        published = here.published + far_actor.do(lambda actor: actor.published)
        steps = far_learner.do(lambda learner: learner.step)
        outcome.require(steps == published // 3, f"{steps} steps of {published} groups")
        far_actor.end()
        far_learner.end()
        scene.require_promises(outcome)
    return outcome


class Far:
    """Someone who lives on the other side of the cable, on a thread of his own."""

    def __init__(self, net: Network, make: Callable[[], Any]) -> None:
        self._orders: queue.Queue[tuple[Callable[[Any], Any], queue.Queue[Any]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._live, args=(net, make), daemon=True)
        self._thread.start()

    def begin(self, work: Callable[[Any], Any]) -> "queue.Queue[Any]":
        """Where the result of `work(someone)` will be."""
        answer: queue.Queue[Any] = queue.Queue()
        self._orders.put((work, answer))
        return answer

    def do(self, work: Callable[[Any], Any]) -> Any:
        result = self.begin(work).get(timeout=SLACK_S)
        if isinstance(result, BaseException):
            raise result
        return result

    def end(self) -> None:
        self._orders.put(None)
        self._thread.join(SLACK_S)

    def _live(self, net: Network, make: Callable[[], Any]) -> None:
        net.enter()
        someone = make()
        while order := self._orders.get():
            work, answer = order
            try:
                answer.put(work(someone))
            except BaseException as error:  # whoever asked raises it
                answer.put(error)

