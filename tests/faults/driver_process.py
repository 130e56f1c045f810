"""A driver without Ray: `python -m tests.faults.driver_process PART OPTIONS.json`, PART one of those below.

It prints "at work" once it runs, and has the exit codes of `pope`: 130 or 143 when a signal ended it.
"""

import json
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from actors.problems.problem_set import ProblemSet
from broker.connection import Client, connect
from broker.feed import Feed
from broker.history import History
from broker.metrics import Control
from broker.ring import Ring
from broker.run_record import read_keys_id
from broker.streams import RolloutStream
from conf.load import load
from deploy.cluster.interrupts import Interrupted, Interrupts, die_with_parent
from deploy.run.session import Session, open_session
from deploy.view.screen import screen
from tests.faults.broker_faults import trainable_group
from tests.faults.scene import SimulatedActor, SimulatedLearner

FEW = 8
"""Groups on the stream at which the actor pauses: a call that waits for room would not notice the stop flag."""


def open_folder(settings: Path, *overrides: str) -> AbstractContextManager[Session]:
    """The session of a run without problems."""
    config = load(settings, overrides)
    return open_session(config, screen(), ProblemSet([]), config.run_samplings)


def hold(settings: Path, *overrides: str) -> None:
    """Hold a run's folder and its Redis until this process is ended."""
    with open_folder(settings, *overrides):
        print("at work", flush=True)
        time.sleep(120)


def work(settings: Path, *overrides: str) -> None:
    """A run with a preprocessor, a simulated actor and a simulated learner, until a signal stops it."""
    with ExitStack() as stack:
        session = stack.enter_context(open_folder(settings, *overrides))
        interrupts = stack.enter_context(Interrupts())
        run = SimulatedRun(session)
        stack.callback(run.worker.kill)
        threading.Thread(target=run.write_and_train, daemon=True).start()
        assert run.training.wait(60), "no step was trained"
        print("at work", flush=True)
        with interrupts.graceful(run.control):
            while not run.control.stopped():
                time.sleep(0.02)
            run.worker.wait(20)
            run.ended.wait(20)
        interrupts.raise_if_requested()


class SimulatedRun:
    """A preprocessor and simulated roles over a real session. It has the attributes of `Scene` that those use."""

    def __init__(self, session: Session) -> None:
        self.config, self.keys, self.folder = session.config, session.keys, session.folder
        self.client, self._url = session.client, session.url_of("driver")
        self.control = Control(session.client, self.keys)
        self.control.clear()
        Feed(session.client, self.keys).open(None)
        self._ring = Ring(session.client, self.keys, self.config.broker.ring.capacity)
        self._stream = RolloutStream(session.client, self.keys)
        self.training, self.ended = threading.Event(), threading.Event()
        options = {"consumer": "preprocess-0", "folder": str(self.folder.path)}
        self._stream.open()
        file = self.folder.path / "preprocess.json"
        file.write_text(json.dumps({**options, "redis_url": session.url_of("preprocess")}))
        command = [sys.executable, "-m", "tests.faults.preprocess_worker", str(file)]
        self.worker = subprocess.Popen(command, preexec_fn=die_with_parent())

    def connect(self, url: str | None = None) -> Client:
        return connect(url or self._url, client_name="simulated")

    def history(self, role: str) -> History:
        history = History(self.folder.path, role)
        step = self._ring.committed() if role.startswith("learner") else None
        history.add("start", server=read_keys_id(self.client, self.keys), step=step)
        return history

    def write_and_train(self) -> None:
        scene: Any = self
        actor, learner = SimulatedActor(scene, trainable_group), SimulatedLearner(scene)
        learner.step = self._ring.committed()
        while not self.control.stopped():
            if self._stream.depth() < FEW:
                actor.publish_one()
            if learner.train():
                self.training.set()
        self.ended.set()


PARTS = {"hold": hold, "work": work}

if __name__ == "__main__":
    words = json.loads(Path(sys.argv[2]).read_text())
    try:
        PARTS[sys.argv[1]](Path(words["settings"]), *words["overrides"])
    except Interrupted as error:
        sys.exit(error.exit_code)
