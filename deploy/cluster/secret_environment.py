"""What the driver knows and no role needs: secrets that reach it by environment variables."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from conf.schema import RunConfig

URL_VARIABLE = "POPE_BROKER_URL"
"""Environment variable that holds the URL of an external Redis, password included: settings.yaml leaves it out, and a
command line is read by everybody on the machine."""
TOKEN_VARIABLE = "POPE_DASHBOARD_TOKEN"
"""Environment variable that holds the token viewers of a dashboard need; without it one is made up where one is
needed."""
_HUB = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""Models are fetched before any role starts."""


@contextmanager
def secrets_withheld(config: RunConfig) -> Iterator[None]:
    """While this lasts, a process that is started inherits none of the secrets this one was given."""
    names = (URL_VARIABLE, TOKEN_VARIABLE, *_HUB, config.oracle.api_key_env)
    kept = {name: os.environ.pop(name) for name in names if name is not None and name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
