"""What an operator is told of a failure outside of the program."""

import errno
import itertools
import ssl

import pytest

from meet_trio.errors import reason_of


def wrapped(*errors: BaseException) -> BaseException:
    """The last one, which each of the others caused in its turn."""
    for cause, error in itertools.pairwise(errors):
        error.__cause__ = cause
    return errors[-1]


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "as OpenSSL says it, with the line of its source")
    error.verify_message = "self-signed certificate"
    return error


REFUSED = OSError(errno.ECONNREFUSED, "as the library says it")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (REFUSED, "Connection refused"),
        (wrapped(REFUSED, OSError(""), RuntimeError("")), "Connection refused"),
        (
            wrapped(ExceptionGroup("", [REFUSED, OSError("")]), OSError("all")),
            "Connection refused",
        ),
        (wrapped(untrusted(), RuntimeError("")), "self-signed certificate"),
        (RuntimeError("too many redirects"), "too many redirects"),
        (wrapped(TimeoutError(), RuntimeError("")), "no answer"),
    ],
)
def test_the_first_cause_is_told(error: BaseException, reason: str) -> None:
    assert reason_of(error) == reason
