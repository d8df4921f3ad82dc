"""Consumer parameters, negotiated once for all clients that have the same capabilities.

Browsers of one version have equal capabilities, so a room of hundreds of peers has a handful of
different ones, and ``ortc.KnownCapabilities`` makes equal ones one object. ``ConsumerTemplates``
keeps the negotiated parameters of one producer under each such object. These parameters are a
template: each client has its own MID and SSRCs, which ``ConsumerTemplate.fill`` adds.
"""

import logging
from collections.abc import Callable, Mapping

import attrs

from meet_trio.ortc import (
    ConsumerRtp,
    Encoding,
    ProducerRtp,
    RtpCapabilities,
    RtpParameters,
    negotiate_consumer,
)
from meet_trio.ortc.fields import Json

logger = logging.getLogger("meet_trio.room.templates")

MAX_TEMPLATES = 32
"""The number of templates that one producer keeps. If a room has more different capabilities, the
oldest template is dropped, and negotiated again when it is needed again.
"""


@attrs.frozen(eq=False)
class ConsumerTemplate:
    """Parameters whose MID and SSRCs are placeholders, and their JSON."""

    rtp: ConsumerRtp
    _json: Mapping[str, Json] = attrs.field(init=False)

    @_json.default
    def _(self) -> Mapping[str, Json]:
        return self.rtp.params.to_json()

    def fill(self, mid: str, new_ssrc: Callable[[], int]) -> ConsumerRtp:
        """The parameters for one client, with its MID and SSRCs. ``new_ssrc`` is called once for
        each SSRC.
        """
        rtp = self.rtp
        params = rtp.params
        (layers,) = params.encodings
        encoding = Encoding(
            ssrc=new_ssrc(),
            rtx_ssrc=None if layers.rtx_ssrc is None else new_ssrc(),
            scalability_mode=layers.scalability_mode,
            max_bitrate=layers.max_bitrate,
        )
        filled = RtpParameters(
            params.codecs, (encoding,), params.header_extensions, params.rtcp, mid
        )
        return ConsumerRtp(rtp.kind, rtp.type, filled)

    def to_json(self, params: RtpParameters) -> dict[str, Json]:
        """The JSON of parameters that ``fill`` has made. What clients share is not made again, and
        must not be changed.
        """
        (encoding,) = params.encodings
        return {**self._json, "encodings": [encoding.to_json()], "mid": params.mid}


@attrs.define(eq=False)
class ConsumerTemplates:
    """The templates of one producer."""

    _rtp: ProducerRtp
    _known: dict[int, tuple[RtpCapabilities, ConsumerTemplate | None]] = attrs.field(factory=dict)

    def get(self, capabilities: RtpCapabilities) -> ConsumerTemplate | None:
        """The template for clients with these capabilities, or None if they know none of the
        producer's codecs.

        ``capabilities`` are found by identity.
        """
        # The entry keeps the object alive, so no other object can get the same id().
        known = self._known.get(id(capabilities))
        if known is not None:
            return known[1]
        rtp = self._negotiate(capabilities)
        template = None if rtp is None else ConsumerTemplate(rtp)
        self.put(capabilities, template)
        return template

    def put(self, capabilities: RtpCapabilities, template: ConsumerTemplate | None) -> None:
        """``get`` returns this template from now on: clients have been told of it."""
        if len(self._known) >= MAX_TEMPLATES:
            del self._known[next(iter(self._known))]
        self._known[id(capabilities)] = capabilities, template

    def _negotiate(self, capabilities: RtpCapabilities) -> ConsumerRtp | None:
        try:
            return negotiate_consumer(self._rtp, capabilities, "", lambda: 1)
        except Exception:
            # The parameters of one client and the capabilities of another do not fit together. No
            # request of either client may fail for that.
            logger.exception("no consumer of a %s producer fits these capabilities", self._rtp.kind)
            return None
