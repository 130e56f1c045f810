"""Secrets that reach the driver in environment variables and that no role needs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from conf.schema import RunConfig

URL_VARIABLE = "POPE_BROKER_URL"
"""Environment variable with the URL of an external Redis, password included: settings.yaml leaves the password out, and
every user of the machine can read a command line."""
TOKEN_VARIABLE = "POPE_DASHBOARD_TOKEN"
"""Environment variable with the token that viewers of a dashboard need; a random one is made where none is given."""
HUB_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""Needed by the driver alone: models are fetched before any role starts."""


@contextmanager
def without_secrets(config: RunConfig) -> Iterator[None]:
    """While this lasts, the secrets are out of the environment: child processes do not inherit them."""
    names = (URL_VARIABLE, TOKEN_VARIABLE, *HUB_TOKENS, config.oracle.api_key_env, config.evaluation.endpoint_key_env)
    removed = {name: os.environ.pop(name) for name in names if name is not None and name in os.environ}
    try:
        yield
    finally:
        os.environ.update(removed)
