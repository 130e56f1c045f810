"""How a chaos campaign adds up outcomes, and how the slope of a soak test is estimated."""

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.faults import chaos
from tests.faults.outcome import Fault, Outcome
from tests.soak import slope_of


def outcome(root: Path, seed: int) -> Outcome:
    (root / "evidence").write_text(str(seed))
    os.write(1, b"output of a role\n")
    return Outcome(2, [] if seed < 2 else ["a guarantee was violated"], [1.0 + seed])


def raising(root: Path, seed: int) -> Outcome:
    raise AssertionError("it never came back")


FAULTS = {
    "F9": Fault("F9", "the ninth", 1, outcome),
    "F10": Fault("F10", "the tenth", 1, raising),
    "F11": Fault("F11", "the eleventh", 3, outcome),
    "F12": Fault("F12", "the twelfth", 1, outcome, lambda: "this machine is too small"),
}


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(chaos, "FAULTS", FAULTS)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = tmp_path / "report.md"
    path.write_text(f"before\n{chaos.BEGIN}\nold\n{chaos.END}\nafter\n")
    return path


def table(report: Path) -> list[list[str]]:
    lines = [line for line in report.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_a_campaign_adds_up_the_outcomes_of_all_seeds(report: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert chaos.main(["--seeds", "2", "--only", "F9", "F12", "--report", str(report)]) == 0
    assert table(report) == [
        ["F9", "the ninth", "4", "0", "1.50 s", "1.95 s"],
        ["F12", "the twelfth", "0", "not injected: this machine is too small", "", ""],
        ["", "all", "4", "0", "", ""],
    ]
    text = report.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "output of a role" not in capfd.readouterr().out
    assert sorted(path.name for path in report.parent.iterdir()) == ["report.md"], "only folders of violations are kept"


def test_violated_guarantees_errors_and_missing_faults_are_violations(
    report: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert chaos.main(["--seeds", "3", "--report", str(report)]) == 1
    assert {row[0]: row[2:4] for row in table(report)} == {
        "F9": ["6", "1"],
        "F10": ["0", "3"],
        "F11": ["6", "3"],
        "F12": ["0", "not injected: this machine is too small"],
        "": ["12", "7"],
    }
    said = capfd.readouterr().out.replace("\n", " ")
    assert "F9 under seed 2: a guarantee was violated (kept in " in said
    assert "it never came back" in said
    assert len([path for path in report.parent.iterdir() if path.is_dir()]) == 7


def test_an_injection_that_hangs_is_ended(report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(root: Path, seed: int) -> Outcome:
        time.sleep(60)
        return Outcome(1)

    monkeypatch.setattr(chaos, "FAULTS", {"F9": replace(FAULTS["F9"], inject=hang)})
    monkeypatch.setattr(chaos, "LONGEST_S", 1)
    assert chaos.main(["--report", str(report)]) == 1
    assert table(report)[0][3] == "1"


def test_the_slope_of_a_line_is_found_and_noise_has_none() -> None:
    seconds = np.arange(0, 900, 2.0)
    slope, error = slope_of(np.column_stack([seconds, 100 + seconds / 3600 * 7]))
    assert (slope, error) == (pytest.approx(7), pytest.approx(0, abs=1e-9))
    noise = np.random.default_rng(0).normal(0, 1, len(seconds))
    slope, error = slope_of(np.column_stack([seconds, 100 + noise]))
    assert abs(slope) < 3 * error
    leak, error = slope_of(np.column_stack([seconds, 100 + noise + seconds / 3600 * 60]))
    assert leak > 10 * error
