r"""Problem -> prompt, guided or unguided: one user message in the model's chat template.

A guided prompt begins with one of the two system instructions of the POPE paper, word for word: the one of section 4,
or the modified one of section 5.2 that forbids restating. One deviation: the paper prints an empty square in place of
the `\boxed{...}` of its LaTeX source.

An unguided prompt is the problem and the request for a final answer, with the same words as at the end of a guided
prompt. All prompts are built here, including those of the built-in base model's corpus.
"""

from typing import Any, Literal

from broker.records import Problem

Instruction = Literal["default", "modified"]

DEFAULT_INSTRUCTION = (
    "You are given a problem and a partial solution. Your task is to **carefully study the partial response, identify "
    "what reasoning or steps are already provided, and then complete the solution from where it left off**. Ensure "
    "your response is logically consistent and leads to a complete and correct final answer.\n\n"
    "Important: Show your reasoning step-by-step, and present the final answer using LaTeX-style \\boxed{}."
)

MODIFIED_INSTRUCTION = (
    "You are given a problem and a partial solution. Your task is to infer what reasoning has already been completed "
    "and continue solving the problem **without repeating, paraphrasing, or referencing any part of the partial "
    "response**. You must **not** restate earlier steps, summarize them, or quote them in any form. Begin directly "
    "from the next logical step that has not yet been completed.\n\n"
    "Important: *Use the information from the partial response silently. Do not copy, rephrase, or explicitly mention "
    "anything from it. Your continuation must be logically consistent with what has already been done. Show your "
    "reasoning step by step (only the new steps), and present the final answer using \\boxed{} notation.*"
)

INSTRUCTIONS: dict[str, str] = {"default": DEFAULT_INSTRUCTION, "modified": MODIFIED_INSTRUCTION}

CONTINUE_REQUEST = "Continue solving the problem, starting from where the partial response ends."
FINAL_ANSWER_REQUEST = "Make sure your final answer is written as: \\boxed{your answer here}"
ORACLE_REQUEST = (
    "Write a complete solution of this problem, step by step, each step on lines of its own. Give every step that is "
    "needed and its reason, no false starts, and state the final answer at the very end only."
)
"""Asks for lines because guidance is cut at line ends, and for a late answer because guidance must not contain it."""
PARTIAL_RESPONSE = "Partial Response: "


class GuidanceLeak(AssertionError):
    """An unguided prompt contains guidance."""


def unguided_message(statement: str) -> str:
    """The user message of an unguided prompt."""
    return f"{statement}\n\n{FINAL_ANSWER_REQUEST}"


def oracle_message(statement: str) -> str:
    """The user message that asks a strong model for an oracle solution."""
    return f"{statement}\n\n{ORACLE_REQUEST} {FINAL_ANSWER_REQUEST}"


def guided_message(statement: str, guidance: str, instruction: Instruction) -> str:
    """The user message of a guided prompt, concat(x, z^{0:i*}, I) of eq. 3; the unguided one if guidance is empty."""
    if not guidance:
        return unguided_message(statement)
    return (
        f"{INSTRUCTIONS[instruction]}\n\n"
        f"Problem: {statement}\n\n"
        f"{PARTIAL_RESPONSE}{guidance}\n\n"
        f"{CONTINUE_REQUEST} {FINAL_ANSWER_REQUEST}"
    )


def guidance_span(text: str) -> tuple[int, int] | None:
    """(start, stop) of the guidance in a rendered guided prompt, in characters; None if it has none.

    The statement may contain the marker phrases as well, so their last occurrences are used.
    """
    stop = text.rfind(f"\n\n{CONTINUE_REQUEST}")
    start = text.rfind(PARTIAL_RESPONSE, 0, stop) if stop >= 0 else -1
    return None if start < 0 else (start + len(PARTIAL_RESPONSE), stop)


def rendered(tokenizer: Any, message: str) -> str:
    """The chat template around one user message, up to where the assistant's turn begins."""
    text: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": message}], tokenize=False, add_generation_prompt=True
    )
    return text


class PromptBuilder:
    """Renders problems with one tokenizer's chat template and one instruction."""

    def __init__(self, tokenizer: Any, instruction: Instruction = "default") -> None:
        self.tokenizer = tokenizer
        self.instruction = instruction

    def text(self, problem: Problem, guided: bool) -> str:
        """The whole prompt as text. Raises ValueError for a guided prompt whose guidance is not chosen yet.

        `problem.guidance` is None until it is chosen; the empty string is the empty prefix.
        """
        if guided and problem.guidance is None:
            raise ValueError(f"problem {problem.id}: a guided prompt was requested before its guidance was chosen")
        guidance = (problem.guidance or "") if guided else ""
        text = rendered(self.tokenizer, guided_message(problem.statement, guidance, self.instruction))
        if not guided:
            check_unguided(text, problem)
        return text

    def ids(self, problem: Problem, guided: bool) -> list[int]:
        """int[P]: token ids of `text`. The template has already added all special tokens."""
        ids: list[int] = self.tokenizer(self.text(problem, guided), add_special_tokens=False)["input_ids"]
        return ids

    def response_ids(self, response: str) -> list[int]:
        """int[T]: token ids of a response from another source, with the end-of-sequence token."""
        ids: list[int] = self.tokenizer(response, add_special_tokens=False)["input_ids"]
        return [*ids, self.tokenizer.eos_token_id]


def check_unguided(text: str, problem: Problem) -> None:
    """Raises `GuidanceLeak` when a rendered unguided prompt contains guidance outside the statement."""
    rest = text.replace(problem.statement, "", 1)
    forbidden = [PARTIAL_RESPONSE, CONTINUE_REQUEST, *INSTRUCTIONS.values()]
    if problem.guidance:
        forbidden.append(problem.guidance)
    for part in forbidden:
        if part in rest:
            raise GuidanceLeak(f"problem {problem.id}: an unguided prompt contains {part[:60]!r}")
