"""The page: its files, its pure functions in Node.js, and the whole of it in a headless Chromium."""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from broker.balance import read_balance
from broker.keys import Keys
from conf.load import load
from deploy.dashboard.app import ASSETS
from deploy.dashboard.broadcast import Hub
from tests.browser import Page, browser
from tests.deploy.dashboard.driven import fact, needs_chromium, shown
from tests.deploy.dashboard.live import HOSTILE, opened, replayed, served, settings
from tests.replay import Replay, synthetic_recording
from tests.runs import REPOSITORY

OURS = sorted(path for path in ASSETS.glob("*") if path.is_file())
NODE = shutil.which("node")


def test_vendored_files_match_their_recorded_checksums() -> None:
    folder = ASSETS / "vendor" / "uplot"
    recorded = dict(re.findall(r"^([0-9a-f]{64})  (\S+)$", (folder / "VENDORED.txt").read_text(), flags=re.MULTILINE))
    sums = {name: digest for digest, name in recorded.items()}
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    del files["VENDORED.txt"]
    assert sums == files
    assert "MIT" in (folder / "LICENSE").read_text()


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_no_script_of_the_page_turns_text_into_markup(path: Path) -> None:
    text = path.read_text()
    for unsafe in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc"):
        assert unsafe not in text
    assert not re.search(r"""\b(src|href|from|import|url)\s*[=(]?\s*["'(]?(https?:)?//""", text), "a foreign address"


def test_the_page_uses_nothing_that_its_content_policy_refuses() -> None:
    text = (ASSETS / "index.html").read_text()
    assert not re.search(r"\son\w+=|<style|\sstyle=|<script>", text)
    for address in re.findall(r'(?:src|href)="/assets/([^"]+)"', text):
        assert (ASSETS / address).exists(), address


