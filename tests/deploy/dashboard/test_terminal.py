"""`pope watch` fits 80 x 24, shows the numbers of the page, and passes on no escape sequence of a model."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from conf.load import load
from deploy.dashboard.run_sources import UrlSource
from deploy.dashboard.terminal import render, spark, watch
from deploy.view.screen import Screen
from tests.deploy.dashboard.live import HOSTILE, finished_folder, replayed, settings
from tests.replay import Replay, synthetic_recording
from tests.runs import REPOSITORY


def drawn(source: UrlSource, width: int = 80, *, terminal: bool = False) -> str:
    out = io.StringIO()
    Screen(file=out, width=width, force_terminal=terminal).print(render(source, width))
    return out.getvalue()


@pytest.fixture
def source(client: redis.Redis, redis_url: str, run_name: str) -> UrlSource:
    replayed(client, run_name)
    source = UrlSource(run_name, redis_url)
    source.open()
    return source


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_picture_fits_the_terminal(source: UrlSource, width: int) -> None:
    lines = drawn(source, width).splitlines()
    assert len(lines) <= 23
    assert max(map(len, lines)) <= width


def test_the_terminal_shows_the_numbers_of_the_page(source: UrlSource) -> None:
    text, live = drawn(source), source.model.live()
    for said in (
        f"step {live.step}/{live.max_steps}", f"{live.balance.issued} = {live.balance.trained} trained",
        f"{live.headline['solved/guided']:.0f} of 24 hard", "ESS 0.970", "MFU 25.0%", "actor-0",
        "bottleneck learner waits 46%: engines are slower",
    ):  # fmt: skip
        assert said in text, said
    assert "THE BALANCE DOES NOT HOLD" not in text


def test_hostile_output_is_shown_without_its_escape_sequences(
    client: redis.Redis, redis_url: str, run_name: str
) -> None:
    replay = Replay(client, settings(run_name), write=lambda group_id: HOSTILE)
    replay.open()
    replay.run(synthetic_recording(steps=1))
    replay.samples.add(
        {"problem": "\x1b[31mp\x07", "arm": "guided", "verdict": "wrong", "version": 1, "prompt": "p",
         "completion": HOSTILE + "x" * 10**6}
    )  # fmt: skip
    source = UrlSource(run_name, redis_url)
    source.open()
    text = drawn(source, 120)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\\x1b[31mp\\x07" in text
    assert len(text.splitlines()) <= 23
    coloured = drawn(source, 120, terminal=True)
    assert "\x1b[2J" not in coloured
    assert "\x1b]0;" not in coloured
    source.close()


def test_a_curve_is_drawn_with_block_characters() -> None:
    assert spark([0.0, 0.5, 1.0, None, 0.25], top=1.0) == "▁▄█ ▂"
    assert spark([]) == ""
    assert spark([3.0, 6.0]) == "▄█"


def test_watch_once_prints_one_picture_and_ends(client: redis.Redis, redis_url: str, run_name: str) -> None:
    replayed(client, run_name)
    out = io.StringIO()
    watch(UrlSource(run_name, redis_url), Screen(file=out, width=80), once=True)
    assert run_name in out.getvalue()


def test_watch_works_on_a_finished_run_from_the_command_line(tmp_path: Path) -> None:
    path = finished_folder(tmp_path)
    result = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "watch", str(path), "--once"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert f"replayed  ended  step 12/{load(None).run.max_steps}" in result.stdout
