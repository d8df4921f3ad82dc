"""Bytes ↔ values of the media path: RTP, RTCP, STUN, VP8 payloads, demultiplexing.

The server reads and writes these formats in C. This is a second implementation in Python, made
independently of it: the tests check the C code against it, and the Python participant speaks with
it. Nothing here imports the package under test.

Pure functions and frozen records, no I/O, no clock. Functions that take bytes from the network end
in ``_untrusted`` and raise ``WireError`` and nothing else; builders raise ``ValueError`` when a
field does not fit.
"""


class WireError(ValueError):
    """The bytes are not what they claim to be; the message says where they go wrong."""
