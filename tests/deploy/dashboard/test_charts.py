"""The charts of the page in a headless Chromium: every number, cursor, zoom, smoothing, logarithmic axis."""

from collections.abc import Iterator

import pytest
import redis

from broker.keys import Keys
from deploy.dashboard.broadcast import Hub
from deploy.dashboard.run_sources import Source
from tests.browser import Page, browser
from tests.deploy.dashboard.driven import needs_chromium, shown
from tests.deploy.dashboard.live import opened, replayed, served, settings
from tests.replay import Replay, synthetic_recording
from tests.reports import learner_step

pytestmark = needs_chromium
TITLES = "[...document.querySelectorAll('.chart:not([hidden]) .title')].map(e => e.textContent)"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as opened_page:
        opened_page.size(1400, 1000)
        yield opened_page


@pytest.fixture
def replay(client: redis.Redis, run_name: str) -> Replay:
    return replayed(client, run_name)


@pytest.fixture
def source(redis_url: str, replay: Replay, run_name: str) -> Source:
    return opened(redis_url, run_name)[0]


@pytest.fixture
def address(source: Source) -> Iterator[str]:
    with served(Hub([source])) as url:
        yield url


def chart(family: str, rest: str) -> str:
    """JavaScript: something of the chart of a family, which is `c`."""
    find = "[...document.querySelectorAll('.chart')].find(f => f.querySelector('.title').textContent === NAME)"
    return f"(() => {{ const c = {find.replace('NAME', repr(family))}; return {rest}; }})()"


def enter(page: Page, selector: str, value: str) -> None:
    """Write a value into a field."""
    write = f"e.value = {value!r}; e.dispatchEvent(new Event('input'))"
    page.run(f"(e => {{ {write}; }})(document.querySelector({selector!r}))")


def legend(page: Page, family: str) -> list[str]:
    """The values in the legend of a chart."""
    return page.run(chart(family, "[...c.querySelectorAll('.legend b')].map(e => e.textContent)"))


def drawn(page: Page, family: str) -> list[float]:
    """Where a chart is drawn: left, top, width and height of its plot."""
    page.wait(chart(family, "c?.querySelector('.u-over')"))
    page.run(chart(family, "c.scrollIntoView({block: 'center'})"))
    box = "(b => [b.left, b.top, b.width, b.height])(c.querySelector('.u-over').getBoundingClientRect())"
    return page.run(chart(family, box))


def span(page: Page, family: str) -> list[int]:
    """First and last step that a chart shows."""
    scale = "c.querySelector('.plot').chart.plot.scales.x"
    return page.run(chart(family, f"[{scale}.min, {scale}.max]"))


def test_every_number_of_the_reports_is_a_chart_that_a_search_finds(
    page: Page, address: str, source: Source, run_name: str
) -> None:
    shown(page, address, run_name, "metrics")
    page.wait("document.querySelector('.chart')")
    families = {each.family for each in source.model.metrics.names()}
    assert set(page.run(TITLES)) == families
    assert len(families) > 40
    enter(page, "input[type=search]", "policy nats")
    found = page.run(TITLES)
    named = source.model.metrics.names()
    assert found == [each.family for each in named if each.group == "Policy" and "nats" in each.unit]
    page.wait(chart(found[0], "c.querySelector('.legend b').textContent"))
    newest = source.model.metrics.series(found[0]).values[-1]
    assert float(legend(page, found[0])[0]) == pytest.approx(newest, rel=1e-3)
    assert page.errors == []


