"""Why a viewer gets what it gets: in sentences, one fact each, and as JSON.

    live objects, figures ──▶ Facts ──▶ reason ──▶ sentences

``reason`` is the first of these that holds: no figures, the transport is not connected, nothing is
forwarded because somebody has paused or the server holds back, the publisher sends nothing, the
link has no room, a key frame is awaited; then what keeps the next layer away: the link, the
client's wish, the publisher; else nothing does. ``docs/explain.md`` shows each.

All of it is made from figures of one moment. Ages and rates are the engine's.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

import attrs

from meet_trio.live.figures import EngineFigures, figures_of
from meet_trio.live.peer import LivePeer
from meet_trio.live.room import LiveRoom
from meet_trio.live.streams import LiveConsumer, LiveProducer
from meet_trio.media.plain import PlainTransport, Transport
from meet_trio.media.transport import TransportState
from meet_trio.room import Layers

MOST_CONSUMERS = 64
"""Consumers and producers of a peer that are explained, each. The others are counted."""

_USUAL_PRIORITY = 1  # of consumers whose client has not asked for another, but for screens


class Why(Enum):
    """Why it is so. The value is for programs."""

    UNKNOWN = "unknown"
    NOT_CONNECTED = "not connected"
    UNANSWERED = "not answered"
    PAUSED = "paused by the client"
    PRODUCER_PAUSED = "paused by the publisher"
    HELD_BACK = "held back by last-N"
    NO_PACKETS = "no packets from the publisher"
    NO_ROOM = "no room on the link"
    KEY_FRAME = "a key frame is awaited"
    LINK = "limited by the link"
    PREFERRED = "limited by the client's wish"
    PUBLISHER = "limited by the publisher"
    NOTHING = "nothing is held back"

    @property
    def is_trouble(self) -> bool:
        """Whether it is so although nobody wants it."""
        return self in _TROUBLES


_TROUBLES = frozenset(
    {
        Why.UNKNOWN,
        Why.NOT_CONNECTED,
        Why.UNANSWERED,
        Why.NO_PACKETS,
        Why.NO_ROOM,
        Why.KEY_FRAME,
        Why.LINK,
    }
)


@attrs.frozen
class Facts:
    """What the server knows of one consumer. The mappings are the engines' figures, empty if there
    are none. ``others``: the kinds of all other consumers on the same transport.
    """

    consumer: str
    viewer: str
    producer: str
    publisher: str
    kind: str
    source: str
    state: TransportState
    plain: bool
    answered: bool
    paused: bool
    producer_paused: bool
    paused_by_peer: bool
    held_back: bool
    last_n: int | None
    preferred: Layers | None
    priority: int
    own: Mapping[str, Any]
    link: Mapping[str, Any]
    sent: Mapping[str, Any]
    others: Sequence[str] = ()

    @property
    def streams(self) -> Sequence[Mapping[str, Any]]:
        """The publisher's encodings, the lowest first."""
        streams: Sequence[Mapping[str, Any]] = self.sent.get("streams", ())
        return streams

    @property
    def has_no_path(self) -> bool:
        """Whether nothing can leave, although the transport was connected."""
        return bool(self.link) and self.link["address"] is None

    @property
    def active(self) -> list[int]:
        """The encodings that arrive."""
        return [i for i, stream in enumerate(self.streams) if stream["active"]]


@attrs.frozen
class Explanation:
    """``about`` has the ids, ``facts`` the values that the sentences speak of."""

    about: Mapping[str, str]
    reason: Why | None
    sentences: tuple[str, ...]
    facts: Mapping[str, Any]

    def head(self) -> tuple[str, ...]:
        """What is sent, and why."""
        return self.sentences[:2]

    def text(self) -> str:
        return "\n".join(self.sentences)

    def to_json(self) -> dict[str, Any]:
        return {
            **self.about,
            "reason": None if self.reason is None else self.reason.value,
            "sentences": list(self.sentences),
            "facts": dict(self.facts),
        }


