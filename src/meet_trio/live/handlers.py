"""One handler for each request of a client.

A handler gets a parsed request and returns the ``Outcome`` to perform. If it raises, nothing has
changed. ``handle_event`` parses an event, calls the handler and performs the outcome. It turns
errors into the answers of the original server. If a client has ``details=1`` in the query of its
handshake, its answers have the reason as a third element.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

import attrs
import trio

from meet_trio.errors import BadRequest, LimitExceeded, NotFound, RequestError
from meet_trio.live.figures import room_totals
from meet_trio.live.log_errors import log_errors
from meet_trio.live.peer import Connection, LivePeer
from meet_trio.live.room import LiveRoom
from meet_trio.live.room_streams import random_ssrc
from meet_trio.media.dtls import FINGERPRINT_ALGORITHMS
from meet_trio.media.plain import PlainTransport, Transport
from meet_trio.media.transport import WebRtcTransport
from meet_trio.ortc import negotiate_producer
from meet_trio.rates import Rate
from meet_trio.room import Outcome, Request, UnknownMethod, method_name, parse_request
from meet_trio.room import requests as r
from meet_trio.socketio import Event

logger = logging.getLogger("meet_trio.live.handlers")

R = TypeVar("R")
RequestHandler = Callable[[LiveRoom, LivePeer, R], Outcome | Awaitable[Outcome]]


async def handle_event(
    room: LiveRoom, peer: LivePeer, connection: Connection, event: Event
) -> None:
    """Answer one event of a peer's socket. Events other than ``request`` are ignored.

    Requests above the rate are refused. If the client does not stop, its connection is closed.
    """
    within_rate = peer.requests.take(trio.current_time())
    if peer.requests.in_debt():
        logger.warning("too many requests, the connection is closed")
        connection.scope.cancel()
    if event.name != "request":
        return
    message = event.args[0] if event.args else None
    if not isinstance(message, dict):
        message = {}
    # the original server answers "undefined" if there is no method
    method, data = message.get("method", "undefined"), message.get("data")
    try:
        if not within_rate:
            raise LimitExceeded(
                _too_many("requests", peer.settings.requests, "limits.requests_per_second")
            )
        await _wait_for_pace(peer, connection, method)
        request = parse_request(method, data, room.context.limits, room.context.capabilities.parse)
        if isinstance(request, _ANNOUNCEMENTS):
            _check_announcements(peer)
        outcome = await _call(room, peer, request)
    except RequestError as error:
        name = method_name(method)
        logger.info("request %s refused: %s", name, error)
        known = not isinstance(error, UnknownMethod)
        answer: list[object] = [500, f"request {name} failed" if known else str(error)]
        if connection.socket.handshake.query.get("details") == "1":
            answer.append(str(error))
        event.ack(*answer)
    except Exception:
        logger.exception("request %s failed", method_name(method))
        event.ack(500, f"request {method_name(method)} failed")
    else:
        work = room.perform(outcome, lambda: event.ack(*_success(request, outcome)))
        if isinstance(request, r.Join):
            room.context.tally.join_time.add(trio.current_time() - connection.since)
        if method not in _UNPACED_METHODS:  # the work for those was caused by other peers
            peer.count_work(work, trio.current_time())


def _check_announcements(peer: LivePeer) -> None:
    if not peer.announcements.take(trio.current_time()):
        raise LimitExceeded(
            _too_many(
                "announcements", peer.settings.announcements, "limits.announcements_per_second"
            )
        )


async def _wait_for_pace(peer: LivePeer, connection: Connection, method: object) -> None:
    """Wait until the peer may cause more work, or raise LimitExceeded.

    The work that a request causes is known only afterwards. So the peer pays for it with its next
    request: after much work the next request waits, and after too much work it is refused until the
    peer is within its rate again. A refused request is not parsed.

    Moderation waits and is not refused for too much work, so a moderator can mute all peers of a
    large room. It is refused only if the moderator's socket is lost, which is known once all events
    of the socket are read.
    """
    if method in _UNPACED_METHODS:
        return
    now = trio.current_time()
    pause = peer.work_delay(now)
    if not peer.work.take(now, cost=0):
        if method not in _MODERATION:
            raise LimitExceeded(
                _too_many("messages to others", peer.settings.work, "limits.work_per_second")
            )
        pause = max(pause, peer.work.wait(now))
    if pause == 0:
        return
    if not connection.socket.connected:
        raise LimitExceeded("the socket was lost while the request would have had to wait")
    await trio.sleep(pause)


def _too_many(what: str, rate: Rate, setting: str) -> str:
    return (
        f"too many {what}: at most {rate.burst:g} at once and {rate.per_second:g} a second "
        f"({setting})"
    )


def _success(request: Request, outcome: Outcome) -> tuple[object, ...]:
    if outcome.result is not None:
        return (None, outcome.result)
    # the original server has these two forms of success
    return (None,) if isinstance(request, r.Ping | r.DumpStats) else ()


async def _call(room: LiveRoom, peer: LivePeer, request: Request) -> Outcome:
    result = _HANDLERS[type(request)](room, peer, request)
    return result if isinstance(result, Outcome) else await result


# The meeting


def _join(room: LiveRoom, peer: LivePeer, request: r.Join) -> Outcome:
    outcome = room.state.join(peer.id, request.nickname, request.rtp_capabilities)
    most = room.stays.most_joined
    first = room.stays.join(peer)
    logger.info("joined" if first else "joined again")
    if first:
        room.seat_changed(peer)
    if room.stays.most_joined != most:
        room.keeper.note("meeting", room.id)
    return outcome


def _close_room(room: LiveRoom, peer: LivePeer, request: r.CloseRoom) -> Outcome:
    return room.state.close_by(peer.id)


async def _dump_stats(room: LiveRoom, peer: LivePeer, request: r.DumpStats) -> Outcome:
    """Log the room's figures, unless they were logged within ``INTERVAL`` seconds."""
    if room.dumps.take(trio.current_time()):
        logger.info("figures of the room: %s", await room_totals(room))
    else:
        room.dumps.give_back()
    return Outcome()


