"""A driver without Ray: `python -m tests.faults.owner PART OPTIONS.json`, PART one of those below.

It prints a line once it is at work, and ends as `pope` does: with 130 or 143 when a signal ended it.
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
from tests.faults.broker_faults import kept_group
from tests.faults.scene import PlayedActor, PlayedLearner

FEW = 8
"""Groups on the stream, from which on nobody writes more: whoever waits for room hears no stop."""


def open_folder(settings: Path, *overrides: str) -> AbstractContextManager[Session]:
    """The session of a run that takes no problems."""
    return open_session(load(settings, overrides), screen(), ProblemSet([]))


def hold(settings: Path, *overrides: str) -> None:
    """A run's folder and its Redis, until somebody ends this."""
    with open_folder(settings, *overrides):
        print("at work", flush=True)
        time.sleep(120)


def work(settings: Path, *overrides: str) -> None:
    """A run with a preprocessor, and with somebody who writes and trains, until a signal stops it."""
    with ExitStack() as stack:
        session = stack.enter_context(open_folder(settings, *overrides))
        interrupts = stack.enter_context(Interrupts())
        place = Place(session)
        stack.callback(place.worker.kill)
        threading.Thread(target=place.write_and_train, daemon=True).start()
        assert place.training.wait(60), "no step was trained"
        print("at work", flush=True)
        with interrupts.graceful(place.control):
            while not place.control.stopped():
                time.sleep(0.02)
            place.worker.wait(20)
            place.ended.wait(20)
        interrupts.raise_if_requested()


class Place:
    """What played roles need of a scene, over a session of the product."""

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
        command = [sys.executable, "-m", "tests.faults.worker", "preprocess", str(file)]
        self.worker = subprocess.Popen(command, preexec_fn=die_with_parent())

    def connect(self, url: str | None = None) -> Client:
        return connect(url or self._url, client_name="played")

    def history(self, role: str) -> History:
        history = History(self.folder.path, role)
        step = self._ring.committed() if role.startswith("learner") else None
        history.add("start", server=read_keys_id(self.client, self.keys), step=step)
        return history

    def write_and_train(self) -> None:
        place: Any = self
        actor, learner = PlayedActor(place, kept_group), PlayedLearner(place)
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
