"""What can go wrong between the rooms.

PopeError
├── UsageError            the user's input; shown as one line, exit code 2
│   └── BrokerUnreachable no Redis answers at the given URL
└── BrokerError           the pipeline's own state
    ├── RecordError       bytes that are not a valid record (bad frame, checksum, field, size)
    ├── RingFull          a put under `when_full: wait` found no room; wait and try again
    ├── ServerBehind      the server forgot a step that the learner trained; `Ring.adopt` tells it
    ├── FeedExhausted     every group the feed may issue has been issued and none can come back
    ├── BrokerFull        the server is out of memory and nothing drains it
    ├── BrokerLost        the server went away and did not come back in time
    └── Fenced            another incarnation of the learner has taken over; this one may write nothing more
"""


class PopeError(Exception):
    """Root of every error this product raises on purpose."""

    final = False
    """Whether doing the same again, from where it can be gone on with, would end the same way."""


class UsageError(PopeError, ValueError):
    """Input of the user that breaks a rule. The message names the place, the rule and the remedy."""


class BrokerUnreachable(UsageError):
    """No Redis answers at the given URL."""


class BrokerError(PopeError):
    """The broker refused an operation."""


class RecordError(BrokerError):
    """Bytes that do not hold a valid record."""


class RingFull(BrokerError):
    """The ring has no room and its policy is to wait."""


class FeedExhausted(BrokerError):
    """Every group the feed may issue was issued, and no lease is left that could come back."""


class BrokerFull(BrokerError):
    """The server stayed out of memory until the deadline of a write."""


class BrokerLost(BrokerError):
    """The server stayed away until the deadline of an operation."""


class ServerBehind(BrokerError):
    """The server lost what it had acknowledged, and with it a step that was taken or trained."""


class Fenced(BrokerError):
    """Another incarnation of this learner has taken over; this one may write nothing more."""