# Transports


async def _create_transport(
    room: LiveRoom, peer: LivePeer, request: r.CreateWebRtcTransport
) -> Outcome:
    context = room.context
    await context.bridge.loaded()  # the first room may wait for it, for less than a second
    _check_transport_limit(peer)
    transport = WebRtcTransport(
        host=room.placement.place(peer.id),
        bridge=context.bridge,
        settings=context.transport_settings,
        addresses=await context.announced.current(),
        producing=request.producing,
        consuming=request.consuming,
        force_tcp=request.force_tcp,
        tally=context.tally,
    )
    await peer.start_transport(transport)
    return Outcome(result=transport.parameters())


def _connect_transport(
    room: LiveRoom, peer: LivePeer, request: r.ConnectWebRtcTransport
) -> Outcome:
    # The DTLS role in the request is ignored. The server offers "auto" and never starts the
    # handshake, so the client must be the DTLS client.
    usable = tuple(f for f in request.fingerprints if f.algorithm in FINGERPRINT_ALGORITHMS)
    if not usable:
        raise BadRequest(
            "dtlsParameters.fingerprints: none of " + ", ".join(sorted(FINGERPRINT_ALGORITHMS))
        )
    _webrtc_transport(peer, request.transport_id).connect(usable)
    return Outcome()


def _restart_ice(room: LiveRoom, peer: LivePeer, request: r.RestartIce) -> Outcome:
    ice = _webrtc_transport(peer, request.transport_id).restart_ice()
    return Outcome(result=ice.to_json())


async def _create_plain_transport(
    room: LiveRoom, peer: LivePeer, request: r.CreatePlainTransport
) -> Outcome:
    _check_transport_limit(peer)
    context = room.context
    transport = PlainTransport(
        host=room.placement.place(peer.id),
        ports=context.plain_ports,
        settings=context.transport_settings,
        addresses=await context.announced.current(),
        client_ip=peer.address,
        producing=request.producing,
        consuming=request.consuming,
        tally=context.tally,
    )
    await peer.start_transport(transport)
    return Outcome(result=transport.parameters())


