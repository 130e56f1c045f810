"""The one error of this room."""


class ConfigError(ValueError):
    """A setting that breaks a rule. One line: the key, its value, the rule, the nearest valid value or name."""

    def __init__(self, message: str, keys: tuple[str, ...] = ()) -> None:
        super().__init__(" ".join(message.split()))
        self.keys = keys
        """Dotted names of the settings the rule is about; `load` looks up where they were set."""
