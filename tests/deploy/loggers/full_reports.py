"""Reports in which no field is empty, and the names of all their numbers."""

import msgspec

from broker.reports import PLACES, Report, SftStep, to_fields
from deploy.store.run_view import Reports
from tests.reports import actor_output, ended, learner_step, preprocess_work, role_times, weight_sync

ARMS = {"unguided": 0.25, "guided": 0.75}
PARTS = {"hard/unguided": 0.25, "hard/guided": 0.75}
COUNTS = {"unguided": 3, "guided": 5}


def full_reports(steps: int = 3) -> Reports:
    """Two reports of each kind a step, two seconds a step; step 0 has no report of the learner."""
    reports = Reports()
    for step in range(steps + 1):
        start_ms = 1_700_000_000_000 + 2000 * step
        ids = [f"{start_ms + 100 * n}-0" for n in range(5)]
        if step:
            reports.learner.append(
                learner_step(
                    step, id=ids[0], loss=step / 8, ess_corrected=0.9, kl=0.01, mfu=0.25, publish_s=0.1,
                    checkpoint_step=0, checkpoint_failures=0, watchdog="ess=0.1", rolled_back_to=0, reward_mean=ARMS,
                    advantage_share=PARTS, token_share=PARTS, gradient_norm=PARTS, reward_change=PARTS,
                    gradient_cosine={"hard/unguided/hard/guided": 0.5},
                )
            )  # fmt: skip
        for n in (1, 2):
            reports.syncs.append(weight_sync(step, id=ids[n]))
            reports.outputs.append(actor_output(step, id=ids[n], truncated=2, multi_version_rollouts=1))
            reports.groups.append(
                ended(
                    n, id=ids[n], step=step, arm=("unguided", "guided")[n - 1], group_id=2 * step + n, truncated=1,
                    verdicts={"wrong": 7}, sampling_share=0.5,
                )
            )  # fmt: skip
            reports.preprocess.append(
                preprocess_work(
                    step, id=ids[n], errors=1, outcomes={"kept": 8}, groups=COUNTS, rollouts=COUNTS, judged=COUNTS,
                    reward_mean=ARMS, success_rate=ARMS,
                )
            )  # fmt: skip
            reports.times.append(role_times("actor-0", id=ids[n], work=0.75, weights=0.25))
    return reports


def names_of(reports: Reports, *sft: SftStep) -> set[str]:
    """The name of every number of the reports, as loggers get it."""
    names = {f"sft/{name}" for report in sft for name in _numbers(report)}
    for report in (*reports.learner, *reports.syncs, *reports.outputs, *reports.preprocess):
        names |= {name if "/" in name else f"{report.room}/{name}" for name in _numbers(report)}
    for group in reports.groups:
        names |= {f"groups/{name}/{group.arm}" for name in _numbers(group)}
    for times in reports.times:
        names |= {f"{name}/{times.kind}" for name in _numbers(times)}
    return names


def _numbers(report: Report) -> set[str]:
    """Wire names of the numbers that do not say where the report belongs; of a histogram, one for each key."""
    empty = [field.name for field in msgspec.structs.fields(report) if getattr(report, field.name) in (None, {})]
    assert not empty, f"{type(report).__name__}: not filled in: {empty}"
    names = set()
    for name, value in to_fields(report).items():
        if name.endswith("/histogram"):
            names |= {f"{name}/{word.partition(':')[0]}" for word in str(value).split()}
        elif not isinstance(value, str) and name not in PLACES:
            names.add(name)
    return names
