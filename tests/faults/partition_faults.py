"""Faults of the network between a role and Redis."""

import queue
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.broker_faults import trainable_group
from tests.faults.namespaces import Network, network
from tests.faults.outcome import Outcome
from tests.faults.scene import Scene, SimulatedActor, SimulatedLearner
from tests.waiting import wait_until

OUTAGES_S = (0.3, 1.0, 3.0)
LEASE_S = 1.5
"""Shorter than the longest outage."""
SLACK_S = 15.0
"""A client waits for a reply that the cut link lost, up to its own time-out."""


def partitioned(root: Path, seed: int) -> Outcome:
    """F14: the link between Redis and an actor and learner is cut and restored.

    Groups whose leases expire meanwhile go to an actor on this side, and the late publication is refused; the batch in
    flight is committed once.
    """
    outcome = Outcome()
    rng = random.Random(seed)
    with network() as net, Scene(root, f"actors.lease_s={LEASE_S}", listen=net.host) as scene:
        here = SimulatedActor(scene, trainable_group)
        far_actor = RemoteThread(net, lambda: SimulatedActor(scene, trainable_group))
        far_learner = RemoteThread(net, lambda: SimulatedLearner(scene))
        with scene.preprocessing():
            for outage_s in rng.sample(OUTAGES_S, len(OUTAGES_S)):
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
                accepted = late.get(timeout=outage_s + SLACK_S)
                outcome.require(accepted is not bool(reissued), f"late group after {outage_s} s accepted: {accepted}")
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
        scene.require_audit(outcome)
    return outcome


class RemoteThread:
    """A simulated role inside the network namespace, on its own thread."""

    def __init__(self, net: Network, make: Callable[[], Any]) -> None:
        self._calls: queue.Queue[tuple[Callable[[Any], Any], queue.Queue[Any]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, args=(net, make), daemon=True)
        self._thread.start()

    def begin(self, work: Callable[[Any], Any]) -> "queue.Queue[Any]":
        """Start `work(role)`. Returns a queue that gets the result."""
        answer: queue.Queue[Any] = queue.Queue()
        self._calls.put((work, answer))
        return answer

    def do(self, work: Callable[[Any], Any]) -> Any:
        result = self.begin(work).get(timeout=SLACK_S)
        if isinstance(result, BaseException):
            raise result
        return result

    def end(self) -> None:
        self._calls.put(None)
        self._thread.join(SLACK_S)

    def _run(self, net: Network, make: Callable[[], Any]) -> None:
        net.enter()
        role = make()
        while call := self._calls.get():
            work, answer = call
            try:
                answer.put(work(role))
            except BaseException as error:  # raised in the caller by `do`
                answer.put(error)

