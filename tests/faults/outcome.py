"""Result of an injected fault."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Outcome:
    """Filled in while a fault is injected."""

    injected: int = 0
    """How often the fault happened."""
    violations: list[str] = field(default_factory=list)
    """Broken guarantees, one sentence each."""
    recovery_s: list[float] = field(default_factory=list)
    """Seconds from each fault to the first sign of progress; faults without any interruption have no entry."""

    def require(self, holds: bool, sentence: str) -> None:
        """Record `sentence` as a violation unless it holds."""
        if not holds:
            self.violations.append(sentence)


@dataclass(frozen=True)
class Fault:
    """One row of the fault table."""

    number: str
    title: str
    at_least: int
    """Number of faults that one injection must cause."""
    inject: Callable[[Path, int], Outcome]
    """(empty folder, seed) -> outcome. The same seed injects the same faults, up to the timing of processes."""
    unavailable: Callable[[], str | None] = lambda: None
    """Why it cannot be injected on this machine; None when it can."""
