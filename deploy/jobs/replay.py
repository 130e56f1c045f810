"""`pope replay`: the learner alone, over the batches a run recorded."""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from broker.errors import UsageError
from broker.ring import Ring
from conf.load import dump, load
from conf.schema import RunConfig
from deploy.cluster.fleet import Member, RoleFailed
from deploy.cluster.interrupts import Interrupts
from deploy.cluster.learner_role import LearnerRole
from deploy.cluster.placement import learner_demands
from deploy.cluster.ray_session import address, only_this_machine, ray_session, spawn
from deploy.jobs.replay_comparison import Comparison, compare, report, require_equal, steps_of
from deploy.run.model_source import resolve_model
from deploy.run.progress import stage
from deploy.run.session import start_all
from deploy.store.run_folder import FolderLock, RunFolder
from deploy.store.run_redis import find_run, reader_url, run_redis
from learner.manifest import candidates, folder_of, verify
from learner.replay_plan import STEPS, ReplayPlan

POLL_S = 0.2
SETTINGS = "replay.yaml"
"""Beside the weights; not settings.yaml, which would make the folder a run."""
MADE_THE_DATA = ("learner.batch_samples", "learner.max_lag")
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
    when the weights to begin with are damaged; PopeError when unchanged settings on a CPU give other weights or numbers
    than the run had.
    """
    folder, config = find_run(run)
    ours = load(folder.settings, overrides)
    changed = _changes(config, ours)
    with ExitStack() as stack:
        stack.enter_context(_nobody_else(folder))
        redis_url = stack.enter_context(reader_url(folder, config, url))
        client, keys = stack.enter_context(run_redis(folder, config, url))
        plan = _plan(folder, ours, Ring(client, keys, ours.broker.ring.capacity), first, last)
        kept = _destination(folder, plan, out) if changed else None
        scratch = Path(tempfile.mkdtemp(prefix=".replay-", dir=folder.path.parent))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        plan = ReplayPlan(plan.first, plan.last, plan.start, scratch)
        _train(ours, plan, redis_url, console)
        comparison = compare(folder, plan, changed, client, keys)
        if kept is not None:
            (scratch / SETTINGS).write_text(dump(ours))
            scratch.chmod(0o755)
            scratch.rename(kept)
            console.print(f"  weights, settings and metrics are in {kept}", highlight=False)
    report(comparison, console)
    if not changed and config.deploy.device == "cpu":
        require_equal(comparison)
    return comparison


def _changes(before: RunConfig, after: RunConfig) -> dict[str, Any]:
    """Dotted name -> new value of what differs. Raises UsageError for a setting that made the data."""
    old, new = _flat(asdict(before)), _flat(asdict(after))
    changed = {name: value for name, value in new.items() if value != old[name]}
    for name, value in changed.items():
        if not name.startswith("learner.") or name in MADE_THE_DATA:
            raise UsageError(
                f"{name}={value}: a replay trains the groups the run recorded, and this setting took part in making "
                f"them; only learner.* may change, without {' and '.join(MADE_THE_DATA)}"
            )
    if after.learner.kl_coef > 0 and before.learner.kl_coef == 0:
        raise UsageError(
            f"learner.kl_coef={after.learner.kl_coef:g}: the run recorded no log-probabilities of the starting model, "
            "because its own learner.kl_coef was 0; leave it at 0"
        )
    return changed


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


@contextmanager
def _nobody_else(folder: RunFolder) -> Iterator[None]:
    """Hold the run's folder, so that it neither goes on nor is replayed twice meanwhile."""
    lock = FolderLock(folder.path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _plan(folder: RunFolder, config: RunConfig, ring: Ring, first: int | None, last: int | None) -> ReplayPlan:
    """Where to begin and to end. Raises UsageError naming what is there instead, CheckpointError naming a bad file."""
    saved = {step for step, _ in candidates(folder.checkpoints)}
    committed = ring.committed()
    recorded = [step for step in ring.recorded() if step <= committed]
    possible = sorted(step for step in saved | {0} if step + 1 in recorded)
    if not possible:
        raise UsageError(f"{folder.path}: no trained batch follows a kept checkpoint, there is nothing to replay")
    begin = possible[0] if first is None else first
    if begin not in possible:
        raise UsageError(f"--from-step {begin}: weights and the batches after them are kept at step {_or(possible)}")
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


def _or(steps: Sequence[int]) -> str:
    return " or ".join(map(str, steps))


def _destination(folder: RunFolder, plan: ReplayPlan, out: Path | None) -> Path:
    kept = (out or folder.path.parent / f"{folder.path.name}-replay-{plan.first}-{plan.last}").expanduser().absolute()
    if kept.exists():
        raise UsageError(f"{kept} exists: name another folder with --out, or remove it")
    kept.parent.mkdir(parents=True, exist_ok=True)
    return kept


def _train(config: RunConfig, plan: ReplayPlan, redis_url: str, console: Console) -> None:
    """The ranks of the learner, placed by Ray as in a run. Raises RoleFailed."""
    demands = learner_demands(config)
    with ExitStack() as stack:
        with stage(console, "Ray"):
            stack.enter_context(ray_session(config, demands))
            if config.broker.url is None and not only_this_machine():
                raise UsageError("the Ray cluster has several machines, and they do not reach the run's embedded Redis")
        stack.enter_context(Interrupts())
        ranks = []
        for demand in demands:
            log = plan.out / "logs" / f"{demand.role}.log"
            spawned = partial(spawn, LearnerRole, demand, config, demand.role, redis_url, log)
            ranks.append(Member(demand.role, spawn=spawned, log_path=str(log)))
            stack.callback(ranks[-1].kill)
        start_all(ranks, config.deploy.start_timeout_s)
        master = ranks[0].ask(address, config.deploy.start_timeout_s)
        for rank, member in enumerate(ranks):
            member.work_on(partial(_begin, rank, master, plan))
        with stage(console, f"steps {plan.first + 1} to {plan.last}", total=plan.last - plan.first) as advance:
            shown = 0
            while any(member.state == "running" for member in ranks):
                for member in ranks:
                    if died := member.poll():
                        raise RoleFailed(f"{died}: {_last_line(plan.out / 'logs' / f'{member.name}.log')}")
                done = len(steps_of(plan.out / STEPS))
                advance(done - shown)
                shown = done
                time.sleep(POLL_S)


def _begin(rank: int, master: tuple[str, int], plan: ReplayPlan, handle: Any, incarnation: str) -> Any:
    return handle.replay.remote(rank, master, plan)


def _last_line(log: Path) -> str:
    """Of a log that is removed with the replay's scratch folder."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return lines[-1][:300] if lines else "it wrote nothing"
