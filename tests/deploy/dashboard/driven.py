"""The page in a headless Chromium, as tests drive it."""

import pytest

from tests.browser import CHROMIUM, Page

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


def shown(page: Page, address: str, name: str, part: str = "overview") -> None:
    """Open a page of run `name` and wait until it has something to show."""
    page.open("about:blank")
    page.errors.clear()
    page.open(f"{address}/#/{name}/{part}")
    page.wait("document.querySelector('#state')?.textContent")


def fact(page: Page, name: str) -> str:
    """The number under a name at the top of the overview."""
    script = "[...document.querySelectorAll('.fact')].find(f => f.children[0].textContent === NAME)"
    return page.run(script.replace("NAME", repr(name)) + "?.children[1].textContent ?? ''")