def explain_consumer(room: LiveRoom, consumer: LiveConsumer, figures: EngineFigures) -> Explanation:
    """``figures``: of the engines that the consumer and its producer are on."""
    return explain_facts(_gather(room, consumer, figures))


def reason_of(room: LiveRoom, consumer: LiveConsumer, figures: EngineFigures) -> Why:
    """The reason alone, see ``explain_consumer``."""
    return _find_reason(_gather(room, consumer, figures))


def explain_peer(room: LiveRoom, peer: LivePeer, figures: EngineFigures) -> Explanation:
    """The peer's transports, what it sends, and what it gets, the worst first."""
    producers = [p for p in room.producers.values() if p.state.peer_id == peer.id]
    consumers = [c for c in room.consumers.values() if c.state.peer_id == peer.id]
    explained = [explain_consumer(room, c, figures) for c in consumers[:MOST_CONSUMERS]]
    order = list(Why)
    explained.sort(key=lambda e: order.index(e.reason or Why.UNKNOWN))
    state = room.state.peers.get(peer.id)
    joined = state is not None and state.joined
    sentences = [
        f"Peer {peer.id} {'has joined' if joined else 'has not joined'} room {room.id}; its "
        f"signaling is {'connected' if peer.connection is not None else 'not connected'}."
    ]
    for transport in peer.transports.values():
        sentences += _transport_sentences(transport, figures)
    for producer in producers[:MOST_CONSUMERS]:
        sentences += _producer_sentences(producer, figures)
    sentences += [f"{each.about['consumer']}: {line}" for each in explained for line in each.head()]
    for name, all_of_them in (("producers", producers), ("consumers", consumers)):
        if (more := len(all_of_them) - MOST_CONSUMERS) > 0:
            sentences.append(f"{more} more {name} are left out here.")
    if not consumers:
        sentences.append("It gets nothing: " + _why_no_consumers(room, peer))
    return Explanation(
        {"room": room.id, "peer": peer.id},
        None,
        tuple(sentences),
        {
            "joined": joined,
            "connected": peer.connection is not None,
            "transports": {t.id: t.state.value for t in peer.transports.values()},
            "producers": [p.state.id for p in producers[:MOST_CONSUMERS]],
            "consumers": [each.to_json() for each in explained],
        },
    )


def explain_facts(facts: Facts) -> Explanation:
    reason = _find_reason(facts)
    sentences = (
        _what(facts, reason),
        _why(facts, reason),
        *_next_step(facts, reason),
        *_of_publisher(facts),
        *_of_client(facts),
        *_of_server(facts),
        *_of_link(facts),
        *_of_repair(facts),
    )
    about = {
        "consumer": facts.consumer,
        "viewer": facts.viewer,
        "producer": facts.producer,
        "publisher": facts.publisher,
    }
    told = attrs.asdict(
        facts,
        filter=attrs.filters.exclude("consumer", "viewer", "producer", "publisher", "others"),
        recurse=False,
    )
    preferred = facts.preferred
    told |= {
        "state": facts.state.value,
        "preferred": preferred and {"spatial": preferred.spatial, "temporal": preferred.temporal},
        "otherConsumers": len(facts.others),
    }
    return Explanation(about, reason, sentences, told)


# ---- gathering ----


