"""`pope doctor`: whether a run with these settings can work on this machine, and what to do where it cannot."""

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.status import Status
from rich.text import Text

from broker.errors import PopeError
from conf.errors import ConfigError
from conf.plain import plain
from conf.schema import RunConfig
from deploy.jobs.findings import Finding, Verdict
from deploy.jobs.machine_checks import MACHINE_CHECKS
from deploy.jobs.service_checks import SERVICE_CHECKS

STYLES: dict[Verdict, str] = {"ok": "green", "warning": "yellow", "failed": "bold red"}
CHECKS: dict[str, Callable[[RunConfig], list[Finding]]] = {**MACHINE_CHECKS, **SERVICE_CHECKS}
"""What is checked -> the check, in the order in which they run."""


def examine(config: RunConfig, console: Console) -> list[Finding]:
    """Run every check and print what it finds as soon as it has found it."""
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        with Status(f"  {name}", console=console):
            found = findings_of(name, check, config)
        for finding in found:
            _print(finding, console)
        findings += found
    return findings


def findings_of(name: str, check: Callable[[RunConfig], list[Finding]], config: RunConfig) -> list[Finding]:
    """What a check finds. An error that it raises, of whatever kind, is what a run would meet: a failure."""
    try:
        return check(config)
    except (PopeError, ConfigError) as error:
        return [Finding(name, "failed", str(error))]
    except Exception as error:
        return [Finding(name, "failed", f"{type(error).__name__}: {error}".partition("\n")[0])]


def failures(findings: Sequence[Finding]) -> str | None:
    """A sentence about the checks that failed, or None."""
    failed = [finding.name for finding in findings if finding.verdict == "failed"]
    return f"a run cannot work here: {', '.join(failed)}; each line above says what to do" if failed else None


def _print(finding: Finding, console: Console) -> None:
    found = finding.detail + (f": {finding.remedy}" if finding.remedy else "")
    verdict = (f"  {finding.verdict:8}", STYLES[finding.verdict])
    console.print(Text.assemble(verdict, f"{finding.name:15} {plain(found)}"), soft_wrap=True)
