"""Consumer parameters, negotiated once for all clients that have the same capabilities.

Browsers of one version have equal capabilities, so a room of hundreds of peers has a handful of
different ones. ``CapabilityPool`` makes equal capabilities one object. ``ConsumerTemplates`` keeps
the negotiated parameters of one producer under each such object. These parameters are a template:
each client has its own MID and SSRCs, which ``fill_template`` adds.
"""

import hashlib
import json
import logging
import weakref
from collections.abc import Callable, MutableMapping

import attrs

from meet_trio.ortc import ConsumerRtp, ProducerRtp, RtpCapabilities, negotiate_consumer

logger = logging.getLogger("meet_trio.room.templates")

MAX_TEMPLATES = 32
"""The number of templates that one producer keeps. If a room has more different capabilities, the
oldest template is dropped, and negotiated again when it is needed again.
"""


@attrs.define(eq=False)
class CapabilityPool:
    """Finds equal capabilities. It holds weak references only, so it keeps nothing alive."""

    _known: MutableMapping[bytes, RtpCapabilities] = attrs.field(
        factory=weakref.WeakValueDictionary
    )

    def intern(self, capabilities: RtpCapabilities | None) -> RtpCapabilities | None:
        """The object in the pool that equals ``capabilities``. If there is none, ``capabilities``
        itself is added and returned.
        """
        if capabilities is None:
            return None
        text = json.dumps(capabilities.to_json(), sort_keys=True)
        return self._known.setdefault(hashlib.sha256(text.encode()).digest(), capabilities)


@attrs.define(eq=False)
class ConsumerTemplates:
    """The templates of one producer."""

    _rtp: ProducerRtp
    _known: dict[int, tuple[RtpCapabilities, ConsumerRtp | None]] = attrs.field(factory=dict)

    def get(self, capabilities: RtpCapabilities) -> ConsumerRtp | None:
        """The template for clients with these capabilities, or None if they know none of the
        producer's codecs. Its MID and SSRCs are placeholders.

        ``capabilities`` must come from ``CapabilityPool``: it is found by identity.
        """
        # The entry keeps the object alive, so no other object can get the same id().
        known = self._known.get(id(capabilities))
        if known is None:
            if len(self._known) >= MAX_TEMPLATES:
                del self._known[next(iter(self._known))]
            template = self._negotiate(capabilities)
            known = self._known[id(capabilities)] = capabilities, template
        return known[1]

    def _negotiate(self, capabilities: RtpCapabilities) -> ConsumerRtp | None:
        try:
            return negotiate_consumer(self._rtp, capabilities, "", lambda: 1)
        except Exception:
            # The parameters of one client and the capabilities of another do not fit together. No
            # request of either client may fail for that.
            logger.exception("no consumer of a %s producer fits these capabilities", self._rtp.kind)
            return None


def fill_template(template: ConsumerRtp, mid: str, new_ssrc: Callable[[], int]) -> ConsumerRtp:
    """The parameters for one client, with its MID and SSRCs. ``new_ssrc`` is called once for each
    SSRC.
    """
    (encoding,) = template.params.encodings
    encoding = attrs.evolve(
        encoding,
        ssrc=new_ssrc(),
        rtx_ssrc=None if encoding.rtx_ssrc is None else new_ssrc(),
    )
    params = attrs.evolve(template.params, encodings=(encoding,), mid=mid)
    return ConsumerRtp(template.kind, template.type, params)