def _gather(room: LiveRoom, consumer: LiveConsumer, figures: EngineFigures) -> Facts:
    transport, producer, state = consumer.transport, consumer.producer, consumer.state
    viewer = room.state.peers.get(state.peer_id)
    own = [] if viewer is None else [room.consumers[c.id] for c in viewer.consumers.values()]
    others = [c.rtp.kind for c in own if c.transport is transport and c is not consumer]
    return Facts(
        consumer=state.id,
        viewer=state.peer_id,
        producer=producer.state.id,
        publisher=producer.state.peer_id,
        kind=consumer.rtp.kind,
        source=producer.state.source,
        state=transport.state,
        plain=isinstance(transport, PlainTransport),
        answered=consumer.accepted or consumer.rtp.kind == "audio",
        paused=state.paused,
        producer_paused=producer.state.paused,
        paused_by_peer=producer.state.paused_by_peer,
        held_back=state.held_back,
        last_n=room.state.last_n.n,
        preferred=state.preferred,
        priority=state.priority,
        own=figures_of(figures, transport.host, "consumers", consumer.number),
        link=figures_of(figures, transport.host, "transports", transport.number),
        sent=figures_of(figures, producer.transport.host, "producers", producer.number),
        others=others,
    )


# ---- the reason ----


def _find_reason(facts: Facts) -> Why:
    own = facts.own
    held = [
        (facts.state is not TransportState.CONNECTED, Why.NOT_CONNECTED),
        (not own or not facts.sent or not facts.link, Why.UNKNOWN),
        (facts.has_no_path, Why.NOT_CONNECTED),
        (facts.paused, Why.PAUSED),
        (not facts.answered, Why.UNANSWERED),
        (facts.producer_paused, Why.PRODUCER_PAUSED),
        (facts.held_back, Why.HELD_BACK),
        (not facts.active, Why.NO_PACKETS),
    ]
    for holds, reason in held:
        if holds:
            return reason
    if facts.kind == "audio":
        return Why.NOTHING
    if own["allowedLayer"] is None:
        return Why.NO_ROOM
    if own["spatialLayer"] is None or own["targetLayer"] not in (None, own["spatialLayer"]):
        return Why.KEY_FRAME
    if own["nextLayer"] is not None:
        return Why.LINK
    if facts.preferred is not None and _wish_withholds(facts, facts.preferred):
        return Why.PREFERRED
    if len(facts.active) < len(facts.streams):
        return Why.PUBLISHER
    return Why.NOTHING


def _wish_withholds(facts: Facts, preferred: Layers) -> bool:
    """Whether the publisher sends more than the client has asked for."""
    stream = facts.streams[facts.own["spatialLayer"]]
    simulcast = len(facts.streams) > 1
    highest = max(facts.active) if simulcast else stream["spatialLayers"] - 1
    if preferred.spatial < highest:
        return True
    return preferred.temporal is not None and preferred.temporal < stream["temporalLayers"] - 1


# ---- sentences about a consumer ----


def _what(facts: Facts, reason: Why) -> str:
    thing = {"mic": "the sound", "webcam": "the camera", "screen": "the screen"}[facts.source]
    if facts.source != "mic" and facts.kind == "audio":
        thing = f"the sound of {thing}"
    whom = f"Peer {facts.viewer} gets {thing} of peer {facts.publisher}"
    layer = facts.own.get("spatialLayer") or 0
    forwards = reason is Why.KEY_FRAME or reason.value.startswith("limited")
    forwards = forwards or reason is Why.NOTHING
    if not forwards or facts.own["spatialLayer"] is None:
        return f"{whom}: nothing now."
    rate = _rate(facts.own["bitrate"])
    if facts.kind == "audio":
        return f"{whom}: {rate}."
    one = len(facts.streams) == 1
    stream = facts.streams[0 if one else layer]
    shown = "its only encoding" if one else f"layer {layer} of 0 to {len(facts.streams) - 1}"
    size = f" ({stream['width']}x{stream['height']})" if stream["width"] else ""
    for_long = _since(facts.own["layerAge"])
    layers = stream["temporalLayers"]
    upto = f" up to temporal layer {facts.own['temporalLayer']} of 0 to {layers - 1}"
    return f"{whom}: {shown}{size}{upto if layers > 1 else ''}, {rate}{for_long}."