def test_the_cursor_shows_step_and_values_in_all_charts(
    page: Page, address: str, source: Source, run_name: str
) -> None:
    shown(page, address, run_name, "metrics")
    left, top, width, height = drawn(page, "success/*")
    page.move(left + width / 2, top + height / 2)
    page.wait(chart("solved/*", "c.querySelector('.at').textContent"))
    said = page.run("[...new Set([...document.querySelectorAll('.at')].map(e => e.textContent).filter(Boolean))]")
    assert len(said) == 1
    step = int(said[0].removeprefix("step "))
    row = source.model.steps.rows[step]
    assert legend(page, "solved/*") == [str(row["solved/guided"]), str(row["solved/unguided"])]
    page.move(5, 5)
    page.wait("!document.querySelector('.at').textContent")


def test_a_zoom_stays_when_new_steps_come_until_it_is_taken_back(
    page: Page, address: str, replay: Replay, keys: Keys, run_name: str
) -> None:
    shown(page, address, run_name)
    left, top, width, height = drawn(page, "Entropy")
    assert span(page, "Entropy") == [0, 12]
    page.drag(left + width * 0.25, left + width * 0.75, top + height / 2)
    page.wait("!document.querySelector('.range button').hidden")
    assert span(page, "Entropy") == span(page, "Lag of trained tokens") == [3, 9]
    replay.metrics.report(learner_step(20, entropy=0.5))
    page.wait(chart("Entropy", "c.querySelector('.plot').chart.steps.at(-1) === 20"))
    assert span(page, "Entropy") == [3, 9]
    page.click(".range button")
    assert span(page, "Entropy") == [0, 20]
    assert page.errors == []


def test_curves_are_smoothed_and_the_axis_is_logarithmic_on_demand(page: Page, address: str, run_name: str) -> None:
    shown(page, address, run_name)
    drawn(page, "Entropy")
    (exact,) = legend(page, "Entropy")
    enter(page, "input[type=range]", "6")
    smooth, _, as_reported = legend(page, "Entropy")[0].partition(" ")
    assert as_reported == f"({exact})"
    assert float(smooth) > float(exact)  # it falls
    assert page.text(".view-controls output") == "over 12 steps"
    enter(page, "input[type=range]", "0")
    page.run(chart("Entropy", "c.querySelector('.log').click()"))
    axis = page.run(chart("Entropy", "(y => [y.distr, y.min])(c.querySelector('.plot').chart.plot.scales.y)"))
    assert axis[0] == 3  # logarithmic
    assert axis[1] > 0
    assert page.errors == []


def test_two_runs_are_laid_over_one_another_with_the_settings_that_differ(
    page: Page, client: redis.Redis, redis_url: str, run_name: str
) -> None:
    other = f"{run_name}-other"
    replayed(client, run_name, until=8.0)
    second = Replay(client, settings(other, "learner.max_lag=7"))
    second.open()
    second.run(synthetic_recording(seed=5), until=8.0)
    sources = opened(redis_url, run_name, other)
    with served(Hub(sources)) as address:
        shown(page, address, run_name, "metrics")
        page.wait("document.querySelector('.chart')")
        choose = "e.selectedIndex = 1; e.dispatchEvent(new Event('change'))"
        page.run(f"(e => {{ {choose}; }})(document.querySelector('.against select'))")
        cells = "[...document.querySelectorAll('[aria-label=\"Settings that differ\"] td')].map(e => e.textContent)"
        page.wait(f"{cells}.length")
        assert page.run("location.hash") == f"#/{run_name}/metrics/{other}"
        assert page.run(cells) == ["learner.max_lag", "1", "7"]
        drawn(page, "success/*")
        page.wait(chart("success/*", "c.querySelectorAll('.legend b').length === 4"))
        page.wait(chart("success/*", "c.querySelector('.legend b').textContent"))
        arms = ("guided", "unguided")
        newest = [source.model.metrics.series(f"success/{arm}").values[-1] for source in sources for arm in arms]
        assert [float(text) for text in legend(page, "success/*")] == pytest.approx(newest, rel=1e-3)
        page.open(f"{address}/#/{run_name}/metrics/nobody")
        page.wait("document.querySelector('.absent h1')?.textContent.includes('nobody')")
        assert page.errors == []
