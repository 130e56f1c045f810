"""Environment variables that allow a file or a message to run code; no role starts while one is set."""

import os

from conf.errors import ConfigError

UNSAFE = {
    "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "makes torch unpickle arbitrary objects in a checkpoint",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "makes vLLM unpickle messages to its engine",
}
"""Variable -> its effect."""


def refuse_unsafe_environment() -> None:
    """Raises ConfigError naming the variable. Every role calls it, because environments differ on a cluster."""
    for name, effect in UNSAFE.items():
        if os.environ.get(name, "0").lower() not in ("", "0", "n", "no", "false"):
            raise ConfigError(f"the environment variable {name} {effect}; unset it")
