"""Screenshots of every page of a dashboard, in light and dark.

    python -m tests.screenshots http://127.0.0.1:8600 pope docs/ --problem chain5-s2-0014
"""

import argparse
import time
from pathlib import Path

from tests.browser import browser

SETTLE_S = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="address that `pope dashboard` printed, without a token")
    parser.add_argument("run")
    parser.add_argument("out", type=Path, help="folder for the screenshots")
    parser.add_argument("--problem", help="id of the problem to open")
    words = parser.parse_args()
    words.out.mkdir(parents=True, exist_ok=True)
    with browser() as page:
        page.size(1480, 1180)
        for theme in ("light", "dark"):
            page.theme(theme)
            for name in ("overview", "problems", "accounting", "runs"):
                page.open("about:blank")
                problem = f"/{words.problem}" if words.problem and name == "problems" else ""
                page.open(f"{words.address.rstrip('/')}/#/{words.run}/{name}{problem}")
                page.wait("document.querySelector('#state')?.textContent")
                time.sleep(SETTLE_S)
                path = words.out / f"dashboard-{name}-{theme}.png"
                page.picture(path)
                print(path, flush=True)
        if page.errors:
            raise SystemExit(f"errors in the console: {page.errors}")


if __name__ == "__main__":
    main()
