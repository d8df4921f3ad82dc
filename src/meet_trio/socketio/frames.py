"""The frames of a websocket that the server sends (RFC 6455 §5.2): final and unmasked."""

import struct


def data_frame(payload: bytes, *, text: bool) -> bytes:
    """A whole message in one frame."""
    first, size = 0x81 if text else 0x82, len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload
