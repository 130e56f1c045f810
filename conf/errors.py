"""The exception of this package."""


class ConfigError(ValueError):
    """A setting that violates a rule. The message is one line: key, value, rule and a valid value or name."""

    final = True
    """As for `broker.errors.PopeError`: a restart would fail in the same way."""

    def __init__(self, message: str, keys: tuple[str, ...] = ()) -> None:
        super().__init__(" ".join(message.split()))
        self.keys = keys
        """Dotted names of the settings in the rule; `load` looks up where they were set."""
