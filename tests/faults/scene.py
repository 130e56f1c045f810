"""A run without Ray and vLLM: a real folder, server, preprocessor and learner; actors are simulated."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from broker.acl import Role
from broker.connection import Client, connect, with_retries
from broker.feed import Feed
from broker.history import History
from broker.keys import Keys
from broker.metrics import Control
from broker.records import RolloutGroup, TrainGroup
from broker.ring import Ring
from broker.run_record import open_run, read_keys_id
from broker.streams import RolloutStream
from broker.weights import WeightBoard
from conf.load import dump, load, settings_hash
from deploy.audit.command import audit
from deploy.cluster.redis_server import EmbeddedRedis
from deploy.store.run_folder import RunFolder
from preprocess.preprocessor import Preprocessor
from tests.faults.outcome import Outcome
from tests.learner.ranks import Processes
from tests.waiting import wait_until

GROUP_SIZE, STEP_GROUPS = 4, 3
TIMEOUT_S = 30.0
SMALL = (
    f"actors.group_size={GROUP_SIZE}",
    f"learner.batch_samples={GROUP_SIZE * STEP_GROUPS}",
    "actors.max_prompt_tokens=32",
    "actors.max_completion_tokens=32",
    "learner.row_tokens=64",
    "learner.logprob_chunk_tokens=16",
    "learner.max_engine_rms=100",  # the rollouts are made up
    "learner.max_lag=null",  # rollouts are stamped with version 0
    "preprocess.advantage=mean",
    "preprocess.drop_zero_advantage=true",
    "learner.checkpoint_every=3",
    "preprocess.claim_idle_s=0.5",
    "broker.ring.capacity=1000",
    "deploy.heartbeat_s=0.2",
    f"deploy.dead_after_s={TIMEOUT_S:g}",
)


class Scene:
    """One run, as a context manager that ends all its processes."""

    def __init__(
        self, root: Path, *overrides: str, name: str = "scene", histories: bool = True, listen: str | None = None
    ) -> None:
        """`histories=False`: for a server that loses acknowledged writes, and so disagrees with the histories of roles.
        `listen`: the address of a server that listens on TCP; None for a unix socket.
        """
        tcp = () if listen is None else (f"broker.url=redis://{listen}:6380/0",)
        self.config = load(None, [f"run.name={name}", f"run.root={root}", *SMALL, *tcp, *overrides])
        self.folder = RunFolder.of(self.config)
        self.folder.path.mkdir(parents=True)
        self.folder.settings.write_text(dump(self.config))
        memory_gib = self.config.broker.max_memory_gib
        self.server = EmbeddedRedis(self.folder.redis, run=name, max_memory_gib=memory_gib, listen=listen)
        self.keys = Keys(name)
        self._history_folder = self.folder.path if histories else None
        self._started: list[Processes] = []

    def __enter__(self) -> "Scene":
        self.url = self.server.start()
        self.client = self.connect()
        open_run(self.client, self.keys, settings_hash(self.config), resume=False)
        self.feed = Feed(self.client, self.keys)
        self.feed.open(None)
        RolloutStream(self.client, self.keys).open()
        self.ring = Ring(self.client, self.keys, self.config.broker.ring.capacity, self.config.broker.ring.when_full)
        self.board = WeightBoard(self.client, self.keys)
        return self

    def __exit__(self, *exception: object) -> None:
        for processes in self._started:
            processes.end()
        self.client.close()
        self.server.stop()

    def connect(self, url: str | None = None) -> Client:
        return connect(url or self.url, client_name="scene")

    def history(self, role: str) -> History:
        """The history of a simulated role. Uses a connection of its own, because the role may be in another network."""
        history = History(self._history_folder, role)
        with self.connect() as client:
            server = read_keys_id(client, self.keys)
        history.add("start", server=server, step=0 if role.startswith("learner") else None)
        return history

    def start_preprocessor(self, failpoints: str = "", consumer: str = "preprocess-0") -> Processes:
        """Start a preprocessor in its own process."""
        return self._start("preprocess", {"consumer": consumer}, failpoints, module="tests.faults.preprocess_worker")

    def start_learner(self, model_path: Path, failpoints: str = "", **options: Any) -> Processes:
        """Start a learner rank in its own process; `options` are those of `tests.learner.rank_main`."""
        settings = str(self.folder.settings)
        options = {"name": self.config.run.name, "settings": settings, "model_path": str(model_path), **options}
        return self._start("learner", options, failpoints)

    def _start(self, what: str, options: dict[str, Any], failpoints: str, **how: Any) -> Processes:
        scratch = self.folder.path / "processes" / str(len(self._started))
        role: Role = "learner" if what == "learner" else "preprocess"
        options = {**options, "redis_url": self.server.url_of(role), "folder": str(self.folder.path)}
        self._started.append(Processes(what, options, scratch, fails=failpoints, **how))
        return self._started[-1]

    @contextmanager
    def preprocessing(self, url: str | None = None) -> Iterator[None]:
        """Run a preprocessor on a thread while the body runs. Raises what it raised."""
        url = url or self.server.url_of("preprocess")
        worker = Preprocessor(self.config, url, "preprocess-0", run_folder=self._history_folder)
        with running(worker.run):
            try:
                yield
            finally:
                retry(lambda: Control(self.client, self.keys).stop("the scene ends"))
        retry(lambda: Control(self.client, self.keys).clear())

    def preprocess_all(self) -> None:
        """Run a preprocessor until the rollout stream is empty."""
        with self.preprocessing():
            self.wait_for_empty_stream()

    def wait_for_empty_stream(self) -> None:
        stream = RolloutStream(self.client, self.keys)
        wait_until(lambda: stream.depth() == 0, "an empty rollout stream")

    def require_audit(self, outcome: Outcome) -> None:
        """Require that `pope audit` finds no violation. The run is at rest."""
        result = audit(self.folder.path, self.config.broker.url and self.url)
        # Simulated roles do not record everything.
        broken = [finding for finding in result.findings if not finding.holds and finding.promise != "recorded"]
        outcome.require(result.balance.holds and not broken, f"{result.violation}\n{result.explain()}")


class SimulatedActor:
    """Claims group ids and publishes the groups that `write` makes of them."""

    def __init__(self, scene: Scene, write: Callable[[int], RolloutGroup], url: str | None = None) -> None:
        self._scene, self._write = scene, write
        self._feed = Feed(scene.connect(url), scene.keys)
        self._history = scene.history("actor-0")
        self._tokens: dict[int, str] = {}
        self.owner = f"actor-0@{id(self)}"
        self.published = 0

    def publish(self, num_groups: int) -> None:
        for _ in range(num_groups):
            self.publish_one()

    def publish_one(self) -> None:
        """Blocks while the stream is above its high-water mark, or the server is down or out of memory."""
        self.publish_claimed(*self.claim())

    def publish_claimed(self, group_id: int, token: str) -> bool:
        """Whether the lease was still valid."""
        group = self._write(group_id)
        accepted = bool(retry(lambda: self._feed.publish(group_id, token, group)))
        if accepted:
            self._history.add("publish", group_id=group_id)
            self._tokens[group_id] = token
            self.published += 1
        return accepted

    def publish_again(self, group_id: int) -> bool:
        """Publish a group a second time. Returns whether it was accepted."""
        group = self._write(group_id)
        return bool(retry(lambda: self._feed.publish(group_id, self._tokens[group_id], group)))

    def claim(self, lease_s: float | None = None) -> tuple[int, str]:
        """(group id, claim token). `lease_s`: None for the lease of the settings."""
        token = f"{self.owner}/{self.published}.{time.monotonic_ns()}"
        config = self._scene.config
        while True:
            group_id = retry(
                lambda: self._feed.claim(
                    token,
                    held_version=0,
                    batch_groups=config.batch_groups,
                    max_lag=None,
                    lease_s=config.actors.lease_s if lease_s is None else lease_s,
                    high_water=config.broker.rollouts_high_water,
                )
            )
            if group_id is not None:
                return group_id, token
            time.sleep(0.01)


class SimulatedLearner:
    """Takes and commits batches without training them. `look` is called with every batch."""

    def __init__(self, scene: Scene, url: str | None = None, look: Callable[[list[TrainGroup]], None] | None = None):
        self._ring = Ring(scene.connect(url), scene.keys, scene.config.broker.ring.capacity)
        self._history = scene.history("learner-0")
        self._samples = scene.config.learner.batch_samples
        self._look = look
        self.step = 0

    def train(self) -> bool:
        """One step. Returns False if the ring holds too few samples."""
        step = self.step + 1
        group_ids = retry(lambda: self._ring.take(step, self._samples, max_lag=None))
        if group_ids is None:
            return False
        self._history.add("batch", step=step, group_ids=tuple(group_ids))
        batch = retry(lambda: self._ring.batch(step))
        assert batch is not None
        if self._look:
            self._look(batch)
        retry(lambda: self._ring.commit(step))
        self._history.add("commit", step=step)
        self.step = step
        return True

    def follow_server(self) -> None:
        """Continue at the step that the server knows, after it lost later ones."""
        self.step = retry(self._ring.committed)


@contextmanager
def running(work: Callable[[], None]) -> Iterator[None]:
    """Run `work` on a thread while the body runs, then wait for its end. Raises what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    thread.join(2 * TIMEOUT_S)
    if raised:
        raise raised[0]
    assert not thread.is_alive(), "the work did not end"


def retry(operation: Callable[[], Any]) -> Any:
    """The result of an idempotent call to Redis, repeated while the server is down."""
    return with_retries(operation, deadline_s=TIMEOUT_S)
