"""docs/settings.md is current and complete."""

import re
from pathlib import Path

from conf.names import SETTINGS
from conf.settings_page import reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_document_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == reference(), "run: python -m conf.settings_page > docs/settings.md"


def test_every_setting_has_a_row_with_a_meaning() -> None:
    rows = re.findall(r"^\| `([a-z0-9_.]+)` \| (.+) \| `(.+)` \| (.+) \|$", reference(), flags=re.MULTILINE)
    assert [name for name, *_ in rows] == list(SETTINGS)
    assert all(meaning.endswith((".", ").")) for *_, meaning in rows)


def test_a_row_shows_type_range_default_and_meaning() -> None:
    text = reference()
    assert "| `actors.temperature` | number, 0.01 to 2 | `1` | Sampling temperature, except of evaluations" in text
    assert "| `learner.max_lag` | whole number or null, >= 0 | `null` | Largest lag of a trained token," in text
    assert "| `broker.fsync` | `always`, `everysec` | `always` | fsync policy of the embedded server." in text
    assert "| `mining.buckets` | mapping of names to intervals | `{hard: [0, 0], easy: [0.2, 0.4]," in text
