r"""Problem -> prompt, guided or unguided: one user message in the model's chat template, after a system message if the
problem or the settings have one.

A guided prompt begins with one of the two system instructions of the POPE paper, word for word: the one of section 4,
or the modified one of section 5.2 that forbids restating. One deviation: the paper prints an empty square in place of
the `\boxed{...}` of its LaTeX source.

An unguided prompt is the problem and the request for a final answer, with the same words as at the end of a guided
prompt. All prompts are built here, including those of the built-in base model's corpus.
"""

from collections.abc import Sequence
from typing import Any, Literal

from actors.chat_template import ChatTemplate
from broker.records import Problem
from conf.schema import PromptSettings

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


class PromptBuilder:
    """Renders problems in one model's chat template, with one instruction. Built before anything is sampled.

    Raises UsageError if the model's template cannot be used (`actors/chat_template.py`).
    """

    def __init__(
        self,
        tokenizer: Any,
        instruction: Instruction = "default",
        settings: PromptSettings | None = None,
        *,
        stop_ids: Sequence[int] = (),
    ) -> None:
        """`stop_ids`: the ids that end a completion, for a model whose tokenizer and template name none."""
        self.instruction = instruction
        self.template = ChatTemplate(tokenizer, settings, stop_ids=stop_ids)

    def text(self, problem: Problem, guided: bool) -> str:
        """The whole prompt as text. Raises ValueError for a guided prompt whose guidance is not chosen yet.

        `problem.guidance` is None until it is chosen; the empty string is the empty prefix. Raises PromptFault when the
        chat template does not hold the message unchanged.
        """
        text = self.template.text(self._message(problem, guided), problem.system)
        if not guided:
            frame = self.template.frame(problem.system)
            check_unguided(text, problem, frame.before + frame.after)
        return text

    def ids(self, problem: Problem, guided: bool) -> list[int]:
        """int[P]: token ids of `text`. Raises PromptFault also when text of the problem became a control token."""
        return self.template.ids(self.text(problem, guided), problem.system)

    def response_ids(self, response: str) -> list[int]:
        """int[T]: token ids of a response from another source, with the token that ends the assistant's turn."""
        return self.template.response_ids(response)

    def _message(self, problem: Problem, guided: bool) -> str:
        if guided and problem.guidance is None:
            raise ValueError(f"problem {problem.id}: a guided prompt was requested before its guidance was chosen")
        guidance = (problem.guidance or "") if guided else ""
        return guided_message(problem.statement, guidance, self.instruction)


def check_unguided(text: str, problem: Problem, frame: str = "") -> None:
    """Raises `GuidanceLeak` when a rendered unguided prompt contains guidance outside the statement.

    `frame`: what the chat template writes around every message. Words that are in it anyway, or in the request for a
    final answer, are no leak of a short guidance such as "Make sure".
    """
    rest = text.replace(problem.statement.strip(), "", 1)
    for part in (PARTIAL_RESPONSE, CONTINUE_REQUEST, *INSTRUCTIONS.values()):
        if part in rest:
            raise GuidanceLeak(f"problem {problem.id}: an unguided prompt contains {part[:60]!r}")
    guidance = problem.guidance
    if guidance and guidance in rest and guidance not in f"{frame}{unguided_message('')}":
        raise GuidanceLeak(f"problem {problem.id}: an unguided prompt contains {guidance[:60]!r}")
