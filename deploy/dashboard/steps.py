"""The metrics of each optimizer step: one row per step, in columns that a chart can draw. Pure.

A row is about the time while policy version `step` was the newest: the report of the step that made it, the groups
preprocessed under it, and what the engines sampled with it. Columns, all numbers:

    loss, grad_norm, learning_rate, entropy, ess, clip_share, ratio_max, logprob_rms, lag_mean, lag_max, step_s
    logprob_rms_lag0         disagreement of learner and engine at lag 0, nats; only in steps with such tokens
    trained_per_s            tokens per second of the optimizer step
    mfu                      model FLOPs of the optimizer step over the measured peak, 0 to 1; absent without a gradient
    reward/ARM               mean reward of the trained batch
    advantage/ARM            share of the batch's absolute advantage, tokens counted
    success/ARM              share of correct rollouts, of all judged at that version; every problem counts alike
    solved/ARM               hard problems solved at least once so far
    kept                     share of the groups that went into the ring
    cut, unjudged            shares of the rollouts truncated by the token budget; with a verifier failure
    written_per_s            completion tokens per second, all engines together
    stall_ms                 longest pause of an engine while it took over these weights
    ring, stream             slots in use; groups waiting for preprocessing
"""

from collections import defaultdict
from collections.abc import Iterable

from broker.reports import ActorOutput, GroupEnd, LearnerStep, PreprocessWork, WeightSync

Row = dict[str, float]


class Steps:
    """Builds `rows` from reports, which may come in any order of their kinds."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self._changed: set[int] = set()
        self._sums: defaultdict[tuple[int, str], float] = defaultdict(float)
        self._solved: defaultdict[str, set[str]] = defaultdict(set)
        self._written: defaultdict[int, dict[str, tuple[float, float]]] = defaultdict(dict)
        """Step -> actor -> (tokens, seconds)."""
        self._last_report_s: dict[str, float] = {}

    def changed(self) -> list[int]:
        """Steps whose row changed since the last call, ascending."""
        steps, self._changed = sorted(self._changed), set()
        return steps

    @property
    def trained(self) -> list[int]:
        """Steps the learner has reported, ascending."""
        return sorted(step for step, row in self.rows.items() if "loss" in row)

    def add_learner(self, reports: Iterable[LearnerStep]) -> None:
        for report in reports:
            row = self._row(report.step)
            row.update(
                loss=report.loss,
                grad_norm=report.grad_norm,
                learning_rate=report.learning_rate,
                entropy=report.entropy,
                ess=report.ess,
                clip_share=report.clip_share,
                ratio_max=report.ratio_max,
                logprob_rms=report.logprob_rms,
                lag_mean=report.lag_mean,
                lag_max=float(report.lag_max),
                step_s=report.seconds,
                trained_per_s=report.tokens_per_s,
            )
            if report.logprob_rms_lag0 is not None:
                row["logprob_rms_lag0"] = report.logprob_rms_lag0
            if report.mfu is not None:
                row["mfu"] = report.mfu
            row |= {f"reward/{arm}": mean for arm, mean in report.reward_mean.items()}
            row |= {f"advantage/{part.partition('/')[2]}": share for part, share in report.advantage_share.items()}

    def add_groups(self, groups: Iterable[GroupEnd]) -> None:
        for group in groups:
            step, arm, rollouts = group.step, group.arm, group.rollouts
            self._add_share(step, f"success/{arm}", group.weight * group.successes, group.weight * group.judged)
            self._add_share(step, "kept", group.kept, 1)
            self._add_share(step, "cut", group.truncated, rollouts)
            self._add_share(step, "unjudged", rollouts - group.judged, rollouts)
            if group.bucket == "hard":
                if group.successes:
                    self._solved[arm].add(group.problem_id)
                self._row(step)[f"solved/{arm}"] = len(self._solved[arm])

    def add_syncs(self, syncs: Iterable[WeightSync]) -> None:
        for sync in syncs:
            row = self._row(sync.version)
            row["stall_ms"] = max(row.get("stall_ms", 0.0), sync.stall_ms)

    def add_outputs(self, outputs: Iterable[ActorOutput]) -> None:
        """A report counts the tokens since the actor's last one; the interval is the difference of their entry ids."""
        for output in outputs:
            actor, now_s = output.actor, output.unix_s
            if (before_s := self._last_report_s.get(actor)) is not None and now_s > before_s:
                tokens, seconds = self._written[output.version].get(actor, (0.0, 0.0))
                self._written[output.version][actor] = tokens + output.tokens, seconds + now_s - before_s
                rates = (n / s for n, s in self._written[output.version].values())
                self._row(output.version)["written_per_s"] = sum(rates)
            self._last_report_s[actor] = now_s

    def add_preprocess(self, reports: Iterable[PreprocessWork]) -> None:
        for report in reports:
            self._add_mean(report.step, "ring", report.ring_samples)
            self._add_mean(report.step, "stream", report.stream_groups)

    def _row(self, step: int) -> Row:
        self._changed.add(step)
        return self.rows.setdefault(step, {})

    def _add_share(self, step: int, column: str, part: float, whole: float) -> None:
        self._sums[step, f"{column} part"] += part
        self._sums[step, f"{column} whole"] += whole
        if total := self._sums[step, f"{column} whole"]:
            self._row(step)[column] = self._sums[step, f"{column} part"] / total

    def _add_mean(self, step: int, column: str, value: float) -> None:
        self._add_share(step, column, value, 1)
