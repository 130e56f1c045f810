"""`pope eval`: pass@k of one checkpoint on any number of problem sets.

report.json     all results, for each problem; `pope table` merges several
report.md       the tables
sampling/       every rollout
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from actors.evaluation.evaluation_plan import EvaluationPlan, without_solutions
from actors.evaluation.results import EvaluationReport, Result, evaluation_report
from actors.problems.catalog import BUILTIN
from actors.problems.problem_set import ProblemSet
from broker.errors import UsageError
from broker.records import Problem
from conf.schema import RunConfig
from deploy.jobs.problems import load_all_buckets
from deploy.stages.stage_sequence import Stages, open_stages
from deploy.store.run_folder import RunFolder
from deploy.view.evaluation_tables import to_json, to_markdown
from learner.manifest import find_newest_valid


def checkpoint_folder(words: str) -> tuple[str, Path | None]:
    """(`model.path` for CHECKPOINT, the run folder if CHECKPOINT is one).

    Raises UsageError for a run folder without an intact checkpoint.
    """
    folder = RunFolder(Path(words).expanduser())
    if not folder.settings.exists():
        return words, None
    checkpoint = find_newest_valid(folder.checkpoints)
    if checkpoint is None and (folder.sft / "model").is_dir():  # a run of `pope sft`, or one that stopped before RL
        return str(folder.sft / "model"), folder.path
    if checkpoint is None:
        raise UsageError(f"{words} holds no intact checkpoint; name a Hugging Face folder, or a run that has saved one")
    return str(checkpoint.folder), folder.path


def set_name(source: str) -> str:
    """The name of a problem set in tables, keys and file names: aime-2025, hard, pope."""
    path = Path(source)
    if path.name == "problems.jsonl" and path.parent.name:
        path = path.parent
    stem = path.name.removesuffix(".jsonl").removesuffix(".json").removesuffix(".parquet")
    return re.sub(r"[^a-zA-Z0-9._-]+", "-", stem).strip(".-") or "set"


def evaluate(
    config: RunConfig, sources: Sequence[str], console: Console, *, label: str, fresh: bool
) -> EvaluationReport:
    """Sample every problem of every source `evaluation.samples` times. Resumes an earlier call with the same settings.

    Raises UsageError for invalid input, Interrupted when a signal ends it.
    """
    sets = {set_name(source): _load(config, source) for source in sources}
    if len(sets) < len(sources):
        names = ", ".join(map(set_name, sources))
        raise UsageError(f"two of the problem sets have the same name ({names}); rename one")
    every = ProblemSet([p for s in sets.values() for p in s.problems], [r for s in sets.values() for r in s.rejected])
    results: dict[str, list[Result]] = {}
    sampling = config.evaluation_sampling
    with open_stages(config, console, every, [sampling], fresh=fresh) as stages:
        for name, problems in sets.items():
            results[name] = _measure(stages, config, name, stages.fitting(problems, as_guidance=False), console)
        evaluation = evaluation_report(results, config.evaluation.k, label, sampling=sampling, seed=config.run.seed)
        (stages.folder / "report.json").write_bytes(to_json([evaluation]))
        (stages.folder / "report.md").write_text(to_markdown([evaluation]))
        console.print(to_markdown([evaluation]), highlight=False, markup=False, soft_wrap=True)
        console.print(f"  {stages.num_rollouts:,} rollouts; everything is in {stages.folder}", highlight=False)
    return evaluation


def _load(config: RunConfig, source: str) -> ProblemSet:
    """The problems of one set; of the built-in domain, only the hard ones."""
    path = Path(source).expanduser()
    if path.is_dir():
        source = str(path / "problems.jsonl")
    problem_set = load_all_buckets(replace(config, problems=replace(config.problems, source=source)))
    if source == BUILTIN:
        problem_set = replace(problem_set, problems=[p for p in problem_set.problems if p.bucket == "hard"])
    if not problem_set.problems:
        raise UsageError(f"{source}: {problem_set.explain()}; run pope problems check {source} for the reasons")
    return problem_set


def _measure(
    stages: Stages, config: RunConfig, name: str, problems: Sequence[Problem], console: Console
) -> list[Result]:
    asked = without_solutions(problems)
    plan = EvaluationPlan(asked, "unguided", config.evaluation.samples, config.run.seed)
    stages.run(
        f"evaluate {name}", name.lower(), plan, asked, sampling=config.evaluation_sampling, source=name
    )
    if plan.failed:
        shown = ", ".join(f"{id} ({reason})" for id, reason in sorted(plan.failed.items())[:3])
        console.print(f"    {len(plan.failed)} problems were not measured: {shown}", highlight=False)
    return plan.results()
