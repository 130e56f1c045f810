"""A short `make fuzz` with a fixed seed, so that failures are reproducible."""

import pytest

from tests.fuzzing import campaign


@pytest.mark.parametrize(("name", "count"), [("records", 10_000), ("settings", 60), ("rows", 1_500), ("answers", 48)])
def test_no_input_crashes_or_hangs_its_reader(name: str, count: int) -> None:
    seen = campaign.TARGETS[name][0](count, 0)
    assert seen.total() == count
    assert len(seen) >= 2, f"only one outcome: {seen}"
