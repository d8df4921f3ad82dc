"""Rooms and peers at a glance: rows of tables, and dumps of what mediasoup has no word for."""

from typing import Any

from meet_trio.live.peer import LivePeer
from meet_trio.live.room import LiveRoom
from meet_trio.media.transport import WebRtcTransport
from meet_trio.operator.figures import Reports, streams
from meet_trio.operator.links import links_of
from meet_trio.operator.shapes import Shape
from meet_trio.room import Role

_MOST_LAYERS = 8  # consumers whose layers a row shows


def room_row(room: LiveRoom, now: float) -> Shape:
    """One line of ``rooms``; ``now`` is Unix time."""
    connected = sum(peer.connected for peer in room.state.peers.values())
    return {
        "room": room.id,
        "age": age(now - room.created_at),
        "peers": connected,
        "invited": len(room.state.peers) - connected,
        "producers": len(room.producers),
        "consumers": len(room.consumers),
        "engines": ",".join(str(host.engine.port) for host in room.placement.used),
    }


def peer_row(room: LiveRoom, peer: LivePeer, now: float) -> Shape:
    """One line of ``peers``."""
    state = room.state.peers[peer.id]
    return {
        "peer": peer.id,
        "room": room.id[:8],
        "name": state.nickname or "",
        "role": roles(state.role),
        "state": peer.presence,
        "age": age(now - peer.attendance.invited),
        "address": peer.address,
        "transports": len(peer.transports),
        "producers": len(state.producers),
        "consumers": len(state.consumers),
    }


def watch_row(room: LiveRoom, peer: LivePeer, reports: Reports) -> Shape:
    """One line of ``watch``: the sums over the peer's transports, and of its links the worst.

    Bitrates are in kbit/s, losses in percent, the round trip in milliseconds. ``layers`` has the
    spatial and temporal layer of each video that it is sent, ``-`` for none. ``score`` is the least
    score of what it sends.
    """
    state = room.state.peers[peer.id]
    link = links_of(peer, reports)
    sent = [
        stream
        for producer_id in state.producers
        for stream in streams(reports.producer(room.producers[producer_id]))
        if stream["active"]
    ]
    watched = [room.consumers[each.id] for each in state.consumers.values()]
    layers = [_layers(reports.consumer(each)) for each in watched if each.rtp.kind == "video"]
    return {
        "peer": peer.id[:8],
        "room": room.id[:8],
        "name": state.nickname or "",
        "in": _kilobits(link.rate_in),
        "out": _kilobits(link.rate_out),
        "loss": round(100 * link.loss, 1),
        "rtt": round(link.rtt, 1),
        "estimate": _kilobits(link.estimate),
        "layers": " ".join(layers[:_MOST_LAYERS]) + (" …" if len(layers) > _MOST_LAYERS else ""),
        "score": min((stream["score"] for stream in sent), default=None),
    }


def _layers(figures: Any) -> str:
    spatial, temporal = figures.get("spatialLayer"), figures.get("temporalLayer")
    return "-" if spatial is None else f"{spatial}/{temporal}"


def _kilobits(bits: int) -> int:
    return round(bits / 1000)


def room_dump(room: LiveRoom) -> Shape:
    """A room without what its other dumps have."""
    return {
        "id": room.id,
        "createdAt": int(room.created_at),
        "lastN": room.state.last_n.n,
        "peerIds": list(room.peers),
        "producers": len(room.producers),
        "consumers": len(room.consumers),
        "missingConsumers": room.state.missing,
        "workerPorts": [host.engine.port for host in room.placement.used],
    }


def peer_dump(room: LiveRoom, peer: LivePeer) -> Shape:
    """A peer: what the others see of it, its life, its objects. Its token is not shown."""
    state = room.state.peers[peer.id]
    return {
        **state.info(),
        "roles": roles(state.role),
        "roomId": room.id,
        "state": peer.presence,
        "joined": state.joined,
        "invitedAt": int(peer.attendance.invited),
        "address": peer.address,
        "transports": [
            {
                "id": transport.id,
                "type": "webrtc" if isinstance(transport, WebRtcTransport) else "plain",
                "state": transport.state.value,
                "producing": transport.producing,
                "consuming": transport.consuming,
            }
            for transport in peer.transports.values()
        ],
        "producerIds": list(state.producers),
        "consumerIds": [consumer.id for consumer in state.consumers.values()],
    }


def roles(role: Role) -> str:
    """``publisher+moderator``"""
    return "+".join(str(each.name).lower() for each in Role if each in role)


def age(seconds: float) -> str:
    """``42 s``, ``3 min``, ``5 h``, ``2 d``"""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"