def _connect_plain_transport(
    room: LiveRoom, peer: LivePeer, request: r.ConnectPlainTransport
) -> Outcome:
    transport = _transport(peer, request.transport_id)
    if not isinstance(transport, PlainTransport):
        raise BadRequest("transportId: not a plain transport")
    transport.connect(request.ip, request.port, request.rtcp_port)
    return Outcome()


def _check_transport_limit(peer: LivePeer) -> None:
    """Raise LimitExceeded if the peer has as many transports as it may."""
    most = peer.settings.max_transports
    if len(peer.transports) >= most:
        raise LimitExceeded(f"a peer has at most {most} transports (limits.transports_per_peer)")


def _transport(peer: LivePeer, transport_id: str) -> Transport:
    transport = peer.transports.get(transport_id)
    if transport is None:
        raise NotFound("transportId: no such transport of this peer")
    return transport


def _webrtc_transport(peer: LivePeer, transport_id: str) -> WebRtcTransport:
    transport = _transport(peer, transport_id)
    if not isinstance(transport, WebRtcTransport):
        raise BadRequest("transportId: not a WebRTC transport")
    return transport


# Streams


def _produce(room: LiveRoom, peer: LivePeer, request: r.Produce) -> Outcome:
    room.state.check_may_produce(peer.id)
    transport = _transport(peer, request.transport_id)
    if not transport.producing:
        raise BadRequest("transportId: this transport was not made for producing")
    rtp = negotiate_producer(
        request.kind,
        request.rtp_parameters,
        room.context.router_capabilities,
        random_ssrc,  # for the consumable parameters; no client ever sees these
        cname=peer.id,
        by_payload_type=isinstance(transport, PlainTransport),
    )
    room.streams.check_streams_free(peer, transport, rtp)
    producer = room.streams.add_producer(peer.id, request, rtp, transport)
    return Outcome(result={"id": producer.id})


def _pause_producer(room: LiveRoom, peer: LivePeer, producer_id: str, paused: bool) -> Outcome:
    outcome = room.state.pause_producer(peer.id, producer_id, paused)
    room.streams.apply_pause(producer_id)
    return outcome


def _change_role(room: LiveRoom, peer: LivePeer, request: r.AddRole | r.RemoveRole) -> Outcome:
    change = room.state.add_role if isinstance(request, r.AddRole) else room.state.remove_role
    outcome = change(peer.id, request.peer_id, request.role)
    for producer_id in list(room.state.peers[request.peer_id].producers):
        with log_errors(f"pause of producer {producer_id}"):
            room.streams.apply_pause(producer_id)
    return outcome


def _pause_consumer(room: LiveRoom, peer: LivePeer, consumer_id: str, paused: bool) -> Outcome:
    outcome = room.state.pause_consumer(peer.id, consumer_id, paused)
    room.streams.apply_consumer_pause(consumer_id)
    return outcome


def _set_max_bitrate(room: LiveRoom, peer: LivePeer, request: r.SetTransportMaxBitrate) -> Outcome:
    if request.transport_id is None:
        transport = peer.receiving_transport()
        if transport is None:
            raise NotFound("this peer has no transport for consumers")
    else:
        transport = _transport(peer, request.transport_id)
    if not transport.consuming:
        raise BadRequest("transportId: this transport was not made for consuming")
    transport.limit_outgoing(request.max_bitrate)
    return Outcome()


# Speakers


def _subscribe_speakers(room: LiveRoom, peer: LivePeer, request: r.SubscribeSpeakers) -> Outcome:
    outcome = room.state.subscribe_speakers(peer.id, request.audio_levels)
    room.listen()
    if request.audio_levels:
        room.speakers.tell_levels()
    forwarded = room.state.forwarded()
    return attrs.evolve(outcome, result={"activeSpeaker": room.speakers.dominant, **forwarded})


def _set_last_n(room: LiveRoom, peer: LivePeer, request: r.SetLastN) -> Outcome:
    outcome = room.state.set_last_n(peer.id, request.n)
    room.listen()
    return outcome


