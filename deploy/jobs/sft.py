"""`pope sft`: supervised fine-tuning on its own (POPE section 6, appendix C). `pope train` has it as a stage.

data        demonstrations from oracle solutions, samples or a file (`stages/demonstration_data.py`)
fine-tune   the base model imitates them (`stages/fine_tuning.py`); the result is sft/model
"""

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
from rich.console import Console

from actors.problems.problem_set import ProblemSet
from broker.errors import UsageError
from broker.records import Problem
from conf.rules.sft import BUILDERS
from conf.schema import RunConfig
from deploy.cluster.placement import actor_demands
from deploy.jobs.problems import load_run_problems
from deploy.run.fitting_problems import fitting_problems
from deploy.run.model_check import check_model_alone
from deploy.run.session import close_engines, make_actors, open_cluster, open_session, resume_if_same
from deploy.stages.demonstration_data import check_demonstration_data, is_demonstration_file, load_examples
from deploy.stages.fine_tuning import FineTuning, sft_demands
from deploy.stages.guidance_search import check_search, choose_guidance
from deploy.stages.stage_sequence import Stages
from deploy.store.provenance import save_provenance
from deploy.store.run_folder import RunFolder


def sft(config: RunConfig, console: Console, *, data_only: bool, fresh: bool) -> Path:
    """Fine-tune the model of the settings. Resumes an earlier call with the same settings, unless `fresh`.

    Returns the folder of the fine-tuned model, or with `data_only` the file of the demonstrations.
    Raises UsageError for invalid input, Interrupted when a signal ends it.
    """
    if not config.sft.enabled:
        raise UsageError(f"sft.data=none gives no demonstrations: set it to {', '.join(BUILDERS[1:])} or FILE.jsonl")
    problem_set = ProblemSet([]) if is_demonstration_file(config.sft.data) else load_run_problems(config)
    check_demonstration_data(config.sft, problem_set.problems, config.problems.source)
    check_search(config, problem_set.problems)
    inputs = _digest(config, problem_set.problems)
    saved_digest = RunFolder.of(config).sft / "inputs.sha256"
    if not fresh and (not saved_digest.exists() or saved_digest.read_text() == inputs):
        config = resume_if_same(config)
    with ExitStack() as stack:
        session = stack.enter_context(open_session(config, console, problem_set, [config.actors.sampling]))
        folder = session.folder
        folder.sft.mkdir(exist_ok=True)
        saved_digest.write_text(inputs)
        needed = (actor_demands(config), sft_demands(config))
        model_path, interrupts = stack.enter_context(open_cluster(session, *needed))
        engines = make_actors(session, model_path, actor_demands(config))
        stack.callback(close_engines, engines)
        stages = Stages(session, engines, interrupts, model_path)
        tuning = FineTuning(session, interrupts, model_path)
        if not tuning.finished:
            problems = problem_set.problems
            if problems and not folder.demonstrations.exists():
                as_guidance = config.sft.data == "prefix"
                problems = fitting_problems(session, model_path, problem_set, as_guidance=as_guidance)
                if as_guidance:
                    check_model_alone(session, model_path)  # before anything is sampled
                    problems, _ = choose_guidance(stages, problems, config.guidance, config.run.seed)
                folder.save_problems(problems)
            examples = load_examples(config, problems, stages, folder, console)
            close_engines(engines)
            if data_only:
                console.print(f"  {folder.demonstrations}", highlight=False, soft_wrap=True)
                return folder.demonstrations
            tuning.run(examples)
        save_provenance(folder.path, config, "sft", model=str(tuning.model))
        console.print(f"  model.path={tuning.model}", highlight=False, soft_wrap=True)
    return tuning.model


def _digest(config: RunConfig, problems: Sequence[Problem]) -> str:
    """SHA-256 of the data from which the demonstrations are made; other content must not resume earlier work."""
    if is_demonstration_file(config.sft.data):
        return hashlib.sha256(Path(config.sft.data).expanduser().read_bytes()).hexdigest()
    return hashlib.sha256(msgspec.json.encode(list(problems))).hexdigest()
