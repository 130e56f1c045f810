"""Removes passwords from URLs before they are shown or stored."""

import re


def redacted(url: str | None) -> str | None:
    """The URL with its password replaced by `***`, wherever redis-py reads one.

    >>> redacted("redis://me:secret@host:6380/0?password=x")
    'redis://me:***@host:6380/0?password=***'
    """
    if url is None:
        return None
    # The last @ before the path ends the credentials: a password may contain an @.
    url = re.sub(r"([a-z]+://[^:/?#]*):[^/?#]*@", r"\1:***@", url, flags=re.IGNORECASE)
    return re.sub(r"([?&]password=)[^&#]*", r"\1***", url, flags=re.IGNORECASE)


def holds_a_secret(name: str) -> bool:
    """Whether a setting of this name would hold a secret. None does, but a user may try.

    >>> holds_a_secret("oracle.api_key"), holds_a_secret("oracle.api_key_env")
    (True, False)
    """
    return re.search(r"(key|password|passwd|secret|api_token|auth_token)$", name, flags=re.IGNORECASE) is not None


def is_redacted(url: str) -> bool:
    """Whether a password was removed from the URL.

    >>> is_redacted("redis://me:***@host:6380/0"), is_redacted("redis://host:6380/0")
    (True, False)
    """
    return ":***@" in url or "password=***" in url
