"""Why vLLM did not start, in one line. Pure, but for reading the role's log."""

import re
from pathlib import Path

_PYDANTIC = re.compile(r"\d+ validation errors? for ")
_RAISED = re.compile(r"\b((?:\w+\.)*\w+(?:Error|Exception)): (.+)")
_LONGEST = 300
"""Characters of a reason. vLLM lists all architectures it supports."""
_SUMMARY = "Engine core initialization failed"
"""What the engine's parent process says about any error of the engine's own process."""


def reason_of(error: Exception) -> str:
    """The first sentence that says something: of a refused value of vLLM's settings, the rule without its form."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if _PYDANTIC.match(lines[0]) and len(lines) > 1:
        rule = next((line for line in lines[1:] if "[type=" in line), lines[1])
        return _shortened(rule.removeprefix("Value error, ").partition(" [type=")[0])
    return _shortened(lines[0])


def last_raised(log: Path) -> str | None:
    """The newest error in a role's log, `TYPE: MESSAGE`; None without one. The engine's own process writes there."""
    if not log.exists():
        return None
    found = [match for match in _RAISED.finditer(log.read_text(errors="replace")) if _SUMMARY not in match[0]]
    return _shortened(found[-1][0].strip()) if found else None


def _shortened(text: str) -> str:
    """The first sentence of a long text."""
    return text if len(text) <= _LONGEST else text.partition(". ")[0][:_LONGEST]
