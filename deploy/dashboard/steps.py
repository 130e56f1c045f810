"""What happened at each optimizer step: one row a step, in columns a chart can draw. Pure.

A row is about the time while policy version `step` was the newest: the report of the step that made it, the groups
preprocessed under it, what the engines wrote with it. Columns, all numbers:

    loss, grad_norm, learning_rate, entropy, ess, clip_share, ratio_max, logprob_rms, lag_mean, lag_max, step_s
    trained_per_s            tokens a second inside the optimizer step
    reward/ARM               mean reward of the trained batch
    advantage/ARM            share of the batch's absolute advantage, tokens counted: who the update listens to
    success/ARM              share of correct rollouts, of all judged at that version
    solved/ARM               hard problems solved at least once so far
    kept                     share of the groups that carried a gradient
    cut, unjudged            share of the rollouts that the token budget cut; that the verifier failed on
    written_per_s            completion tokens a second, all engines together
    stall_ms                 longest pause of an engine while it took these weights
    ring, stream             slots in use; groups waiting for preprocessing
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

LEARNER = {
    "loss/mean": "loss",
    "grad/norm": "grad_norm",
    "learning_rate/value": "learning_rate",
    "entropy/mean": "entropy",
    "ratio/ess": "ess",
    "ratio/clip_share": "clip_share",
    "ratio/max": "ratio_max",
    "logprob/rms": "logprob_rms",
    "lag/mean": "lag_mean",
    "lag/max": "lag_max",
    "step/seconds": "step_s",
    "step/tokens_per_s": "trained_per_s",
}
"""Field of the learner's report -> column."""

Row = dict[str, float]
Report = Mapping[str, str]


class Steps:
    """Takes reports in any order of rooms; `rows` is always what they add up to."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self._changed: set[int] = set()
        self._sums: defaultdict[tuple[int, str], float] = defaultdict(float)
        self._solved: defaultdict[str, set[str]] = defaultdict(set)
        self._written: defaultdict[int, dict[str, tuple[float, float]]] = defaultdict(dict)
        """Step -> actor -> (tokens, seconds)."""
        self._last_report_s: dict[str, float] = {}

    def changed(self) -> list[int]:
        """The steps whose row changed since the last call, ascending."""
        steps, self._changed = sorted(self._changed), set()
        return steps

    @property
    def trained(self) -> list[int]:
        """The steps the learner has reported, ascending."""
        return sorted(step for step, row in self.rows.items() if "loss" in row)

    def add_learner(self, reports: Iterable[Report]) -> None:
        for report in reports:
            row = self._row(int(report["step"]))
            row.update({column: float(report[name]) for name, column in LEARNER.items() if name in report})
            for name, value in report.items():
                match name.split("/"):
                    case ["reward", arm, "mean"]:
                        row[f"reward/{arm}"] = float(value)
                    case ["share", "advantage", _, arm]:
                        row[f"advantage/{arm}"] = float(value)

    def add_groups(self, reports: Iterable[Report]) -> None:
        for report in reports:
            step, arm = int(report["step"]), report["arm"]
            judged, successes, rollouts = int(report["judged"]), int(report["successes"]), int(report["rollouts"])
            self._add_share(step, f"success/{arm}", successes, judged)
            self._add_share(step, "kept", report["outcome"] == "kept", 1)
            self._add_share(step, "cut", int(report["cut_off"]), rollouts)
            self._add_share(step, "unjudged", rollouts - judged, rollouts)
            if report["bucket"] == "hard":
                if successes:
                    self._solved[arm].add(report["problem_id"])
                self._row(step)[f"solved/{arm}"] = len(self._solved[arm])

    def add_actors(self, reports: Iterable[Report]) -> None:
        for report in reports:
            if "sync/version" in report:
                row = self._row(int(report["sync/version"]))
                row["stall_ms"] = max(row.get("stall_ms", 0.0), float(report["sync/stall_ms"]))
            elif "tokens" in report:
                self._add_written(report)

    def add_preprocess(self, reports: Iterable[Report]) -> None:
        for report in reports:
            step = int(report["step"])
            self._add_mean(step, "ring", float(report["preprocess/ring/occupancy"]))
            self._add_mean(step, "stream", float(report["preprocess/stream/depth"]))

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

    def _add_written(self, report: Report) -> None:
        """A report tells the tokens since the actor's last one; the entry ids tell how long that was."""
        actor, now_s = report["actor"], entry_s(report)
        if (before_s := self._last_report_s.get(actor)) is not None and now_s > before_s:
            step = int(report["version"])
            tokens, seconds = self._written[step].get(actor, (0.0, 0.0))
            self._written[step][actor] = tokens + float(report["tokens"]), seconds + now_s - before_s
            self._row(step)["written_per_s"] = sum(n / s for n, s in self._written[step].values())
        self._last_report_s[actor] = now_s


def entry_s(entry: Mapping[str, str]) -> float:
    """Unix seconds of the server when an entry was appended: its id says so."""
    return int(entry["id"].split("-")[0]) / 1e3


def lag_histogram(report: Report) -> list[tuple[int, int]]:
    """`0:1178 1:1452` -> [(age in steps, tokens of that age)]."""
    pairs = (word.split(":") for word in report.get("lag/histogram", "").split())
    return [(int(age), int(count)) for age, count in pairs]