def _why(facts: Facts, reason: Why) -> str:
    own = facts.own
    match reason:
        case Why.UNKNOWN:
            return "The engine has told no figures of it: it was made a moment ago, or has failed."
        case Why.NOT_CONNECTED if facts.state is TransportState.CONNECTED:
            return "Its client has fallen silent: there is no path to it any more."
        case Why.NOT_CONNECTED:
            return _why_not_connected(facts.state, plain=facts.plain)
        case Why.UNANSWERED:
            return "Its client has not answered newConsumer yet; video flows from then on."
        case Why.PAUSED:
            return "Its client has paused it (pauseConsumer)."
        case Why.PRODUCER_PAUSED if facts.paused_by_peer:
            return "The publisher has paused it (pauseProducer)."
        case Why.PRODUCER_PAUSED:
            return "The publisher has lost the role PUBLISHER."
        case Why.HELD_BACK:
            return (
                f"Last-N holds it back: this room forwards the cameras of {facts.last_n} latest "
                "speakers, and the publisher is not one of them."
            )
        case Why.NO_PACKETS if any(stream["packetCount"] for stream in facts.streams):
            return "The publisher sends no packets any more."
        case Why.NO_PACKETS:
            return "No packet of the publisher has ever come."
        case Why.NO_ROOM:
            return f"The link has no room for any layer{_since(own['allowedAge'])}."
        case Why.KEY_FRAME:
            asked = sum(stream["pliCount"] for stream in facts.streams)
            return (
                f"A key frame of layer {own['targetLayer']} is awaited; the publisher was asked "
                f"for {asked} so far."
            )
        case Why.LINK:
            return (
                f"The link has room for layer {own['allowedLayer']} up to temporal layer "
                f"{own['allowedTemporalLayer']}{_since(own['allowedAge'])}."
            )
        case Why.PREFERRED:
            return "Its client has asked for no more."
        case Why.PUBLISHER:
            return "It is the best that the publisher sends now."
        case Why.NOTHING if facts.kind == "audio":
            return "Sound has no layers; nothing holds it back."
        case Why.NOTHING:
            return "It is the best that there is; nothing holds it back."


def _why_not_connected(state: TransportState, *, plain: bool) -> str:
    if plain:
        return "Its plain transport does not know yet where to send: no connect, no packet came."
    return {
        TransportState.NEW: "Its client has not connected the transport yet (no connect request).",
        TransportState.CONNECTING: "Its transport is connecting: ICE or DTLS is not done.",
    }.get(state, "Its transport has ended.")


def _next_step(facts: Facts, reason: Why) -> Iterator[str]:
    """What would have to change for more."""
    own, link = facts.own, facts.link
    if reason in (Why.LINK, Why.NO_ROOM) and own["nextLayer"] is not None:
        yield (
            f"The next step is layer {own['nextLayer']} up to temporal layer "
            f"{own['nextTemporalLayer']}, which takes {_rate(own['nextLayerBitrate'])}."
        )
        needs, estimate = own["nextLayerNeeds"], link["availableOutgoingBitrate"]
        if needs > estimate:
            yield f"It needs an estimate of {_rate(needs)}; the estimate is {_rate(estimate)}."
        else:
            yield f"The estimate of {_rate(estimate)} is enough for the {_rate(needs)} it needs."
        if own["nextLayerWait"]:
            wait = own["nextLayerWait"] / 1000
            yield f"It has to wait for {_age(wait)}, because a layer has changed lately."
    elif reason is Why.PREFERRED:
        yield "More comes when the client asks for more (setConsumerPreferredLayers)."
    elif reason is Why.PUBLISHER:
        missing = [i for i in range(len(facts.streams)) if i not in facts.active]
        yield (
            f"Layer {' and '.join(map(str, missing))} comes when the publisher sends it: its own "
            "link, its processor and its picture's size decide."
        )


