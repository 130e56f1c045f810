"""The dashboard of a run that trains, in a headless Chromium: its numbers are those in Redis."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.balance import Balance, read_balance
from broker.connection import connect
from broker.keys import Keys
from deploy.cluster.redis_server import running_url
from tests.browser import browser
from tests.deploy.dashboard.driven import fact, needs_chromium, shown
from tests.runs import PATIENCE_S, interrupt, start_run
from tests.waiting import wait_until

pytestmark = [pytest.mark.flow, pytest.mark.timeout(2 * PATIENCE_S), needs_chromium]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_the_page_follows_a_run_that_trains(tmp_path: Path) -> None:
    port = free_port()
    run = start_run(tmp_path, "run.max_steps=500", "deploy.dashboard=true", f"deploy.dashboard_port={port}")
    run.wait_until(lambda: run.steps() >= 3, "three steps")
    url = running_url(run.folder / "redis", run.folder.name)
    assert url is not None, run.wait(60) + run.logs()
    client = connect(url, client_name="test")

    def follows(shows: Callable[[], int], counts: Callable[[Balance], int]) -> None:
        """Asserts that the page's number comes to lie between those in Redis just before and after it is read.

        A tenth is allowed for the refresh in between; on a busy machine the page is sometimes later than that.
        """

        def bracketed() -> bool:
            keys = Keys(run.folder.name)
            before = counts(read_balance(client, keys))
            number = shows()
            return number <= counts(read_balance(client, keys)) and before - number <= max(2, before // 10)

        wait_until(bracketed, "the page shows the number in Redis", 20, every_s=0.2)

    with browser() as page:
        page.size(1480, 1180)
        shown(page, f"http://127.0.0.1:{port}", run.folder.name)
        page.wait("document.querySelector('.fact b')?.textContent.includes('/')")
        follows(lambda: int(fact(page, "step").split(" / ")[0]), lambda balance: balance.committed)
        ring = page.text(".ring-count")
        page.wait(f"document.querySelector('.ring-count').textContent !== {ring!r}")
        page.wait("document.querySelector('.rollout-line')")
        page.click(".rollout-line")
        page.wait("document.querySelector('.rollout .completion span')")
        assert page.text(".detail h2").startswith("chain2-")
        page.click("nav a[data-page=accounting]")
        page.wait("document.querySelector('.equation')?.textContent.includes('the balance holds')")
        follows(
            lambda: int(page.text(".equation").replace(",", "").split(" issued")[0]), lambda balance: balance.issued
        )
        assert page.errors == []
    client.close()
    interrupt(run)
    output = run.wait()
    assert run.process.returncode == 130, output
    assert run.left_behind() == []
