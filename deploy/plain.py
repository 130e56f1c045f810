"""Text that a model or a data set wrote, made safe to look at: control characters shown, length bounded. Pure."""


def visible(text: str, *, keep: str = "") -> str:
    """The text with every character that does not print written as \\xNN; those in `keep` stay."""
    return "".join(c if c in keep or c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def cut(text: str, most: int) -> tuple[str, int]:
    """The first `most` characters, and how many more there are."""
    return text[:most], max(0, len(text) - most)
