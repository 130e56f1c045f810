"""A run folder records which functions of the user took part, and a change is told."""

import hashlib
from pathlib import Path

import pytest

from broker.errors import UsageError
from conf.load import load
from conf.plugins import PluginVersion
from deploy.store.plugin_versions import FILE, read_plugins, record_plugins
from deploy.store.provenance import FILE as PROVENANCE
from deploy.store.provenance import save_provenance

FIRST, SECOND = (hashlib.sha256(text).hexdigest() for text in (b"first", b"second"))


def judge(sha256: str) -> dict[str, PluginVersion]:
    return {"verifier.judge": PluginVersion("mine:judge", "/home/me/mine.py", sha256)}


def test_a_run_that_is_continued_with_another_version_is_warned_and_records_both(tmp_path: Path) -> None:
    assert record_plugins(tmp_path, judge(FIRST)) == []
    assert record_plugins(tmp_path, judge(FIRST)) == []
    (warning,) = record_plugins(tmp_path, judge(SECOND))
    assert warning.startswith("verifier.judge=mine:judge is not as it was when the run last began: the SHA-256 of ")
    assert SECOND[:12] in warning
    assert FIRST[:12] in warning
    assert [entry.sha256 for entry in read_plugins(tmp_path)] == [FIRST, SECOND]
    assert record_plugins(tmp_path, judge(SECOND)) == []


def test_a_run_without_plugins_has_no_file(tmp_path: Path) -> None:
    assert record_plugins(tmp_path, {}) == []
    assert not (tmp_path / FILE).exists()


def test_provenance_hands_the_newest_version_on(tmp_path: Path) -> None:
    for digest in (FIRST, SECOND):
        record_plugins(tmp_path, judge(digest))
    save_provenance(tmp_path, load(), "mine")
    assert f'"mine:judge {SECOND}"' in (tmp_path / PROVENANCE).read_text()


def test_a_damaged_record_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("[{]")
    with pytest.raises(UsageError, match="is damaged"):
        read_plugins(tmp_path)
