"""Consumer parameters, negotiated once for all clients that have the same capabilities.

Browsers of one version have equal capabilities, so a room of hundreds of peers has a handful of
different ones, and ``ortc.KnownCapabilities`` makes equal ones one object. ``ConsumerTemplates``
keeps the negotiated parameters of one producer under each such object. These parameters are a
template: each client has its own MID and SSRCs, which ``fill_template`` adds.
"""

import logging
from collections.abc import Callable

import attrs

from meet_trio.ortc import ConsumerRtp, ProducerRtp, RtpCapabilities, negotiate_consumer

logger = logging.getLogger("meet_trio.room.templates")

MAX_TEMPLATES = 32
"""The number of templates that one producer keeps. If a room has more different capabilities, the
oldest template is dropped, and negotiated again when it is needed again.
"""


@attrs.define(eq=False)
class ConsumerTemplates:
    """The templates of one producer."""

    _rtp: ProducerRtp
    _known: dict[int, tuple[RtpCapabilities, ConsumerRtp | None]] = attrs.field(factory=dict)

    def get(self, capabilities: RtpCapabilities) -> ConsumerRtp | None:
        """The template for clients with these capabilities, or None if they know none of the
        producer's codecs. Its MID and SSRCs are placeholders.

        ``capabilities`` are found by identity.
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
