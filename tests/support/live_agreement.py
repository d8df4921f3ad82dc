"""Compares a room's state, its tasks, its hosts and their engines."""

from support.live_fakes import World

from meet_trio.live.offers import Offer
from meet_trio.live.room import LiveRoom
from meet_trio.media.transport import TransportState, WebRtcTransport


def disagreements(world: World) -> list[str]:
    """All differences between them, in words; empty if they agree."""
    found: list[str] = []

    def same(what: str, one: object, other: object) -> None:
        if one != other:
            found.append(f"{what}: {one} and {other}")

    rooms = list(world.registry.rooms.values())
    for room in rooms:
        _room(room, same)
    producers = [p for room in rooms for p in room.producers.values()]
    consumers = [c for room in rooms for c in room.consumers.values()]
    peers = [peer for room in rooms for peer in room.peers.values()]
    transports = [t for peer in peers for t in peer.transports.values()]
    for host, engine in zip(world.hosts, world.engines, strict=True):
        where = f"engine {engine.port}"
        own = [t for t in transports if t.host is host]
        here = [p for p in producers if p.transport.host is host]
        viewed = [c for c in consumers if c.transport.host is host]
        foreign = {c.producer for c in viewed if c.producer.transport.host is not host}
        shown = {
            (p.number, c.transport.host.engine.port)
            for p in here
            for c in consumers
            if c.producer is p and c.transport.host is not host
        }
        same(f"{where}, transports", set(engine.transports), {t.number for t in own})
        same(f"{where}, watched transports", set(host._transports), {t.number for t in own})
        for t in own:
            if isinstance(t, WebRtcTransport):
                ice = (t.ice.username_fragment, t.ice.password)
                same(f"{where}, ICE of {t.number}", engine.transports.get(t.number), ice)
                connected = t.state is TransportState.CONNECTED
                same(f"{where}, keys of {t.number}", t.number in engine.srtp, connected)
        same(f"{where}, producers", engine.producers, {p.number: p.transport.number for p in here})
        same(f"{where}, watched producers", set(host._producers), {p.number for p in here})
        same(f"{where}, mirrors", engine.mirrors, {p.number for p in foreign})
        same(f"{where}, relays", engine.relays, shown)
        same(
            f"{where}, pauses of producers",
            engine.producer_paused,
            {p.number: p.state.paused for p in (*here, *foreign)},
        )
        same(
            f"{where}, consumers",
            engine.consumers,
            {c.number: (c.transport.number, c.producer.number) for c in viewed},
        )
        same(f"{where}, watched consumers", set(host._consumers), {c.number for c in viewed})
        same(
            f"{where}, pauses of consumers",
            engine.consumer_paused,
            {c.number: c._held for c in viewed},
        )
    return found


def _room(room: LiveRoom, same: object) -> None:
    assert callable(same)
    live = {p.number: p for p in room.producers.values()}
    same("peers", set(room.state.peers), set(room.peers))
    same("producers", set(room.state.producers), set(room.producers))
    same("producers by number", live, room.streams.producer_numbers)
    same("consumers", set(room.state.consumers), set(room.consumers))
    same(
        "consumers by number",
        {c.number: c for c in room.consumers.values()},
        room.streams.consumer_numbers,
    )
    ssrcs = [ssrc for c in room.consumers.values() for ssrc in c.ssrcs()]
    same("SSRCs", sorted(ssrcs), sorted(room.streams.ssrcs))
    receivers = {id for id, peer in room.peers.items() if peer.receiving_transport() is not None}
    same("receivers", receivers, {id for id, peer in room.state.peers.items() if peer.receiving})
    for consumer in room.consumers.values():
        producer = room.producers.get(consumer.state.producer_id)
        same(f"producer of {consumer.number}", consumer.producer, producer)
        peer = room.peers.get(consumer.state.peer_id)
        alive = peer is not None and consumer.transport.id in peer.transports
        same(f"transport of {consumer.number} lives", alive, True)
    for peer in room.peers.values():
        offers = [offer for offer in open_offers(room) if offer.peer is peer]
        unanswered = [
            c for c in room.consumers.values() if c.state.peer_id == peer.id and not c.accepted
        ]
        same(f"offers to {peer.id}", len(offers), len(unanswered))


def open_offers(room: LiveRoom) -> list[Offer]:
    """Those that are not answered."""
    offers = room.offers
    return [*offers._asked.values(), *offers._again.values(), *offers._parked.values()]