@pytest.mark.skipif(NODE is None, reason="Node.js is not installed")
def test_the_javascript_unit_tests_pass() -> None:
    assert NODE is not None
    tests = sorted(map(str, (Path(__file__).parent / "js").glob("*.test.mjs")))
    result = subprocess.run([NODE, "--test", *tests], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as opened_page:
        opened_page.size(1480, 1180)
        yield opened_page


@pytest.fixture
def replay(client: redis.Redis, run_name: str) -> Replay:
    return replayed(client, run_name, until=21.2)


@pytest.fixture
def address(redis_url: str, replay: Replay, run_name: str) -> Iterator[str]:
    with served(Hub(opened(redis_url, run_name))) as url:
        yield url


@needs_chromium
def test_numbers_on_the_page_are_those_in_redis(
    page: Page, address: str, client: redis.Redis, keys: Keys, run_name: str
) -> None:
    shown(page, address, run_name)
    balance = read_balance(client, keys)
    assert fact(page, "step") == f"{balance.committed} / {load(None).run.max_steps}"
    assert page.run("document.querySelector('.overview').firstChild.className") == "watchdogs"
    answers = page.run("[...document.querySelectorAll('.watchdog b')].map(e => e.textContent)")
    assert answers[:2] == ["✓Learner and engine agree", "✓No collapse"]
    assert page.text(".ring-count") == f"{balance.ring_samples} / 128"
    assert balance.ring_samples > 0
    assert page.run("document.querySelectorAll('svg.ring path[fill^=rgba]').length") == balance.ring_samples
    assert page.run("document.querySelectorAll('.chart canvas').length") == 12
    page.click("nav a[data-page=accounting]")
    page.wait("document.querySelector('.equation')")
    filtered = sum(balance.filtered.values())
    said = page.text(".equation").replace(",", "")
    assert said.startswith(f"{balance.issued} issued = {balance.trained} trained + {filtered} filtered")
    assert said.endswith("the balance holds")
    page.click("nav a[data-page=runs]")
    page.wait("document.querySelector('.runs td a')")
    assert page.text(".runs td a") == run_name
    assert page.errors == []


@needs_chromium
def test_the_ring_on_the_page_follows_redis(page: Page, address: str, replay: Replay, run_name: str) -> None:
    shown(page, address, run_name)
    page.wait("document.querySelector('.ring-count')?.textContent")
    before = page.text(".ring-count")
    step = replay.ring.committed() + 1
    assert replay.ring.take(step, 64, max_lag=None) is not None
    replay.ring.commit(step)
    page.wait(f"document.querySelector('.ring-count').textContent !== {before!r}")
    page.wait(f"document.querySelector('.fact b').textContent.startsWith('{step} /')")
    assert page.errors == []


@needs_chromium
def test_a_click_opens_a_problem_and_its_rollouts(page: Page, address: str, run_name: str) -> None:
    shown(page, address, run_name, "problems")
    page.wait("document.querySelector('.heat canvas').width > 5")
    steps = page.run("[...document.querySelectorAll('.heat-steps span')].map(e => Number(e.textContent))")
    assert steps == list(range(page.run("document.querySelector('.heat canvas').width")))
    assert page.text(".heat-title") == "problem, by first solve"
    assert "100% correct" in page.text(".heat-key")
    box = page.run("document.querySelector('.heat canvas').getBoundingClientRect().toJSON()")
    page.press(box["x"] + box["width"] / 2, box["y"] + 3)
    page.wait("document.querySelector('.detail h2')")
    assert page.text(".detail h2").startswith("p0")
    page.run("document.querySelector('.heat canvas').focus()")
    page.key("ArrowDown")
    assert page.text(".tip-line").startswith("p0")
    page.run(f"location.hash = '#/{run_name}/problems/p000'")
    page.wait("document.querySelector('.rollout .completion span')")
    page.wait("document.querySelector('.detail h2').textContent === 'p000'")
    assert "The answer is" in page.text(".rollout .completion")
    said = page.run("[...document.querySelector('.rollout .answers').querySelectorAll('dd')].map(e => e.textContent)")
    assert said[0] == "a^3"  # the gold answer of every problem of the replay
    assert said[1].startswith("a^")
    assert said[2].endswith("the gold answer.")
    for colouring in ("ratio", "logprob", "none", "version"):
        page.click(f"input[name=colouring][value={colouring}]")
        page.wait(f"document.querySelector('input[name=colouring][value={colouring}]').checked")
    backgrounds = "new Set([...document.querySelectorAll('.completion span')].map(s => s.style.backgroundColor)).size"
    assert page.run(backgrounds) >= 1
    assert page.errors == []


@needs_chromium
def test_hostile_output_is_shown_as_text(page: Page, client: redis.Redis, redis_url: str, run_name: str) -> None:
    replay = Replay(client, settings(run_name), write=lambda group_id: HOSTILE)
    replay.open()
    replay.run(synthetic_recording(steps=2))
    sample: dict[str, Any] = {"problem": "p000", "arm": "guided", "verdict": "wrong", "version": 1, "prompt": HOSTILE}
    replay.samples.add(sample | {"completion": "x" * 1_000_000})
    with served(Hub(opened(redis_url, run_name))) as url:
        shown(page, url, run_name)
        page.wait("document.querySelector('.rollout-line .snippet')")
        assert page.run("document.documentElement.scrollWidth <= window.innerWidth")
        page.open("about:blank")
        page.open(f"{url}/#/{run_name}/problems/p000")
        page.wait("document.querySelectorAll('.rollout').length >= 2")
        texts = page.run("[...document.querySelectorAll('.completion')].map(e => e.textContent)")
        assert texts[0] == "x" * 32_768
        assert texts[1].startswith("<img src=x onerror=document.title='owned'> \\x1b[2J")
        assert page.run("document.querySelector('main img')") is None
        assert "owned" not in page.run("document.title")
        assert page.run("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.errors == []


@needs_chromium
def test_the_page_has_a_light_and_a_dark_theme(page: Page, address: str, run_name: str) -> None:
    colours = []
    for theme in ("light", "dark"):
        page.theme(theme)
        shown(page, address, run_name)
        colours.append(page.run("getComputedStyle(document.body).backgroundColor"))
    assert len(set(colours)) == 2
    page.click("#theme")
    assert page.run("getComputedStyle(document.body).backgroundColor") == colours[0]
    page.run("localStorage.clear()")
    page.theme("light")
