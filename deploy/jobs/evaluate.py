"""`pope eval`: pass@k of one checkpoint on any number of problem sets.

report.json     all results, for each problem; `pope table` merges several
report.md       the tables
sampling/       every rollout

A model behind an endpoint is evaluated by `evaluate_endpoint.py`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from msgspec.structs import replace as replace_fields
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
from deploy.view.lm_eval_task import task_files, task_name
from learner.manifest import MANIFEST, find_newest_valid, read_manifest


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


def checkpoint_step(model_path: str) -> int:
    """The optimizer step of a checkpoint of a run; 0 for any other model."""
    folder = Path(model_path).expanduser()
    return int(read_manifest(folder)["step"]) if (folder / MANIFEST).exists() else 0


def set_name(source: str) -> str:
    """The name of a problem set in tables, keys and file names: aime-2025, hard, pope."""
    path = Path(source)
    if path.name == "problems.jsonl" and path.parent.name:
        path = path.parent
    stem = path.name.removesuffix(".jsonl").removesuffix(".json").removesuffix(".parquet")
    return re.sub(r"[^a-zA-Z0-9._-]+", "-", stem).strip(".-") or "set"


def evaluate(
    config: RunConfig,
    sources: Sequence[str],
    console: Console,
    *,
    label: str,
    fresh: bool,
    lm_eval: Path | None = None,
) -> EvaluationReport:
    """Sample every problem of every source `evaluation.samples` times. Resumes an earlier call with the same settings.

    `lm_eval`: folder to write the sets to as tasks of lm-evaluation-harness.
    Raises UsageError for invalid input, Interrupted when a signal ends it.
    """
    sets = load_sets(config, sources)
    if lm_eval is not None:
        write_task_files(lm_eval, config, sets, console)
    every = ProblemSet([p for s in sets.values() for p in s.problems], [r for s in sets.values() for r in s.rejected])
    results: dict[str, list[Result]] = {}
    step = checkpoint_step(config.model.path)
    sampling = config.evaluation_sampling
    with open_stages(config, console, every, [sampling], fresh=fresh) as stages:
        for name, problems in sets.items():
            measured = _measure(stages, config, name, stages.fitting(problems, as_guidance=False), console)
            results[name] = [replace_fields(result, policy_version=step) for result in measured]
        evaluation = evaluation_report(results, config.evaluation.k, label, sampling=sampling, seed=config.run.seed)
        write_report(stages.folder, evaluation, console)
        console.print(f"  {stages.num_rollouts:,} rollouts; everything is in {stages.folder}", highlight=False)
    return evaluation


def load_sets(config: RunConfig, sources: Sequence[str]) -> dict[str, ProblemSet]:
    """Name -> problem set. Raises UsageError when two have the same name, or one has no problem."""
    sets = {set_name(source): _load(config, source) for source in sources}
    if len(sets) < len(sources):
        names = ", ".join(map(set_name, sources))
        raise UsageError(f"two of the problem sets have the same name ({names}); rename one")
    return sets


def write_report(folder: Path, evaluation: EvaluationReport, console: Console) -> None:
    """Write report.json and report.md, and print the tables."""
    (folder / "report.json").write_bytes(to_json([evaluation]))
    (folder / "report.md").write_text(to_markdown([evaluation]))
    console.print(to_markdown([evaluation]), highlight=False, markup=False, soft_wrap=True)


def write_task_files(
    folder: Path, config: RunConfig, sets: Mapping[str, ProblemSet], console: Console
) -> None:
    """Write every set as a task of lm-evaluation-harness. Raises UsageError if the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, problem_set in sets.items():
            for file, content in task_files(name, problem_set.problems, config).items():
                (folder / file).write_text(content, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--lm-eval {folder}: {error.strerror}; name a folder that can be written") from error
    console.print(f"  tasks of lm-evaluation-harness: {', '.join(map(task_name, sets))} in {folder}", soft_wrap=True)


def _load(config: RunConfig, source: str) -> ProblemSet:
    """The problems of one set; of a built-in domain, only the hard ones."""
    path = Path(source).expanduser()
    if path.is_dir():
        source = str(path / "problems.jsonl")
    problem_set = load_all_buckets(replace(config, problems=replace(config.problems, source=source)))
    if source in BUILTIN:
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