# Methods that are not paced: they make no work for other peers, or they end the room. These are
# lists and not sets: a client may send any JSON value as the method, and not all are hashable.
_UNPACED_METHODS = [
    "ping",
    "dumpStats",
    "getRouterRtpCapabilities",
    "connectWebRtcTransport",
    "restartIce",
    "connectPlainTransport",
    "pauseConsumer",
    "resumeConsumer",
    "setConsumerPreferredLayers",
    "setConsumerPriority",
    "requestConsumerKeyFrame",
    "setTransportMaxBitrate",
    "moderator:closeRoom",
    "subscribeSpeakers",
    "unsubscribeSpeakers",
]
_MODERATION = [
    "moderator:addRole",
    "moderator:removeRole",
    "moderator:changeLanguage",
    "moderator:joinRequestAccept",
    "moderator:joinRequestDeny",
    "moderator:kickPeer",
    "moderator:setLastN",
]

# Requests that everyone in the room is told about. Requests of moderators are not among them:
# muting all peers of a large room makes one announcement for each peer.
_ANNOUNCEMENTS = (r.Join, r.ChangeNickname, r.RaisedHand, r.ChatMessage)

_HANDLERS: dict[type, RequestHandler[object]] = {}


def _register(kind: type[R], handler: RequestHandler[R]) -> None:
    _HANDLERS[kind] = cast("RequestHandler[object]", handler)


_register(r.Ping, lambda room, p, q: Outcome())
_register(r.DumpStats, _dump_stats)
_register(
    r.GetRouterRtpCapabilities,
    lambda room, p, q: Outcome(result=room.context.router_capabilities_json),
)
_register(r.Join, _join)
_register(r.CreateWebRtcTransport, _create_transport)
_register(r.ConnectWebRtcTransport, _connect_transport)
_register(r.RestartIce, _restart_ice)
_register(r.CreatePlainTransport, _create_plain_transport)
_register(r.ConnectPlainTransport, _connect_plain_transport)
_register(r.Produce, _produce)
_register(r.CloseProducer, lambda room, p, q: room.state.close_producer(p.id, q.producer_id))
_register(r.PauseProducer, lambda room, p, q: _pause_producer(room, p, q.producer_id, True))
_register(r.ResumeProducer, lambda room, p, q: _pause_producer(room, p, q.producer_id, False))
_register(r.PauseConsumer, lambda room, p, q: _pause_consumer(room, p, q.consumer_id, True))
_register(r.ResumeConsumer, lambda room, p, q: _pause_consumer(room, p, q.consumer_id, False))
_register(
    r.SetConsumerPreferredLayers,
    lambda room, p, q: room.streams.prefer_layers(p.id, q.consumer_id, q.layers),
)
_register(
    r.SetConsumerPriority,
    lambda room, p, q: room.streams.prioritize(p.id, q.consumer_id, q.priority),
)
_register(
    r.RequestConsumerKeyFrame,
    lambda room, p, q: room.streams.request_keyframe(p.id, q.consumer_id),
)
_register(r.SetTransportMaxBitrate, _set_max_bitrate)
_register(r.ChangeNickname, lambda room, p, q: room.state.change_nickname(p.id, q.nickname))
_register(r.RaisedHand, lambda room, p, q: room.state.raise_hand(p.id, q.raised_hand))
_register(r.ChatMessage, lambda room, p, q: room.state.chat(p.id, q.message))
_register(r.AddRole, _change_role)
_register(r.RemoveRole, _change_role)
_register(
    r.ChangeLanguage,
    lambda room, p, q: room.state.change_language(p.id, q.peer_id, q.language),
)
_register(
    r.JoinRequestAccept,
    lambda room, p, q: room.state.answer_join_request(p.id, q.request_id, "joinRequestAccepted"),
)
_register(
    r.JoinRequestDeny,
    lambda room, p, q: room.state.answer_join_request(p.id, q.request_id, "joinRequestDenied"),
)
_register(r.KickPeer, lambda room, p, q: room.state.kick(p.id, q.peer_id))
_register(r.CloseRoom, _close_room)
_register(r.SubscribeSpeakers, _subscribe_speakers)
_register(r.UnsubscribeSpeakers, lambda room, p, q: room.state.unsubscribe_speakers(p.id))
_register(r.SetPinnedPeers, lambda room, p, q: room.state.pin_peers(p.id, q.peer_ids))
_register(r.SetLastN, _set_last_n)
