"""The tables of the admin page: the server, its rooms, a room's peers, a peer's streams.

Rows are for programs: bitrates in bit/s, losses as shares of 1, round trips in milliseconds, ages
in seconds. ``overview`` has rows for terminals.

A table is made in several turns of the loop. Of long ones a ``Cut`` takes the part that is asked
for, so that an answer is bounded however many rooms and peers there are.
"""

import time
from collections.abc import Iterable, Sequence

import attrs

from meet_trio.collector import resident_memory
from meet_trio.errors import BadRequest
from meet_trio.live.peer import LivePeer
from meet_trio.live.registry import Registry
from meet_trio.live.room import LiveRoom
from meet_trio.live.streams import LiveConsumer, LiveProducer
from meet_trio.media.engines import EngineHost
from meet_trio.media.plain import Transport
from meet_trio.media.transport import WebRtcTransport
from meet_trio.operator.explain import MOST_CONSUMERS, reason_of
from meet_trio.operator.figures import Reports, streams
from meet_trio.operator.links import links_of
from meet_trio.operator.overview import roles
from meet_trio.operator.shapes import Shape, ice_state
from meet_trio.turns import Turns

MOST_ROWS = 200
"""Rows of a table in one answer."""

MOST_FIND = 100
"""Characters of a text to look for."""


@attrs.frozen
class Row:
    """``texts``: where a filter looks, in lower case."""

    values: Shape
    texts: str


@attrs.frozen
class Cut:
    """The part of a table that is asked for: rows that contain ``find``, in the order of the column
    ``sort``.
    """

    find: str = ""
    sort: str = ""
    descending: bool = False
    offset: int = 0
    limit: int = MOST_ROWS

    def of(self, rows: Sequence[Row]) -> Shape:
        """``{"total", "found", "offset", "rows"}``. Raises BadRequest for an unknown column."""
        wanted = self.find.lower()
        found = [row.values for row in rows if wanted in row.texts]
        if self.sort and found:
            if not isinstance(found[0].get(self.sort, ()), str | int | float | None):
                raise BadRequest(f"sort: there is no column {self.sort[:40]!r}")
            found.sort(key=self._key, reverse=self.descending)
        return {
            "total": len(rows),
            "found": len(found),
            "offset": self.offset,
            "rows": found[self.offset : self.offset + min(self.limit, MOST_ROWS)],
        }

    def _key(self, values: Shape) -> tuple[bool, object]:
        """What is not known comes last."""
        value = values[self.sort]
        return ((value is None) is not self.descending, "" if value is None else value)


def server_shape(registry: Registry, reports: Reports, reasons: Sequence[str]) -> Shape:
    """The server at a glance. Counters only rise; rates are the reader's to compute."""
    return {
        "healthy": not reasons,
        "reasons": list(reasons),
        "draining": registry.draining,
        "rooms": len(registry.rooms),
        "peers": registry.count_peers(),
        "memory": resident_memory(),
        "engines": [_engine(host, reports) for host in registry.context.hosts],
    }


def _engine(host: EngineHost, reports: Reports) -> Shape:
    figures = reports.engine(host)
    return {
        "port": host.engine.port,
        "failed": host.failed,
        "peers": host.peers,
        "busySeconds": figures.get("busy_us", 0) / 1e6,
        "bytesIn": figures.get("bytes_in", 0),
        "bytesOut": figures.get("bytes_out", 0),
    }


async def room_table(registry: Registry, reports: Reports, turns: Turns) -> list[Row]:
    """A row for each room. Losses and round trips are those of its worst link."""
    rows = []
    for room in list(registry.rooms.values()):
        if not room.state.closed:
            rows.append(await _room_row(room, reports, turns))
    return rows


async def _room_row(room: LiveRoom, reports: Reports, turns: Turns) -> Row:
    states = dict.fromkeys(("connected", "away", "invited"), 0)
    texts = [room.id]
    links = []
    for peer in _peers(room):
        if (state := room.state.peers.get(peer.id)) is None:
            continue  # it has left meanwhile
        states[peer.presence] += 1
        texts += [peer.id, state.nickname or ""]
        links.append(links_of(peer, reports))
        await turns.spend(1 + len(peer.transports))
    values: Shape = {
        "id": room.id,
        "age": max(0.0, time.time() - room.created_at),
        **states,
        "producers": len(room.producers),
        "consumers": len(room.consumers),
        "in": sum(link.rate_in for link in links),
        "out": sum(link.rate_out for link in links),
        "loss": max((link.loss for link in links), default=0.0),
        "rtt": max((link.rtt for link in links), default=0.0),
        "engines": [host.engine.port for host in room.placement.used],
    }
    await turns.spend()
    return Row(values, "\n".join(texts).lower())


def room_sums(peers: Iterable[Row]) -> Shape:
    """A room's bitrates, and its worst loss and round trip, out of the rows of its peers."""
    rows = [row.values for row in peers]
    worst = {name: max((row[name] for row in rows), default=0) for name in ("loss", "rtt")}  # type: ignore[type-var]
    return {name: sum(row[name] for row in rows) for name in ("in", "out")} | worst  # type: ignore[misc]


