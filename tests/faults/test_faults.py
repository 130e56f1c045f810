"""Every fault of the catalogue, with one seed: it happens, and no guarantee is violated."""

from pathlib import Path

import pytest

from tests.faults.catalogue import FAULTS

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("number", FAULTS)
def test_an_injected_fault_violates_no_guarantee(number: str, tmp_path: Path) -> None:
    fault = FAULTS[number]
    if reason := fault.unavailable():
        pytest.skip(reason)
    outcome = fault.inject(tmp_path, 0)
    assert outcome.violations == []
    assert outcome.injected >= fault.at_least
