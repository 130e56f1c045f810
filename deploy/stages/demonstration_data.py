"""The demonstrations of a run: built from oracle solutions, sampled or read from a file, and saved in its folder.

    sft.jsonl             {"problem_id", "source", "prompt", "response"} a line: the demonstrations of SFT
    sft_left_out.jsonl    {"problem_id", "reason", "detail"} a line: what was left out
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import msgspec
from rich.console import Console

from actors.chat_template import PromptFault
from actors.problems.jsonl import write_lines
from actors.problems.rejection_sampling import CandidateResponse, DemonstrationPool, RejectionSampling
from actors.problems.sft_demonstrations import (
    Demonstration,
    LeftOut,
    full_oracle_demonstrations,
    guided_oracle_demonstrations,
    read_demonstrations,
    token_ids,
)
from actors.prompts import PromptBuilder
from actors.stop_tokens import completion_text, stop_token_ids
from actors.verification.answers import num_unboxed
from broker.errors import UsageError
from broker.records import Problem, Rollout, int32_array
from conf.schema import RunConfig, SftSettings
from deploy.run.model_source import load_tokenizer
from deploy.stages.stage_sequence import Stages
from deploy.store.run_folder import RunFolder
from learner.sft_batches import Example

Decode = Callable[[list[int]], str]
TOO_LONG = "longer than sft.max_tokens"
UNFIT = "prompt or response holds a control token, or the chat template changes it"


def is_demonstration_file(data: str) -> bool:
    """Whether `sft.data` names a file of the user's own demonstrations, which needs no problems."""
    return data.endswith(".jsonl")


def check_demonstration_data(settings: SftSettings, problems: Sequence[Problem], source: str) -> None:
    """Raises UsageError when `sft.data` can give no demonstration. `source`: `problems.source`, for the message."""
    if is_demonstration_file(settings.data):
        read_demonstrations(Path(settings.data))
        return
    guidance_suffices = settings.data == "prefix"
    usable = (p.solution or (guidance_suffices and p.guidance) for p in problems if p.bucket == "hard")
    if settings.enabled and not any(usable):
        raise UsageError(
            f"sft.data={settings.data} needs oracle solutions, and no hard problem of problems.source={source} has "
            "one; request them with pope oracle"
        )


def load_examples(
    config: RunConfig, problems: Sequence[Problem], stages: Stages, folder: RunFolder, console: Console
) -> list[Example]:
    """The demonstrations of the run as token ids. They are built once and afterwards read from sft.jsonl.

    For `sft.data=prefix` the problems must have their guidance. Raises UsageError when there is no demonstration.
    """
    settings, prompts = config.sft, config.prompts
    tokenizer = load_tokenizer(stages.model_path)
    stop_ids = stop_token_ids(tokenizer, stages.model_path, prompts.template_kwargs)
    builder = PromptBuilder(tokenizer, settings=prompts, stop_ids=stop_ids)
    if folder.demonstrations.exists():
        decoder = msgspec.json.Decoder(Demonstration)
        saved = [decoder.decode(line) for line in folder.demonstrations.read_bytes().splitlines()]
        return [Example(*token_ids(demonstration, builder)) for demonstration in saved]
    hard = [problem for problem in problems if problem.bucket == "hard"]

    def text_of(ids: list[int]) -> str:
        return completion_text(tokenizer, ids, stop_ids)

    demonstrations, left_out = _build(config, hard, stages, text_of)
    encoded, unfit = _encode(demonstrations, builder)
    fitting = [(d, example) for d, example in encoded if example.num_tokens <= settings.max_tokens]
    left_out += unfit
    left_out += [
        LeftOut(problem_id=d.problem_id, reason=TOO_LONG, detail=f"{example.num_tokens} tokens")
        for d, example in encoded
        if example.num_tokens > settings.max_tokens
    ]
    write_lines(folder.left_out, [msgspec.json.encode(row) for row in left_out])
    _print_counts(console, [d for d, _ in fitting], left_out)
    if not fitting:
        raise UsageError(f"sft.data={settings.data} gave no demonstration; {folder.left_out} has the reasons")
    write_lines(folder.demonstrations, [msgspec.json.encode(d) for d, _ in fitting])
    return [example for _, example in fitting]


