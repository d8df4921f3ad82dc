"""The errors of this package. They tell a mistake of the other side from a fault of this program.

``RequestError`` and its subclasses are mistakes of the other side. The message says what is wrong
and may be shown to that side, and nothing has changed. Any other exception while a request is
handled is a fault of this program. ``live.handlers``, ``edge.http_api`` and ``console.server`` turn
both kinds into answers.
"""


class MeetError(Exception):
    """The base of all errors that this package defines."""


class ConfigError(MeetError):
    """A setting is unknown or has an invalid value. The message names the setting."""


class RequestError(MeetError):
    """The other side asked for something that cannot be done; nothing has changed."""


class BadRequest(RequestError):
    """A field is missing or malformed. The message names it: ``rtpParameters.codecs[0]: …``."""


class NotFound(RequestError):
    """There is no object with the given id."""


class Forbidden(RequestError):
    """The role of the peer or a setting does not allow the request."""


class LimitExceeded(RequestError):
    """A limit of the settings is reached. The message names it."""