async def peer_table(room: LiveRoom, reports: Reports, turns: Turns) -> list[Row]:
    """A row for each peer of a room."""
    rows = []
    for peer in _peers(room):
        if peer.id in room.state.peers:
            values = peer_values(room, peer, reports)
            texts = f"{peer.id}\n{values['name']}\n{peer.address}".lower()
            rows.append(Row(values, texts))
            await turns.spend(1 + len(peer.transports))
    return rows


def _peers(room: LiveRoom) -> Iterable[LivePeer]:
    return list(room.peers.values())


def peer_values(room: LiveRoom, peer: LivePeer, reports: Reports) -> Shape:
    """A peer, and its links as one: sums, and of loss and round trip the worst."""
    state = room.state.peers[peer.id]
    link = links_of(peer, reports)
    producers = [room.producers[producer_id] for producer_id in state.producers]
    return {
        "id": peer.id,
        "name": state.nickname or "",
        "role": roles(state.role),
        "state": peer.presence,
        "joined": state.joined,
        "age": max(0.0, time.time() - peer.attendance.invited),
        "address": peer.address,
        "in": link.rate_in,
        "out": link.rate_out,
        "loss": link.loss,
        "rtt": link.rtt,
        "estimate": link.estimate,
        "sends": " ".join(_sent(producer) for producer in producers),
        "consumers": len(state.consumers),
    }


def _sent(producer: LiveProducer) -> str:
    source: str = producer.state.source
    if source == "screen" and producer.state.rtp.kind == "audio":
        source = "screen-audio"
    return f"{source}-paused" if producer.state.paused else source


async def peer_shape(room: LiveRoom, peer: LivePeer, reports: Reports, turns: Turns) -> Shape:
    """All that is known of one peer. Of what it sends and gets, ``MOST_CONSUMERS`` each."""
    state = room.state.peers[peer.id]
    shape = peer_values(room, peer, reports)
    shape["transports"] = [_transport(each, reports) for each in peer.transports.values()]
    producers = [room.producers[each] for each in list(state.producers)[:MOST_CONSUMERS]]
    shape["producers"] = [_producer(each, reports) for each in producers]
    await turns.spend(len(producers))
    rows = []
    for each in list(state.consumers.values())[:MOST_CONSUMERS]:
        if (consumer := room.consumers.get(each.id)) is not None:
            rows.append(_consumer(room, consumer, reports))
            await turns.spend(4)
    shape["watched"] = rows
    return shape


def _transport(transport: Transport, reports: Reports) -> Shape:
    figures = reports.transport(transport)
    ip, port = figures.get("address") or ("", 0)
    return {
        "id": transport.id,
        "type": "webrtc" if isinstance(transport, WebRtcTransport) else "plain",
        "direction": "sends" if transport.producing else "receives",
        "state": transport.state.value,
        "ice": ice_state(transport, figures),
        "protocol": figures.get("protocol"),
        "address": f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}" if ip else "",
        "in": figures.get("recvBitrate", 0),
        "out": figures.get("sendBitrate", 0),
        "loss": figures.get("outgoingLoss", 0.0),
        "rtt": figures.get("roundTripTime", 0.0),
        "estimate": figures.get("availableOutgoingBitrate", 0),
        "wanted": figures.get("wantedBitrate", 0),
        "traced": transport.host.traces(transport.number),
    }


def _producer(producer: LiveProducer, reports: Reports) -> Shape:
    figures = reports.producer(producer)
    return {
        "id": producer.state.id,
        "kind": producer.state.rtp.kind,
        "source": producer.state.source,
        "paused": producer.state.paused,
        "viewers": len(producer.state.consumers),
        "layers": [
            {
                "active": stream["active"],
                "bitrate": stream["bitrate"],
                "width": stream["width"],
                "height": stream["height"],
                "score": stream["score"],
            }
            for stream in streams(figures)
        ],
    }


def _consumer(room: LiveRoom, consumer: LiveConsumer, reports: Reports) -> Shape:
    figures = reports.consumer(consumer)
    producer, state = consumer.producer.state, consumer.state
    publisher = room.state.peers.get(producer.peer_id)
    preferred = state.preferred
    why = reason_of(room, consumer, reports.engines)
    return {
        "id": state.id,
        "kind": consumer.rtp.kind,
        "source": producer.source,
        "publisher": producer.peer_id,
        "publisherName": (publisher.nickname or "") if publisher else "",
        "reason": why.value,
        "trouble": why.is_trouble,
        "layers": len(streams(reports.producer(consumer.producer))),
        "spatial": figures.get("spatialLayer"),
        "temporal": figures.get("temporalLayer"),
        "target": figures.get("targetLayer"),
        "preferred": None if preferred is None else preferred.spatial,
        "bitrate": figures.get("bitrate", 0),
        "loss": figures.get("fractionLost", 0.0),
        "score": figures.get("score"),
        "freezes": figures.get("freezeCount", 0),
    }
