"""What ends a connection, and how the two halves say that something went wrong.

``ProtocolError`` says that the client broke the protocol; only the library sees it and it ends the
connection. ``Disconnected``, ``CallTimeout`` and ``Refused`` are the application's: the first two
are raised to it, the last one by it.
"""

import enum


class Reason(enum.StrEnum):
    """Why a socket or a connection has ended."""

    CLIENT = "client namespace disconnect"  # the client left on purpose
    SERVER = "server namespace disconnect"  # the application ended it
    TRANSPORT_CLOSE = "transport close"  # the client went away without a word
    TRANSPORT_ERROR = "transport error"  # broken, stalled, or too large a message
    PING_TIMEOUT = "ping timeout"
    CONNECT_TIMEOUT = "connect timeout"  # connected, but to no namespace
    PARSE_ERROR = "parse error"  # the client broke the protocol
    OVERFLOW = "too much waiting"  # an outbox, an inbox or the open calls went over their limit


class ProtocolError(Exception):
    """The client sent something that the protocol does not allow."""


class Disconnected(Exception):
    """The socket has ended; ``reason`` tells how."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason

    @property
    def by_client(self) -> bool:
        """The client said that it leaves; it did not just get lost."""
        return self.reason is Reason.CLIENT


class CallTimeout(Exception):
    """The client has not acknowledged in time."""


class Refused(Exception):
    """Raised by ``admit``: the client may not connect to the namespace. It is sent ``message`` and
    ``data``.
    """

    def __init__(self, message: str, data: object = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data
