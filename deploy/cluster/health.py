"""What the driver holds of a role. Pure.

    HEALTHY <-> SUSPECT      a beat is late, and comes after all
    HEALTHY, SUSPECT -> DEAD   its process ended, or was ended because it gave no sign of life for too long
    DEAD -> RESTARTING -> STALE -> HEALTHY

A process that answers says nothing about the weights it holds: from DEAD only a completed sync leads back to HEALTHY.
A sync that fails ends the engine's process: what it holds then nobody knows. A role that serves no weights has nothing
to sync, and is healthy as soon as it is up.
"""

from typing import Literal

Health = Literal["healthy", "suspect", "dead", "restarting", "stale"]
Event = Literal["late", "beat", "died", "restart", "up", "synced"]
"""`late`: no sign of life for a few heartbeats. `up`: its process is ready to work. `synced`: it holds weights as new
as those that were published when it came up."""

LATE_BEATS = 5.0
"""A role is late after this many heartbeats of silence."""

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
    """What becomes of it. An event that tells nothing new, such as the beat of a healthy role, changes nothing."""
    return _NEXT.get((health, event), health)