def _of_publisher(facts: Facts) -> Iterator[str]:
    if facts.kind == "audio":
        for stream in facts.streams[:1]:
            yield f"The publisher sends {_rate(stream['bitrate'])}, {_lost(stream)}."
        return
    for number, stream in enumerate(facts.streams):
        name = f"layer {number}" if len(facts.streams) > 1 else "one encoding"
        if not stream["active"]:
            ever = "does not send" if stream["packetCount"] else "has never sent"
            yield f"The publisher {ever} {name}{' any more' if stream['packetCount'] else ''}."
            continue
        size = f" of {stream['width']}x{stream['height']}" if stream["width"] else ""
        yield f"The publisher sends {name}{size} at {_rate(stream['bitrate'])}, {_lost(stream)}."


def _lost(stream: Mapping[str, Any]) -> str:
    expected = stream["packetCount"] + max(0, stream["packetsLost"])
    share = max(0, stream["packetsLost"]) / expected if expected else 0.0
    return f"{share:.1%} of it lost on the way here, before repair" if share else "nothing lost"


def _of_client(facts: Facts) -> Iterator[str]:
    if facts.kind == "video":
        if facts.preferred is None:
            yield "The client has asked for no particular layers, so for the highest."
        else:
            temporal = facts.preferred.temporal
            upto = "" if temporal is None else f" up to temporal layer {temporal}"
            yield f"The client has asked for layer {facts.preferred.spatial}{upto} at most."
        if facts.priority != _USUAL_PRIORITY:
            yield f"Its priority is {facts.priority}: streams with less come after it."
    if facts.paused:
        yield "The client has paused it."


def _of_server(facts: Facts) -> Iterator[str]:
    if not facts.answered:
        yield "The server waits for the client's answer to newConsumer."
    if facts.held_back:
        yield "The server holds it back (last-N)."
    if facts.producer_paused:
        yield "The producer is paused."


def _of_link(facts: Facts) -> Iterator[str]:
    link = facts.link
    if not link or facts.has_no_path or facts.state is not TransportState.CONNECTED:
        return
    yield _path(link, plain=facts.plain)
    if facts.kind == "audio":
        yield "Sound is not part of the estimate: it goes on when video has no room."
        return
    estimate = link["availableOutgoingBitrate"]
    if not estimate:
        yield "The link is not estimated, because the client reports nothing about it."
        yield "So each layer is allowed."
        return
    yield f"The estimate of the link is {_rate(estimate)}: {_cause(link)}."
    yield (
        f"The client's streams could use {_rate(link['wantedBitrate'])}, and "
        f"{_rate(link['allocatedBitrate'])} are allocated."
    )
    if facts.others:
        video = facts.others.count("video")
        yield (
            f"It shares the link with {_count(len(facts.others), 'other consumer')}, {video} of "
            f"video; all that leaves for the client is {_rate(link['sendBitrate'])}."
        )
    if link["maxOutgoingBitrate"]:
        yield f"The client has capped the link at {_rate(link['maxOutgoingBitrate'])}."
    if link["remb"]:
        yield f"The client's last REMB is {_rate(link['remb'])}."
    if link["lastProbe"]:
        result = _PROBES[link["lastProbe"]]
        rate, ago = _rate(link["lastProbeBitrate"]), _age(link["lastProbeAge"])
        yield f"The last probe, {ago} ago at {rate}, {result}."


_CAUSES = {
    "start": "it is the value at the start, and nothing was measured for {age}",
    "delay": "it fell {age} ago, because a queue grew",
    "loss": "it fell {age} ago, because loss grew with the rate",
    "growth": "it has grown for {age}, because nothing queues",
    "probe": "a probe has shown it {age} ago",
    "remb": "the client has asked for it by REMB for {age}",
    "limit": "it has been at the client's cap for {age}",
    "silence": "it fell {age} ago, because no feedback comes",
    "path": "the client moved to another address {age} ago",
}
_PROBES = {
    "fits": "fitted",
    "too much": "did not fit",
    "unsure": "showed nothing for certain",
}


def _cause(link: Mapping[str, Any]) -> str:
    return _CAUSES[link["estimateCause"]].format(age=_age(link["estimateCauseAge"] or 0.0))


def _path(link: Mapping[str, Any], *, plain: bool) -> str:
    if link["address"] is None:
        return "There is no path to it now."
    ip, port = link["address"]
    where = f"[{ip}]:{port}" if ":" in str(ip) else f"{ip}:{port}"
    how = "plain RTP" if plain else str(link["protocol"]).upper()
    parts = [f"The link goes by {how} to {where}"]
    if link["roundTripTime"]:
        parts.append(f"the round trip is {link['roundTripTime']:.0f} ms")
    return "; ".join(parts) + "."


def _of_repair(facts: Facts) -> Iterator[str]:
    """Loss on the way to the client, and what is done about it."""
    own, link = facts.own, facts.link
    if not own or not link or facts.state is not TransportState.CONNECTED:
        return
    loss = max(own["fractionLost"], link["outgoingLoss"])
    yield (
        f"{loss:.1%} of the packets to the client are lost; {own['packetsRetransmitted']} were "
        f"sent again, and it has sent {own['nackCount']} NACKs and {own['pliCount']} PLIs."
    )
    if link["queueDelay"] >= 1:
        yield f"Packets wait for {link['queueDelay']:.0f} ms in front of the client."
    if own["redundancy"]:
        yield f"{own['redundancy']:.0%} more bytes are sent twice at once because of losses."
    if own["playoutDelay"]:
        yield f"The client is asked to show pictures {own['playoutDelay']:.0f} ms later."


# ---- sentences about a peer ----


def _transport_sentences(transport: Transport, figures: EngineFigures) -> Iterator[str]:
    use = "sending" if transport.producing else "receiving"
    plain = isinstance(transport, PlainTransport)
    if transport.state is not TransportState.CONNECTED:
        why = _why_not_connected(transport.state, plain=plain)
        yield f"Its {use} transport {transport.id} is not connected. {why}"
        return
    link = figures_of(figures, transport.host, "transports", transport.number)
    if not link:
        yield f"Its {use} transport {transport.id} is connected; the engine has told no figures."
        return
    yield (
        f"Its {use} transport {transport.id} is connected: {_rate(link['recvBitrate'])} in, "
        f"{_rate(link['sendBitrate'])} out."
    )
    yield _path(link, plain=plain)
    if link["availableOutgoingBitrate"]:
        yield (
            f"The estimate towards it is {_rate(link['availableOutgoingBitrate'])}: "
            f"{_cause(link)}; {_rate(link['wantedBitrate'])} could be used."
        )


def _producer_sentences(producer: LiveProducer, figures: EngineFigures) -> Iterator[str]:
    host, number = producer.transport.host, producer.number
    sent = figures_of(figures, host, "producers", number)
    streams = sent.get("streams", ())
    rates = [
        f"layer {i} {_rate(stream['bitrate'])}" if len(streams) > 1 else _rate(stream["bitrate"])
        for i, stream in enumerate(streams)
        if stream["active"]
    ]
    paused = " It is paused." if producer.state.paused else ""
    viewers = _count(len(producer.state.consumers), "consumer")
    yield (
        f"It sends its {producer.state.source} ({producer.state.id}) to {viewers}: "
        f"{', '.join(rates) or 'no packets'}.{paused}"
    )


def _why_no_consumers(room: LiveRoom, peer: LivePeer) -> str:
    state = room.state.peers.get(peer.id)
    if state is None:
        return "it has left."
    if not state.joined:
        return "it has not joined."
    if not state.receiving:
        return "it has no transport to receive by."
    others = any(p.state.peer_id != peer.id for p in room.producers.values())
    return "its consumers are not made yet, or it refused them." if others else "nobody else sends."


# ---- words ----


def _rate(bitrate: int) -> str:
    return f"{bitrate / 1000:,.0f} kbit/s"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _age(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _since(age: float | None) -> str:
    return "" if age is None else f", for {_age(age)}"
