"""What `pope doctor` finds."""

from typing import Literal

import msgspec

Verdict = Literal["ok", "warning", "failed"]


class Finding(msgspec.Struct, frozen=True):
    """What was found about one thing that a run needs."""

    name: str
    verdict: Verdict
    """`failed`: a run with these settings cannot work. `warning`: it can, with a restriction."""
    detail: str
    remedy: str = ""
    """What to do, where `detail` does not say it."""
