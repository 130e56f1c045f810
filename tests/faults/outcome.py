"""What an injected fault left behind."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Outcome:
    """Filled in while a fault is injected."""

    injected: int = 0
    """How often the fault really happened."""
    violations: list[str] = field(default_factory=list)
    """Broken promises, a sentence each."""
    recovery_s: list[float] = field(default_factory=list)
    """From the fault to the first sign that work goes on, seconds; a fault that nobody notices has none."""

    def require(self, holds: bool, sentence: str) -> None:
        """Note a violation unless it holds."""
        if not holds:
            self.violations.append(sentence)


@dataclass(frozen=True)
class Fault:
    """One row of the fault table."""

    number: str
    title: str
    at_least: int
    """Faults one injection must really cause."""
    inject: Callable[[Path, int], Outcome]
    """(empty folder, seed) -> outcome. The same seed injects the same faults, up to the timing of processes."""
    unavailable: Callable[[], str | None] = lambda: None
    """Why it cannot be injected on this machine; None when it can."""
