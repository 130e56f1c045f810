"""The page in a headless Chromium: addresses that name nothing, and the width of a phone."""

from collections.abc import Iterator

import pytest
import redis

from deploy.dashboard.broadcast import Hub
from tests.browser import Page, browser
from tests.deploy.dashboard.driven import needs_chromium, shown
from tests.deploy.dashboard.live import opened, replayed, served

pytestmark = needs_chromium
PHONE = (390, 844)
SMALLEST_TEXT = 9.5
"""Pixels."""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as opened_page:
        yield opened_page


@pytest.fixture
def address(redis_url: str, client: redis.Redis, run_name: str) -> Iterator[str]:
    replayed(client, run_name, until=6.0)
    with served(Hub(opened(redis_url, run_name))) as url:
        yield url


def test_an_address_that_names_nothing_says_so_and_shows_no_other_run(page: Page, address: str, run_name: str) -> None:
    page.size(1400, 1000)
    page.open(f"{address}/#/no-such-run/overview")
    page.wait("document.querySelector('.absent h1')")
    assert page.text(".absent h1") == "There is no run named no-such-run here"
    assert page.text(".absent li a") == run_name
    assert page.run("document.querySelector('#run').value") == ""
    page.run(f"location.hash = '#/{run_name}/no-such-page'")
    page.wait("document.querySelector('.absent h1')?.textContent.includes('page')")
    page.run(f"location.hash = '#/{run_name}/problems/no-such-problem'")
    page.wait("document.querySelector('.detail h2')?.textContent.includes('no-such-problem')")
    assert page.text(".detail h2") == "No group of a problem named no-such-problem has ended in this run"
    page.run("location.hash = '#/%E0%A4%A/overview'")  # not percent-encoded well
    page.wait("document.querySelector('.absent h1')")
    page.click(".absent li a")
    page.wait("document.querySelector('.fact b')?.textContent")
    assert page.errors == []


def test_on_a_phone_nothing_overflows_and_the_pipeline_can_be_read(page: Page, address: str, run_name: str) -> None:
    page.size(*PHONE)
    for part in ("overview", "metrics", "problems/p000", "accounting", "runs"):
        shown(page, address, run_name, part)
        page.wait("document.querySelector('main').scrollHeight > 500")
        assert page.run("document.documentElement.scrollWidth") <= PHONE[0], part
        assert page.run("[...document.querySelectorAll('nav a')].at(-1).getBoundingClientRect().right") <= PHONE[0]
    shown(page, address, run_name, "runs")
    page.wait("document.querySelector('.runs .table')")
    assert page.run("(t => t.scrollWidth > t.clientWidth)(document.querySelector('.runs .table'))")
    shown(page, address, run_name)
    page.wait("document.querySelector('.pipeline .rate')?.textContent")
    drawing = "document.querySelector('svg.pipeline')"
    scale = page.run(f"{drawing}.getBoundingClientRect().width / {drawing}.viewBox.baseVal.width")
    sizes = f"[...{drawing}.querySelectorAll('text')].map(t => parseFloat(getComputedStyle(t).fontSize))"
    assert min(page.run(sizes)) * scale >= SMALLEST_TEXT
    page.size(1400, 1000)
    page.wait(f"{drawing.replace('svg', '')}.viewBox.baseVal.width === 942")
    assert page.errors == []
