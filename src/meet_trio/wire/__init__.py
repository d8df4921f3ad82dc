"""Bytes ↔ values of the media path: RTP, RTCP, STUN, VP8 payloads, demultiplexing.

Pure functions and frozen records, no I/O, no clock. The server forwards media in C and never
calls these for a packet; they serve tests, tools and everything that handles a few packets a
second. Functions that take bytes from the network end in ``_untrusted`` and raise ``WireError``
and nothing else; builders raise ``ValueError`` when a field does not fit.
"""

from meet_trio.errors import MeetError


class WireError(MeetError, ValueError):
    """The bytes are not what they claim to be; the message says where they go wrong."""
