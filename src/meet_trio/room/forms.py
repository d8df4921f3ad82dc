"""What clients of the same capabilities get of a producer: negotiated once for all of them.

Browsers of one version have equal capabilities, so a room of hundreds has a handful of them. Equal
ones become one object (``CapabilityPool``); by that object each producer remembers the form that
its stream takes for such clients (``Forms``). What is a client's own, MID and SSRCs, is filled in
for each (``personal``).
"""

import hashlib
import json
import logging
import weakref
from collections.abc import Callable, MutableMapping

import attrs

from meet_trio.ortc import ConsumerRtp, ProducerRtp, RtpCapabilities, negotiate_consumer

logger = logging.getLogger("meet_trio.room.forms")

MOST_FORMS = 32
"""Of one producer. Where clients have more different capabilities, the oldest is worked out anew
when it is needed again.
"""


@attrs.define(eq=False)
class CapabilityPool:
    """Holds capabilities for as long as somebody else does."""

    _known: MutableMapping[bytes, RtpCapabilities] = attrs.field(
        factory=weakref.WeakValueDictionary
    )

    def shared(self, capabilities: RtpCapabilities | None) -> RtpCapabilities | None:
        """Equal ones that were there before, else these."""
        if capabilities is None:
            return None
        text = json.dumps(capabilities.to_json(), sort_keys=True)
        return self._known.setdefault(hashlib.sha256(text.encode()).digest(), capabilities)


@attrs.define(eq=False)
class Forms:
    """Of one producer."""

    _rtp: ProducerRtp
    _known: dict[int, tuple[RtpCapabilities, ConsumerRtp | None]] = attrs.field(factory=dict)

    def of(self, capabilities: RtpCapabilities) -> ConsumerRtp | None:
        """For clients with this very object, see ``CapabilityPool``; None if they know none of its
        codecs. MID and SSRCs mean nothing yet.
        """
        # the entry holds the object, so no other one can have its id
        known = self._known.get(id(capabilities))
        if known is None:
            if len(self._known) >= MOST_FORMS:
                del self._known[next(iter(self._known))]
            form = self._negotiate(capabilities)
            known = self._known[id(capabilities)] = capabilities, form
        return known[1]

    def _negotiate(self, capabilities: RtpCapabilities) -> ConsumerRtp | None:
        try:
            return negotiate_consumer(self._rtp, capabilities, "", lambda: 1)
        except Exception:
            # what two clients have said does not go together: the one's other requests and the
            # other's are not to fail for it
            logger.exception("a %s stream cannot be had with these capabilities", self._rtp.kind)
            return None


def personal(form: ConsumerRtp, mid: str, new_ssrc: Callable[[], int]) -> ConsumerRtp:
    """One client's own; ``new_ssrc`` is called for each stream."""
    (encoding,) = form.params.encodings
    encoding = attrs.evolve(
        encoding,
        ssrc=new_ssrc(),
        rtx_ssrc=None if encoding.rtx_ssrc is None else new_ssrc(),
    )
    params = attrs.evolve(form.params, encodings=(encoding,), mid=mid)
    return ConsumerRtp(form.kind, form.type, params)
