"""`pope replay`: trains the batches that a run recorded again, with the learner alone."""

import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from broker.errors import UsageError
from broker.ring import Ring
from conf.load import dump, load
from conf.schema import LearnerSettings, RunConfig
from deploy.cluster.fleet import ManagedRole, RoleFailed
from deploy.cluster.interrupts import Interrupts
from deploy.cluster.learner_ranks import LearnerRanks
from deploy.cluster.learner_role import LearnerRole
from deploy.cluster.placement import learner_demands
from deploy.cluster.ray_session import only_this_machine, ray_session
from deploy.cluster.reservation import Reservation
from deploy.jobs.replay_comparison import Comparison, compare, report, require_equal, steps_of
from deploy.run.handshake import Handshake
from deploy.run.model_source import resolve_model
from deploy.run.progress import stage
from deploy.run.session import start_all
from deploy.store.run_folder import FolderLock, RunFolder
from deploy.store.run_redis import find_run, reader_url, run_redis
from learner.manifest import candidates, folder_of, verify
from learner.replay_plan import STEPS, ReplayPlan

POLL_S = 0.2
SETTINGS = "replay.yaml"
"""Name of the settings file beside the weights; settings.yaml would make the folder a run."""
DATA_SETTINGS = ("learner.batch_samples", "learner.max_lag")
"""Settings of the learner that decide which groups a step gets."""


def replay(
    run: Path,
    overrides: Sequence[str],
    *,
    first: int | None,
    last: int | None,
    out: Path | None,
    url: str | None,
    console: Console,
) -> Comparison:
    """Train the run's batches of steps `first` + 1 ... `last` again. The run itself is only read.

    Raises UsageError when the run is live, a step was not recorded, or a setting would change the data; CheckpointError
    when the weights at `first` are damaged; PopeError when unchanged settings on a CPU give other weights or metrics
    than the run had.
    """
    folder, config = find_run(run)
    replay_config = load(folder.settings, overrides)
    changed = _changes(config, replay_config)
    with ExitStack() as stack:
        stack.enter_context(_locked(folder))
        redis_url = stack.enter_context(reader_url(folder, config, url))
        client, keys = stack.enter_context(run_redis(folder, config, url))
        plan = _plan(folder, replay_config, Ring(client, keys, replay_config.broker.ring.capacity), first, last)
        destination = _destination(folder, plan, out) if changed else None
        scratch = Path(tempfile.mkdtemp(prefix=".replay-", dir=folder.path.parent))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        plan = ReplayPlan(plan.first, plan.last, plan.start, scratch)
        _train(replay_config, plan, redis_url, console)
        comparison = compare(folder, plan, changed, client, keys)
        if destination is not None:
            (scratch / SETTINGS).write_text(dump(replay_config))
            scratch.chmod(0o755)
            scratch.rename(destination)
            console.print(f"  weights, settings and metrics are in {destination}", highlight=False)
    report(comparison, console)
    if not changed and config.deploy.device == "cpu":
        require_equal(comparison)
    return comparison


def _changes(before: RunConfig, after: RunConfig) -> dict[str, Any]:
    """Dotted name -> new value of the settings that differ. Raises UsageError for one that would change the data."""
    old, new = _flat(asdict(before)), _flat(asdict(after))
    changed = {name: value for name, value in new.items() if value != old[name]}
    for name, value in changed.items():
        if not name.startswith("learner.") or name in DATA_SETTINGS:
            raise UsageError(
                f"{name}={value}: a replay trains the groups the run recorded, and this setting would change them; "
                f"only learner.* may change, except {' and '.join(DATA_SETTINGS)}"
            )
    if after.learner.kl_coef > 0 and before.learner.kl_coef == 0:
        raise UsageError(
            f"learner.kl_coef={after.learner.kl_coef:g}: the run recorded no log-probabilities of the starting model, "
            "because its own learner.kl_coef was 0; leave it at 0"
        )
    if after.learner.kl_coef > 0 and _last_kl_step(after.learner) > _last_kl_step(before.learner):
        raise UsageError(
            f"learner.kl_samples={after.learner.kl_samples}: the run recorded log-probabilities of the starting model "
            f"for its first {before.learner.kl_samples} rollouts only; give at most that many"
        )
    return changed


def _last_kl_step(settings: LearnerSettings) -> float:
    """The last step with a KL penalty."""
    return math.inf if settings.kl_samples is None else math.ceil(settings.kl_samples / settings.batch_samples)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


@contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    """Hold the lock of the run's folder, so that it is neither resumed nor replayed at the same time."""
    lock = FolderLock(folder.path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _plan(folder: RunFolder, config: RunConfig, ring: Ring, first: int | None, last: int | None) -> ReplayPlan:
    """The steps and the weights to begin with. Raises UsageError that names the possible steps, CheckpointError that
    names a damaged file."""
    saved = {step for step, _ in candidates(folder.checkpoints)}
    committed = ring.committed()
    recorded = [step for step in ring.recorded_steps() if step <= committed]
    possible = sorted(step for step in saved | {0} if step + 1 in recorded)
    if not possible:
        raise UsageError(f"{folder.path}: nothing to replay: no trained batch follows an existing checkpoint")
    begin = possible[0] if first is None else first
    if begin not in possible:
        raise UsageError(f"--from-step {begin}: a replay can start at step {_alternatives(possible)}")
    end = recorded[-1] if last is None else last
    if end <= begin or end > recorded[-1]:
        raise UsageError(f"--to {end}: from step {begin} a replay can end at steps {begin + 1} to {recorded[-1]}")
    if missing := set(range(begin + 1, end + 1)) - set(recorded):
        raise UsageError(f"--from-step {begin} --to {end}: the batch of step {min(missing)} was not recorded")
    if not begin:
        fine_tuned = folder.sft / "model"
        return ReplayPlan(begin, end, fine_tuned if fine_tuned.exists() else resolve_model(config.model), Path())
    verify(folder_of(folder.checkpoints, begin))  # before anything is loaded from it
    return ReplayPlan(begin, end, folder_of(folder.checkpoints, begin), Path())


def _alternatives(steps: Sequence[int]) -> str:
    return " or ".join(map(str, steps))


def _destination(folder: RunFolder, plan: ReplayPlan, out: Path | None) -> Path:
    """The new folder for the weights. Raises UsageError when it exists."""
    default = folder.path.parent / f"{folder.path.name}-replay-{plan.first}-{plan.last}"
    destination = (out or default).expanduser().absolute()
    if destination.exists():
        raise UsageError(f"{destination} exists: name another folder with --out, or remove it")
    destination.parent.mkdir(parents=True, exist_ok=True)
    return destination


def _train(config: RunConfig, plan: ReplayPlan, redis_url: str, console: Console) -> None:
    """Run the learner's ranks as Ray actors until they have finished. Raises RoleFailed."""
    demands, reservation = learner_demands(config), Reservation(f"{config.run.name} (replay)")
    with ExitStack() as stack:
        with stage(console, "Ray"):
            stack.enter_context(ray_session(config, [demands], reservation, console.print))
            if config.broker.url is None and not only_this_machine():
                raise UsageError("the Ray cluster has several machines; not all reach the run's embedded Redis")
        stack.enter_context(Interrupts())
        handshake = stack.enter_context(closing(Handshake(RunFolder(plan.out), console)))
        roles = []
        for demand in demands:
            log = _log(plan, demand.role)
            needs = handshake.needs(config, demand.role, demand.kind, plan.start)
            spawned = partial(reservation.spawn, LearnerRole, demand, config, demand.role, redis_url, log, needs)
            roles.append(ManagedRole(demand.role, spawn=spawned, log_path=str(log)))
            stack.callback(roles[-1].kill)
        ranks = LearnerRanks(roles)
        start_all(handshake, ranks.roles, config.deploy.start_timeout_s)
        ranks.choose_address(config.deploy.start_timeout_s)
        ranks.work_on(lambda handle, rank, address, incarnation: handle.replay.remote(rank, address, plan))
        _follow(ranks, plan, console)


def _follow(ranks: LearnerRanks, plan: ReplayPlan, console: Console) -> None:
    """Show the steps until every rank has finished. Raises RoleFailed."""
    with stage(console, f"steps {plan.first + 1} to {plan.last}", total=plan.last - plan.first) as advance:
        shown = 0
        while any(role.state == "running" for role in ranks.roles):
            for role in ranks.roles:
                if died := role.poll():
                    raise RoleFailed(f"{died}: {_last_line(_log(plan, role.name))}")
            done = len(steps_of(plan.out / STEPS))
            advance(done - shown)
            shown = done
            time.sleep(POLL_S)


def _log(plan: ReplayPlan, role: str) -> Path:
    return plan.out / "logs" / f"{role}.log"


def _last_line(log: Path) -> str:
    """The last line of a log; for messages, because the log is removed with the replay's scratch folder."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return lines[-1][:300] if lines else "its log is empty"