def left_out_counts(folder: RunFolder) -> dict[str, int]:
    """Reason -> number of problems or lines left out, the most frequent first."""
    decoder = msgspec.json.Decoder(LeftOut)
    rows = map(decoder.decode, folder.left_out.read_bytes().splitlines())
    return dict(Counter(row.reason for row in rows).most_common())


def _encode(
    demonstrations: Sequence[Demonstration], builder: PromptBuilder
) -> tuple[list[tuple[Demonstration, Example]], list[LeftOut]]:
    """The demonstrations with their token ids, and those that the template or the tokenizer cannot carry."""
    encoded, unfit = [], []
    for demonstration in demonstrations:
        try:
            encoded.append((demonstration, Example(*token_ids(demonstration, builder))))
        except PromptFault as fault:
            unfit.append(LeftOut(problem_id=demonstration.problem_id, reason=UNFIT, detail=str(fault)))
    return encoded, unfit


def _build(
    config: RunConfig, hard: Sequence[Problem], stages: Stages, text_of: Decode
) -> tuple[list[Demonstration], list[LeftOut]]:
    match config.sft.data:
        case "full_oracle":
            return full_oracle_demonstrations(hard)
        case "guided_oracle":
            return guided_oracle_demonstrations(hard, config.guidance, config.run.seed)
        case "prefix":
            return _sample(config.sft, hard, stages, text_of, config.run.seed)
        case path:
            return read_demonstrations(Path(path)), []


def _sample(
    settings: SftSettings, hard: Sequence[Problem], stages: Stages, text_of: Decode, seed: int
) -> tuple[list[Demonstration], list[LeftOut]]:
    """Sample until every problem has `sft.completions` demonstrations or has used `sft.max_samples` samples.

    A stage samples until enough responses are correct. Another stage follows for the problems whose correct responses
    could not all be used.
    """
    guided = [problem for problem in hard if problem.guidance]
    pool = DemonstrationPool(guided, settings.completions, settings.max_samples)
    for number in count(1):
        wanted = pool.needed()
        if not wanted:
            break
        plan = RejectionSampling(wanted, settings.max_samples, seed)
        sampled = [problem for problem in guided if problem.id in wanted]
        name = f"completions-{number}"
        stages.run("sample completions", name, plan, sampled, source="completions")
        for group in sorted(stages.rollouts(name, sampled), key=lambda group: group.group_id):
            pool.add(group.problem_id, [_response(rollout, text_of) for rollout in group.rollouts])
        for problem_id, reason in plan.failed.items():
            pool.fail(problem_id, reason)
    reasons = {None: "no solution", "": "no prefix"}
    without_guidance = [LeftOut(problem_id=p.id, reason=reasons[p.guidance]) for p in hard if not p.guidance]
    return pool.demonstrations(), without_guidance + pool.left_out()


def _response(rollout: Rollout, text_of: Decode) -> CandidateResponse:
    return CandidateResponse(
        text=text_of(int32_array(rollout.token_ids).tolist()),
        correct=rollout.verdict == "correct",
        finished=rollout.finish_reason == "stop",
    )


def _print_counts(console: Console, demonstrations: Sequence[Demonstration], left_out: Sequence[LeftOut]) -> None:
    reasons = ", ".join(f"{n} {reason}" for reason, n in Counter(row.reason for row in left_out).most_common())
    console.print(
        f"    {len(demonstrations)} demonstrations, left out: {reasons or 'none'}",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    if unboxed := num_unboxed(demonstration.response for demonstration in demonstrations):
        console.print(f"    note: {unboxed} responses hold no \\boxed answer, which RL requires", highlight=False)
