"""The exceptions of this product.

PopeError
├── UsageError            invalid input of the user; shown as one line, exit code 2
│   └── BrokerUnreachable no Redis answers at the given URL
├── PluginFailed          a function of the user (advantage, policy loss) raised or returned what cannot be trained
└── BrokerError           the state of the pipeline does not allow the operation
    ├── RecordError       bytes are not a valid record (frame, checksum, field or size)
    ├── RingFull          the ring is full and `when_full` is `wait`; wait and try again
    ├── ServerBehind      the server lost a step that the learner trained; call `Ring.adopt`
    ├── FeedExhausted     all groups are issued and none can be issued again
    ├── BrokerFull        the server was out of memory until the deadline
    ├── BrokerLost        the server was unreachable until the deadline
    └── Fenced            another incarnation of the learner was admitted; this one may not write
"""


class PopeError(Exception):
    """Base of all exceptions this product raises on purpose."""

    final = False
    """Whether a restart would fail in the same way."""


class UsageError(PopeError, ValueError):
    """Invalid input of the user. The message names the place, the rule and the remedy."""

    final = True


class BrokerUnreachable(UsageError):
    """No Redis answers at the given URL."""

    final = False


class PluginFailed(PopeError):
    """A function of the user failed while a run used it. The message names the setting, the function and the cause."""

    final = True


class BrokerError(PopeError):
    """The broker refused an operation."""


class RecordError(BrokerError):
    """Bytes that do not hold a valid record."""


class RingFull(BrokerError):
    """The ring has no room and its policy is to wait."""


class FeedExhausted(BrokerError):
    """All groups are issued, and no lease is left whose group could be issued again."""


class BrokerFull(BrokerError):
    """The server was out of memory until the deadline of a write."""


class BrokerLost(BrokerError):
    """The server was unreachable until the deadline of an operation."""


class ServerBehind(BrokerError):
    """The server lost acknowledged writes, among them a step that was taken or trained."""


class Fenced(BrokerError):
    """Another incarnation of the learner was admitted; this one may not write."""
