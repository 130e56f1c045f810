"""The health of a role, as the driver sees it. Pure.

    HEALTHY <-> SUSPECT        a heartbeat is late; the next one arrives
    HEALTHY, SUSPECT -> DEAD   the process ended, or was killed because it was silent for too long
    DEAD -> RESTARTING -> STALE -> HEALTHY

A process that answers may hold old weights: after DEAD only a completed sync leads back to HEALTHY. A failed sync ends
the engine's process, because its weights are then unknown. A role that serves no weights is healthy once it is up.
"""

from typing import Literal

Health = Literal["healthy", "suspect", "dead", "restarting", "stale"]
Event = Literal["late", "beat", "died", "restart", "up", "synced"]
"""`late`: no heartbeat for `LATE_BEATS` intervals. `up`: the process is ready to work. `synced`: it holds weights at
least as new as those that were published when it came up."""

LATE_BEATS = 5.0
"""A role is late after this many heartbeat intervals without one."""

_NEXT: dict[tuple[Health, Event], Health] = {
    ("healthy", "late"): "suspect",
    ("suspect", "beat"): "healthy",
    ("healthy", "died"): "dead",
    ("suspect", "died"): "dead",
    ("stale", "died"): "dead",
    ("restarting", "died"): "dead",
    ("dead", "restart"): "restarting",
    ("restarting", "up"): "stale",
    ("stale", "synced"): "healthy",
}


def after(health: Health, event: Event) -> Health:
    """The health after an event; unchanged where the table has no entry, as for the beat of a healthy role."""
    return _NEXT.get((health, event), health)
