"""The errors of this package. They tell a mistake of the other side from a fault of this program.

``RequestError`` and its subclasses are mistakes of the other side. The message says what is wrong
and may be shown to that side, and nothing has changed. Any other exception while a request is
handled is a fault of this program. ``live.handlers``, ``edge.http_api`` and ``console.server`` turn
both kinds into answers.

``reason_of`` tells in a few words why something outside of the program failed.
"""

import os
import ssl


class MeetError(Exception):
    """The base of all errors that this package defines."""


class ConfigError(MeetError):
    """A setting is unknown or has an invalid value. The message names the setting."""


class RecordError(MeetError):
    """A record of what an earlier process has kept is damaged, foreign or of a newer version. The
    message names the kind of the record and the field.
    """


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


def first_cause(error: BaseException) -> BaseException:
    """Libraries wrap the errors of the system, sometimes without a text. Of several attempts at
    once it is the first one's.
    """
    while True:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        elif (cause := error.__cause__ or error.__context__) is not None:
            error = cause
        else:
            return error


def reason_of(error: BaseException) -> str:
    """A short text for an operator."""
    cause = first_cause(error)
    if isinstance(cause, ssl.SSLError):
        told = (getattr(cause, name, None) for name in ("verify_message", "reason"))
        return next(filter(None, told), str(cause))
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno)
    return str(error) or "no answer"
