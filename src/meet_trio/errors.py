"""What goes wrong, by whose fault.

``RequestError`` and its children say that the other side asked for something wrong: the message
names what, is safe to show to that side, and nothing has changed. Anything else that is raised is a
fault of this program. ``live.handlers`` and ``edge.http_api`` turn either into what a client is
told.
"""


class MeetError(Exception):
    """Base of all errors that this package raises on purpose."""


class ConfigError(MeetError):
    """A setting is unknown or has a value that cannot be used; the message names the setting."""


class RequestError(MeetError):
    """The other side asked for something that cannot be done; nothing has changed."""


class BadRequest(RequestError):
    """A field is missing or malformed; the message names it: ``rtpParameters.codecs[0]: …``."""


class NotFound(RequestError):
    """The object named by an id does not exist."""


class Forbidden(RequestError):
    """The peer's role does not allow it, or a setting does not."""


class LimitExceeded(RequestError):
    """A limit of the settings is reached; the message names it."""
