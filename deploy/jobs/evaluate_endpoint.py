"""`pope eval URL#MODEL`: pass@k of a model behind an OpenAI-compatible endpoint. Neither engine nor Redis is started.

report.json, report.md      as of every evaluation
requests/SET.jsonl          every request and its outcome; the same command continues from it
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from actors.endpoint_samples import EndpointSamples
from actors.evaluation.evaluation_plan import without_solutions
from actors.evaluation.results import EvaluationReport, Result, evaluation_report
from actors.problems.jsonl import write_rejected
from actors.problems.oracle.attempts import AttemptLog, Header, fingerprint
from actors.problems.problem_set import ProblemSet
from broker.errors import PopeError, UsageError
from broker.records import Problem
from conf.load import dump
from conf.schema import OracleSettings, RunConfig
from deploy.jobs.evaluate import load_sets, write_report, write_task_files
from deploy.run.endpoint_calls import api_key, open_endpoint, stopped_by_signals
from deploy.run.progress import stage
from deploy.run.session import resume_if_same
from deploy.store.run_folder import RunFolder, open_run_folder
from deploy.view.request_table import request_table

if TYPE_CHECKING:
    from actors.problems.oracle.endpoint import SettingNames

KEY_SETTING = "evaluation.endpoint_key_env"


class SamplesMissing(PopeError):
    """Requests failed for good, so that the report has fewer samples than asked for."""


@dataclass(frozen=True)
class EndpointModel:
    """A model behind an endpoint."""

    url: str
    model: str


def endpoint_of(words: str) -> EndpointModel | None:
    """`https://host/v1#name` -> URL and name; None for other words. Raises UsageError without a name."""
    if not words.startswith(("http://", "https://")):
        return None
    url, _, model = words.partition("#")
    if not model:
        raise UsageError("name the model at the endpoint after #, such as https://host/v1#NAME")
    return EndpointModel(url, model)


def evaluate_endpoint(
    config: RunConfig,
    sources: Sequence[str],
    console: Console,
    *,
    label: str,
    fresh: bool,
    lm_eval: Path | None = None,
) -> EvaluationReport:
    """As `evaluate`, of the model `oracle.model` at `oracle.endpoint`. Resumes an earlier call with the same settings.

    Raises UsageError for invalid input or a refusal of the endpoint, EndpointDown, Interrupted; SamplesMissing once the
    report is written.
    """
    key = api_key(KEY_SETTING, config.evaluation.endpoint_key_env)
    sets = load_sets(config, sources)
    if lm_eval is not None:
        write_task_files(lm_eval, config, sets, console)
    config = config if fresh else resume_if_same(config)
    folder, lock, moved = open_run_folder(config)
    with ExitStack() as stack:
        stack.callback(lock.release)
        console.print(f"{config.run.name} in {folder.path}", soft_wrap=True)
        if moved:
            console.print(f"  the earlier run of that name is kept in {moved}", soft_wrap=True)
        folder.settings.write_text(dump(config))
        _write_refused(folder, list(sets.values()), console)
        results: dict[str, list[Result]] = {}
        missing = 0
        for name, problem_set in sets.items():
            results[name], absent = _measure(config, key, folder, name, problem_set.problems, console)
            missing += absent
        evaluation = evaluation_report(
            results, config.evaluation.k, label, sampling=config.evaluation_sampling, seed=config.run.seed
        )
        write_report(folder.path, evaluation, console)
    if missing:
        raise SamplesMissing(f"{missing} samples are missing, whose requests failed; the same command asks for them")
    return evaluation


def _measure(
    config: RunConfig, key: str | None, folder: RunFolder, name: str, problems: Sequence[Problem], console: Console
) -> tuple[list[Result], int]:
    """(results of the problems with an answer, number of samples without one)"""
    asked, start = without_solutions(problems), time.monotonic()
    header = Header(model=config.model.path, source=name, problems=fingerprint(asked))
    path = folder.path / "requests" / f"{name.lower()}-{header.problems[:8]}.jsonl"
    path.parent.mkdir(exist_ok=True)
    with AttemptLog(path, header) as log:
        samples = asyncio.run(_sample(config, key, asked, log, name, console))
    settings = _request_settings(config)
    table = request_table(
        f"requests of {name}", settings, samples.this_run, samples.all_runs, time.monotonic() - start
    )
    console.print(table)
    if samples.stopped_by is not None:
        raise samples.stopped_by
    results = samples.results(asked, name)
    if not results:
        raise SamplesMissing(f"no request for {name} was answered ({path}); the same command asks again")
    return results, len(samples.missing(asked))


async def _sample(
    config: RunConfig, key: str | None, problems: Sequence[Problem], log: AttemptLog, name: str, console: Console
) -> EndpointSamples:
    settings = _request_settings(config)
    async with open_endpoint(
        settings, key, config.verifier, fields=_fields(config), names=_setting_names()
    ) as (endpoint, verifier):
        samples = EndpointSamples(
            settings,
            config.evaluation.samples,
            system=config.prompts.system,
            ask=endpoint.ask,
            judge=verifier.judge,
            record=log.append,
            earlier=log.earlier,
        )
        total = len(samples.missing(problems))
        with stopped_by_signals(samples), stage(console, f"evaluate {name}", total=total) as advance:
            await samples.sample(problems, on_done=lambda: advance(1))
    return samples


def _request_settings(config: RunConfig) -> OracleSettings:
    """How requests are repeated and bounded is set in `oracle`, how they are sampled in `evaluation`."""
    sampling = config.evaluation_sampling
    return replace(
        config.oracle,
        api_key_env=config.evaluation.endpoint_key_env,
        temperature=sampling.temperature,
        max_tokens=sampling.max_completion_tokens,
    )


def _fields(config: RunConfig) -> dict[str, Any]:
    """Fields of a request beyond those of every endpoint, only where a setting asks for them."""
    sampling, kwargs = config.evaluation_sampling, config.prompts.template_kwargs
    fields = {
        "top_p": sampling.top_p if sampling.top_p < 1 else None,
        "top_k": sampling.top_k,
        "chat_template_kwargs": kwargs or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _setting_names() -> "SettingNames":
    from actors.problems.oracle.endpoint import SettingNames

    return SettingNames(
        key=KEY_SETTING,
        address="the model MODEL and the address before #",
        request=(
            "evaluation.temperature, .top_p, .top_k, .max_completion_tokens, prompts.template_kwargs and "
            "oracle.max_tokens_name"
        ),
    )


def _write_refused(folder: RunFolder, sets: Sequence[ProblemSet], console: Console) -> None:
    refused = [row for problem_set in sets for row in problem_set.refused]
    if refused:
        write_rejected(folder.rejected, refused)
        console.print(f"  {len(refused)} rows were rejected ({folder.rejected})", soft_wrap=True)
