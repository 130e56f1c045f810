"""Environment variables that would let a file or a message run code; nothing starts while one is set."""

import os

from conf.errors import ConfigError

UNSAFE = {
    "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "makes torch unpickle whatever a checkpoint holds",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "makes vLLM unpickle what reaches its engine",
}
"""Variable -> what it does."""


def refuse_unsafe_environment() -> None:
    """Raises ConfigError naming the variable. A role asks for itself: on a cluster its environment is its machine's."""
    for name, effect in UNSAFE.items():
        if os.environ.get(name, "0").lower() not in ("", "0", "n", "no", "false"):
            raise ConfigError(f"the environment variable {name} {effect}; unset it")
