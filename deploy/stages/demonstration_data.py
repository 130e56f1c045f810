"""Settings and problems -> the demonstrations of a run: built, sampled or read, and kept in its folder.

    sft.jsonl             {"problem_id", "source", "prompt", "response"} a line: all that SFT sees
    sft_left_out.jsonl    {"problem_id", "reason", "detail"} a line
"""

from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from actors.problems.problem_set import write_lines
from actors.problems.rejection import Harvest, RejectionSampling, Sampled
from actors.problems.sft_demonstrations import Demonstration, LeftOut, full_oracle, read_demonstrations, token_ids
from actors.verification.answers import num_unboxed
from broker.errors import UsageError
from broker.records import Problem, Rollout, int32_array
from conf.schema import RunConfig
from deploy.run.model_source import load_tokenizer
from deploy.stages.stage_sequence import Stages
from deploy.store.run_folder import RunFolder
from learner.sft_batches import Example

Found = tuple[list[Demonstration], list[LeftOut]]
TOO_LONG = "longer than sft.max_tokens"


def is_file(data: str) -> bool:
    """Whether `sft.data` names the user's own demonstrations; they need no problems."""
    return data.endswith(".jsonl")


def check_data(config: RunConfig, problems: Sequence[Problem]) -> None:
    """Refuse what can give no demonstration, before anything is made. Raises UsageError."""
    if is_file(config.sft.data):
        read_demonstrations(Path(config.sft.data))
        return
    guidance_will_do = config.sft.data == "prefix"
    usable = (p.solution or (guidance_will_do and p.guidance) for p in problems if p.bucket == "hard")
    if config.sft.wanted and not any(usable):
        raise UsageError(
            f"sft.data={config.sft.data} needs oracle solutions, and no hard problem of "
            f"problems.source={config.problems.source} has one; pope oracle can ask for them"
        )


def load_examples(
    config: RunConfig, problems: Sequence[Problem], stages: Stages, folder: RunFolder, console: Console
) -> list[Example]:
    """The run's demonstrations in token ids; they are built once, and from then on sft.jsonl is what counts.

    For `sft.data=prefix` the problems have their guidance. Raises UsageError when there is none.
    """
    tokenizer = load_tokenizer(stages.model_path)
    if folder.demonstrations.exists():
        decoder = msgspec.json.Decoder(Demonstration)
        kept = [decoder.decode(line) for line in folder.demonstrations.read_bytes().splitlines()]
        return [Example(*token_ids(demonstration, tokenizer)) for demonstration in kept]
    found, left_out = _found(config, [p for p in problems if p.bucket == "hard"], stages, tokenizer)
    encoded = [(demonstration, Example(*token_ids(demonstration, tokenizer))) for demonstration in found]
    fitting = [(d, example) for d, example in encoded if example.num_tokens <= config.sft.max_tokens]
    left_out += [
        LeftOut(problem_id=d.problem_id, reason=TOO_LONG, detail=f"{example.num_tokens} tokens")
        for d, example in encoded
        if example.num_tokens > config.sft.max_tokens
    ]
    write_lines(folder.left_out, [msgspec.json.encode(row) for row in left_out])
    _say(console, [d for d, _ in fitting], left_out)
    if not fitting:
        raise UsageError(f"sft.data={config.sft.data} gave no demonstration; {folder.left_out} says why")
    write_lines(folder.demonstrations, [msgspec.json.encode(d) for d, _ in fitting])
    return [example for _, example in fitting]


def left_out_counts(folder: RunFolder) -> dict[str, int]:
    """Reason -> how many problems or lines, the most frequent first."""
    decoder = msgspec.json.Decoder(LeftOut)
    rows = map(decoder.decode, folder.left_out.read_bytes().splitlines())
    return dict(Counter(row.reason for row in rows).most_common())


def _found(config: RunConfig, hard: Sequence[Problem], stages: Stages, tokenizer: Any) -> Found:
    match config.sft.data:
        case "full_oracle":
            return full_oracle(hard)
        case "prefix":
            return _rejection_sampled(config, hard, stages, tokenizer)
        case path:
            return read_demonstrations(Path(path)), []


def _rejection_sampled(config: RunConfig, hard: Sequence[Problem], stages: Stages, tokenizer: Any) -> Found:
    """Sample until every problem has its completions or has used up its samples.

    One stage after another: a later one is only for problems whose correct completions could not all be used.
    """
    guided = [problem for problem in hard if problem.guidance is not None]
    harvest = Harvest(guided, config.sft.completions, config.sft.max_samples)
    for number in count(1):
        wanted = harvest.wanted()
        if not wanted:
            break
        plan = RejectionSampling(wanted, config.sft.max_samples, config.run.seed)
        asked = [problem for problem in guided if problem.id in wanted]
        name = f"completions-{number}"
        stages.run("sample completions", name, plan, asked, source="completions")
        for group in sorted(stages.rollouts(name, asked), key=lambda group: group.group_id):
            harvest.add(group.problem_id, [_read(completion, tokenizer) for completion in group.rollouts])
        for problem_id, reason in plan.failed.items():
            harvest.fail(problem_id, reason)
    without = [LeftOut(problem_id=p.id, reason="no solution") for p in hard if p.guidance is None]
    return harvest.demonstrations(), without + harvest.left_out()


def _read(completion: Rollout, tokenizer: Any) -> Sampled:
    return Sampled(
        text=tokenizer.decode(int32_array(completion.token_ids).tolist(), skip_special_tokens=True),
        correct=completion.verdict == "correct",
        finished=completion.finish_reason == "stop",
    )


def _say(console: Console, found: Sequence[Demonstration], left_out: Sequence[LeftOut]) -> None:
    reasons = ", ".join(f"{n} {reason}" for reason, n in Counter(row.reason for row in left_out).most_common())
    console.print(
        f"    {len(found)} demonstrations, left out: {reasons or 'none'}", highlight=False, markup=False, soft_wrap=True
    )
    if unboxed := num_unboxed(demonstration.response for demonstration in found):
        console.print(f"    note: {unboxed} responses hold no \\boxed answer, which RL asks for", highlight=False)
