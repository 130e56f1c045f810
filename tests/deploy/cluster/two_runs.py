"""Two runs that need all four GPUs of one Ray, in a process of its own: Ray reads how it authenticates at its import.

Prints, as JSON, what the second run said while it waited, how a signal ended a wait of the first, and more.
"""

import json
import os
import signal
import threading
import time
from contextlib import suppress
from typing import Any

import ray

from deploy.cluster.fleet import RayHost
from deploy.cluster.interrupts import Interrupted, Interrupts
from deploy.cluster.placement import Demand
from deploy.cluster.ray_session import _start_local_ray
from deploy.cluster.reservation import NotAdmitted, Reservation

FOUR = [[Demand(role, 0.1, 1) for role in ("actor-0", "actor-1", "learner-0", "learner-1")]]
TIMEOUT_S = 200.0


class Role:
    """Says which GPUs it was given."""

    def gpus(self) -> list[str]:
        return [str(gpu) for gpu in ray.get_gpu_ids()]

    def sleep(self) -> None:
        time.sleep(TIMEOUT_S)


def signalled(role: Any) -> str:
    """How SIGTERM ends the wait for a call of the role that takes longer than this test."""
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
    try:
        with Interrupts():
            RayHost().result(role.sleep.remote(), TIMEOUT_S)
    except Interrupted as error:
        return str(error)
    return "not at all"


def silent(line: str) -> None: ...


def main() -> None:
    _start_local_ray(num_gpus=4)
    told: list[str] = []
    seen: dict[str, object] = {"told": told}
    waits, admitted = threading.Event(), threading.Event()

    def tell(line: str) -> None:
        told.append(line)
        waits.set()

    def second() -> None:
        with Reservation("second").held(FOUR, timeout_s=TIMEOUT_S, tell=tell):
            admitted.set()

    first = Reservation("first")
    with first.held(FOUR, timeout_s=TIMEOUT_S, tell=silent):
        roles = [first.spawn(Role, demand) for demand in FOUR[0]]
        seen["gpus"] = ray.get([role.gpus.remote() for role in roles], timeout=TIMEOUT_S)
        try:
            with Reservation("third").held(FOUR, timeout_s=0.0, tell=silent):
                pass
        except NotAdmitted as error:
            seen["refused"] = str(error)
        seen["signalled"] = signalled(roles[0])
        thread = threading.Thread(target=second)
        thread.start()
        waits.wait(TIMEOUT_S)
        seen["admitted beside the first"] = admitted.is_set()
        with suppress(ray.exceptions.RayError):
            for role in roles:
                ray.kill(role)
    thread.join(TIMEOUT_S)
    seen["admitted after the first"] = admitted.is_set()
    ray.shutdown()
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
