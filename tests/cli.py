"""Runs a `pope` command in its own process."""

import os
import subprocess
import sys
from pathlib import Path

from deploy.cluster.secret_environment import URL_VARIABLE

REPOSITORY = Path(__file__).parents[1]


def pope(*words: str, variable: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run it to its end. `variable`: value of $POPE_BROKER_URL, if any."""
    environment = {k: v for k, v in os.environ.items() if k != URL_VARIABLE}
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *words],
        cwd=REPOSITORY,
        env=environment | ({URL_VARIABLE: variable} if variable else {}),
        capture_output=True,
        text=True,
        timeout=120,
    )
