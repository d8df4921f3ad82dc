"""Compares JSON with a shape: ``{"key": shape}``, ``[shape of each item]`` (``[]``: nothing is
known of the items), ``{"?": shape}`` for an object or null, or kinds such as ``null|number``.
"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

MEDIASOUP = json.loads(Path(__file__).with_name("mediasoup_shapes.json").read_text())
"""The shapes of what mediasoup 3.14's ``dump()`` and ``getStats()`` return, by object."""

NOT_COUNTED = {
    "fractionLost",
    "rtxBytesReceived",
    "rtxRecvBitrate",
    "rtxBytesSent",
    "rtxSendBitrate",
    "probationBytesSent",
    "probationSendBitrate",
    "availableIncomingBitrate",
    "rtpPacketLossReceived",
}
"""Keys that this server shows as null, see docs/console.md."""


def departures(value: Any, shape: Any, free: Collection[str] = (), at: str = "") -> Iterator[str]:
    """What is not as in the shape. Further keys are fine. ``free`` are keys whose value may be null
    although the shape does not say so.
    """
    if isinstance(shape, dict) and "?" in shape:
        if value is not None:
            yield from departures(value, shape["?"], free, at)
    elif isinstance(shape, dict):
        if not isinstance(value, dict):
            yield f"{at}: {value!r} is no object"
            return
        for key, wanted in shape.items():
            if key not in value:
                yield f"{at}.{key} is missing"
            elif value[key] is not None or key not in free:
                yield from departures(value[key], wanted, free, f"{at}.{key}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{at}: {value!r} is no array"
            return
        for item in value if shape else ():
            yield from departures(item, shape[0], free, f"{at}[]")
    elif _kind(value) not in shape.split("|"):
        yield f"{at}: {value!r} is no {shape}"


def _kind(value: Any) -> str:
    if isinstance(value, dict | list):
        return "container"
    names = {bool: "bool", int: "number", float: "number", str: "text", type(None): "null"}
    return names[type(value)]
