"""The capabilities that clients have sent lately, parsed once for equal ones.

Browsers of one version send the same capabilities, and parsing them is most of the work of a join.
So the parsed records are kept by what was sent. All clients that sent the same share one record,
and so do those whose capabilities differ only in what the router does not have.

Who sends others than everybody else pays for parsing them, and may displace the oldest record. That
costs those whose record it was one parsing more. The keys are whole texts of bounded length, so no
client can find two that share one.
"""

import marshal
import weakref
from collections.abc import MutableMapping
from typing import Any, cast

import attrs

from meet_trio.ortc.negotiate import usable_capabilities
from meet_trio.ortc.parse import parse_rtp_capabilities
from meet_trio.ortc.records import RtpCapabilities

MAX_KNOWN = 64
"""Different capabilities that are remembered. A few versions of a few browsers are in use."""

MAX_KEY = 16_384
"""Bytes of capabilities that are remembered. Those of Chromium take 7,000."""

# without references to objects that occur twice, so equal values have equal keys
_MARSHAL_VERSION = 2


@attrs.define(eq=False)
class KnownCapabilities:
    """Parses capabilities for the router with the capabilities ``router``."""

    router: RtpCapabilities
    _known: dict[bytes, RtpCapabilities] = attrs.field(factory=dict)  # the latest last
    _shared: MutableMapping[str, RtpCapabilities] = attrs.field(factory=weakref.WeakValueDictionary)

    def parse(self, data: object) -> RtpCapabilities:
        """The part of a client's capabilities that the router can use, as the same object for all
        that are equal. Raises BadRequest.
        """
        key = _key(data)
        known = self._known.pop(key, None)
        if known is None:
            known = self.share(usable_capabilities(parse_rtp_capabilities(data), self.router))
        if key:
            self._known[key] = known
            if len(self._known) > MAX_KNOWN:
                del self._known[next(iter(self._known))]
        return known

    def share(self, capabilities: RtpCapabilities) -> RtpCapabilities:
        """The one object for all that are equal to ``capabilities``."""
        return self._shared.setdefault(capabilities.name, capabilities)


def _key(data: object) -> bytes:
    """The same for equal JSON, and for no other. Empty: too long, or nothing that has a key."""
    try:
        key = marshal.dumps(cast(Any, data), _MARSHAL_VERSION)
    except ValueError:
        return b""
    return key if len(key) <= MAX_KEY else b""
