"""The outcome of a DTLS-SRTP handshake (RFC 5763, RFC 5764): keys, or an error."""

import attrs

from meet_trio.errors import MeetError


class DtlsError(MeetError):
    """The handshake failed, or the fingerprints do not match the client's certificate."""


@attrs.frozen
class SrtpKeys:
    """The result of a handshake: the number of the SRTP profile (RFC 5764 §4.1.2), and for each
    direction the master key followed by the master salt.
    """

    profile: int
    tx: bytes = attrs.field(repr=False)
    rx: bytes = attrs.field(repr=False)
