"""The reasons why a connection ends, and the exceptions of the package.

``ProtocolError`` means that the client broke the protocol. It ends the connection and never leaves
the package. The application meets the other three: the package raises ``Disconnected`` and
``CallTimeout`` to it, and the application raises ``Refused``. Misuse by the application raises
Python's own errors (ValueError, TypeError, RuntimeError).
"""

import enum


class Reason(enum.StrEnum):
    """Why a socket or a connection has ended."""

    CLIENT = "client namespace disconnect"  # the client disconnected on purpose
    SERVER = "server namespace disconnect"  # the application ended it
    TRANSPORT_CLOSE = "transport close"  # the client went away without disconnecting
    TRANSPORT_ERROR = "transport error"  # broken, stalled, or a message was too large
    PING_TIMEOUT = "ping timeout"
    CONNECT_TIMEOUT = "connect timeout"  # the client joined no namespace in time
    PARSE_ERROR = "parse error"  # the client broke the protocol
    OVERFLOW = "too much waiting"  # the outbox, an inbox or the open calls exceeded their limit


class ProtocolError(Exception):
    """The client sent something that the protocol does not allow."""


class Disconnected(Exception):
    """The socket has ended; ``reason`` tells why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason

    @property
    def by_client(self) -> bool:
        """The client disconnected on purpose and was not just lost."""
        return self.reason is Reason.CLIENT


class CallTimeout(Exception):
    """The client did not acknowledge in time."""


class Refused(Exception):
    """Raised by ``admit``: the client may not connect to the namespace. The answer to the client
    carries ``message`` and ``data``.
    """

    def __init__(self, message: str, data: object = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
