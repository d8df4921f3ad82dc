"""Parts that dumps and statistics share, in mediasoup's shapes.

mediasoup shows some things that do not exist here: SCTP, data producers, RTP observers, trace
events. They are shown as mediasoup shows them when unused. ``None`` stands for a figure that is not
counted here.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from meet_trio.media.plain import PlainTransport, Transport
from meet_trio.media.transport import TransportState, WebRtcTransport
from meet_trio.operator.figures import Figures

Shape: TypeAlias = dict[str, object]

HIDDEN = "(hidden)"
"""Stands for a password: with that of ICE somebody else could take a call over."""


def ice_state(transport: Transport, figures: Figures) -> str:
    """``new``, ``connected`` once a path has proved itself, ``closed``. The engine does not tell
    whether the client has nominated the path, so ``completed`` is never shown.
    """
    if transport.state is TransportState.CLOSED:
        return "closed"
    return "connected" if figures.get("address") else "new"


def selected_tuple(transport: WebRtcTransport, figures: Figures) -> Shape | None:
    """``iceSelectedTuple``: the path in use, or None. The local address is the announced one of the
    remote address's family, the first if there are several.
    """
    remote = figures.get("address")
    if not remote:
        return None
    ip, port = remote
    local = next((a for a in transport.addresses if (":" in a) == (":" in ip)), "")
    protocol = str(figures["protocol"])
    return _tuple(local, transport.host.engine.port, ip, port, protocol)


def plain_tuple(transport: PlainTransport, figures: Figures) -> Shape:
    """``tuple``. mediasoup leaves ``remoteIp`` and ``remotePort`` out while they are not known."""
    answer = transport.parameters()
    ip, port = figures.get("address") or (None, None)
    return _tuple(str(answer["ip"]), transport.port, ip, port, "udp")


def plain_rtcp_tuple(transport: PlainTransport) -> Shape:
    """``rtcpTuple``. The engine does not tell where RTCP is sent to."""
    return _tuple(str(transport.parameters()["ip"]), transport.rtcp_port, None, None, "udp")


def _tuple(local: str, port: int, remote: str | None, remote_port: int | None, kind: str) -> Shape:
    return {
        "localIp": local,
        "localAddress": local,
        "localPort": port,
        "remoteIp": remote,
        "remotePort": remote_port or 0,
        "protocol": kind,
    }


def pairs(table: Mapping[object, object]) -> Sequence[Shape]:
    """A table as mediasoup dumps it."""
    return [{"key": key, "value": value} for key, value in table.items()]
