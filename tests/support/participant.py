"""A whole participant of a meeting in Python; on the wire it acts like Kolab's page in Chromium.

    async with open_participant(token_url) as alice:
        await alice.join("Alice")
        await alice.connect()
        producer = await alice.produce_audio()
        consumer = await alice.wait_consumer(kind="video")

It is for tests and measurements: hundreds fit into one process. It can be cancelled anywhere and
leaves no socket behind. Each of its parts can be misused: ``signaling.send_raw``,
``signaling.stop_reading``, ``transport.drop_incoming``, ``transport.silent``, ``request`` with any
method and data. It ends by ``leave``, by ``abort`` (reset), or by leaving the ``async with`` (the
websocket closes, as when a tab is closed).
"""

import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import attrs
import trio
from support.media_sink import ReceiveStream
from support.media_source import OpusSource, Source, Vp8Source
from support.news import News
from support.sessions import ReceiveSession, SendSession
from support.signaling import Notice, Signaling, open_signaling
from support.transport import ClientTransport, RemoteParameters

from meet_trio.bench.dtls import Identity
from meet_trio.bench.rtp_parameters import (
    TRANSPORT_CC,
    audio_parameters,
    extension_ids,
    receive_capabilities,
    simulcast_encodings,
    video_parameters,
)


@attrs.define(eq=False)
class ClientProducer:
    """A track that this participant sends."""

    id: str
    kind: str
    source: Source


@attrs.define(eq=False)
class ClientConsumer:
    """A track of another participant. ``paused`` follows the server's notices."""

    id: str
    producer_id: str
    peer_id: str
    kind: str
    type: str
    app_data: Any
    parameters: dict[str, Any]
    stream: ReceiveStream
    paused: bool
    closed: bool = False
    layers: Any = None
    score: Any = None


@attrs.define(eq=False)
class Participant:
    """One peer of a room. All its tasks live in the ``async with`` of ``open_participant``."""

    signaling: Signaling
    identity: Identity
    nursery: trio.Nursery
    id: str | None = None
    peers: dict[str, Any] = attrs.field(factory=dict)
    """The peerInfo of all other peers, by id."""
    send: SendSession | None = None
    receive: ReceiveSession | None = None
    producers: dict[str, ClientProducer] = attrs.field(factory=dict)
    consumers: dict[str, ClientConsumer] = attrs.field(factory=dict)
    """Closed ones too."""
    accept_consumers: bool = True
    """If False, ``newConsumer`` is answered with an error."""
    force_tcp: bool = False
    """Media by ICE-TCP."""
    capabilities: dict[str, Any] | None = None
    _next_mid: int = 0
    _news: News = attrs.field(factory=News)

    def __attrs_post_init__(self) -> None:
        self.use_signaling(self.signaling)

    def use_signaling(self, signaling: Signaling) -> None:
        """Go on with this connection, after the one before was lost."""
        self.signaling = signaling
        signaling.on_request = self._handle_request
        signaling.on_notice = self._handle_notice

    async def request(self, method: str, data: object = None) -> Any:
        """Send any request; returns its result. Raises RequestFailed, SignalingClosed."""
        return await self.signaling.request(method, data)

    async def join(self, nickname: str = "") -> Any:
        """Join the meeting as the page does; returns the result of ``join``."""
        await self.signaling.wait_notice("roomReady")
        router = await self.request("getRouterRtpCapabilities")
        self.capabilities = receive_capabilities(router)
        result = await self.request(
            "join", {"nickname": nickname, "rtpCapabilities": self.capabilities}
        )
        self.id = result["id"]
        self.peers = {peer["id"]: peer for peer in result["peers"]}
        return result

    async def create_transports(self, *, send: bool = True, receive: bool = True) -> None:
        """Create the transports; their ICE checks start at once. The caller starts no ``run``."""
        if send:
            transport = await self.create_transport(producing=True)
            self.send = SendSession(transport)
            self.nursery.start_soon(self.send.run_reports)
        if receive:
            transport = await self.create_transport(producing=False)
            self.receive = ReceiveSession(transport)
            self._news.tell()
            self.nursery.start_soon(self.receive.run_feedback)

    async def create_transport(self, *, producing: bool) -> ClientTransport:
        """Create and start one transport."""
        answer = await self.request(
            "createWebRtcTransport",
            {"forceTcp": self.force_tcp, "producing": producing, "consuming": not producing},
        )
        transport = ClientTransport(self.identity, RemoteParameters.from_answer(answer))
        self.nursery.start_soon(transport.run)
        return transport

    async def connect(self, *, send: bool = True, receive: bool = True) -> None:
        """Connect the transports, created if missing, and wait until media can flow."""
        await self.create_transports(
            send=send and self.send is None, receive=receive and self.receive is None
        )
        sessions = [s for s, wanted in ((self.send, send), (self.receive, receive)) if wanted]
        async with trio.open_nursery() as nursery:
            for session in sessions:
                assert session is not None
                nursery.start_soon(self.connect_transport, session.transport)

    async def connect_transport(self, transport: ClientTransport) -> None:
        """Tell the server the fingerprint; returns when ICE and DTLS are done."""
        await self.request(
            "connectWebRtcTransport",
            {
                "transportId": transport.remote.id,
                "dtlsParameters": {
                    "role": "client",
                    "fingerprints": [{"algorithm": "sha-256", "value": self.identity.fingerprint}],
                },
            },
        )
        await transport.connected.wait()

    async def restart_ice(self, transport: ClientTransport) -> None:
        """Get new ICE credentials from the server and use them at once."""
        answer = await self.request("restartIce", {"transportId": transport.remote.id})
        transport.use_ice_parameters(answer["usernameFragment"], answer["password"])

    async def produce_audio(self, **options: Any) -> ClientProducer:
        """Send a microphone; ``options`` go to OpusSource."""
        source = OpusSource(self._new_mid(), f"cname-{self.id}", **options)
        parameters = audio_parameters(source.mid, source.cname, source.stream.ssrc)
        return await self.produce(source, "audio", parameters, "mic")

    async def produce_video(self, *, source_name: str = "webcam", **options: Any) -> ClientProducer:
        """Send a camera; ``options`` go to Vp8Source. Simulcast unless ``simulcast=False``."""
        source = Vp8Source(self._new_mid(), f"cname-{self.id}", **options)
        if source.simulcast:
            encodings = simulcast_encodings(len(source.streams))
        else:
            (stream,) = source.streams
            encodings = [{"ssrc": stream.ssrc, "rtx": {"ssrc": stream.rtx_ssrc}, "dtx": False}]
        parameters = video_parameters(source.mid, source.cname, encodings)
        return await self.produce(source, "video", parameters, source_name)

    async def produce(
        self, source: Source, kind: str, parameters: dict[str, Any], source_name: str
    ) -> ClientProducer:
        """Send ``source``; like in a browser, RTP starts before the server has answered."""
        assert self.send is not None
        self.send.sources[source.mid] = source
        self.nursery.start_soon(self.send.run_source, source)
        try:
            answer = await self.request(
                "produce",
                {
                    "transportId": self.send.transport.remote.id,
                    "kind": kind,
                    "rtpParameters": parameters,
                    "appData": {"source": source_name},
                },
            )
        except BaseException:
            del self.send.sources[source.mid]
            raise
        producer = ClientProducer(answer["id"], kind, source)
        self.producers[producer.id] = producer
        return producer

    async def set_producer_paused(self, producer: ClientProducer, paused: bool) -> None:
        assert self.send is not None
        self.send.set_paused(producer.source.mid, paused)
        method = "pauseProducer" if paused else "resumeProducer"
        await self.request(method, {"producerId": producer.id})

    async def close_producer(self, producer: ClientProducer) -> None:
        assert self.send is not None
        del self.producers[producer.id]
        del self.send.sources[producer.source.mid]
        await self.request("closeProducer", {"producerId": producer.id})

    async def set_consumer_paused(self, consumer: ClientConsumer, paused: bool) -> None:
        method = "pauseConsumer" if paused else "resumeConsumer"
        await self.request(method, {"consumerId": consumer.id})

    async def wait_consumer(self, **fields: object) -> ClientConsumer:
        """The first open consumer whose attributes have all ``fields``; waits for one if there is
        none.
        """
        while True:
            for consumer in self.consumers.values():
                if not consumer.closed and all(
                    getattr(consumer, name) == value for name, value in fields.items()
                ):
                    return consumer
            await self._news.wait()

    async def wait_consumers(self, kind: str, count: int) -> None:
        """Wait until ``count`` consumers of ``kind`` are open."""
        while True:
            if sum(c.kind == kind and not c.closed for c in self.consumers.values()) >= count:
                return
            await self._news.wait()

    async def wait_frames(self, consumer: ClientConsumer, count: int = 1) -> None:
        """Wait until the consumer has got ``count`` more frames."""
        arrived = trio.Event()
        wanted = consumer.stream.frames + count
        before = consumer.stream.on_frame

        def see(stamp: Any) -> None:
            before(stamp)
            if consumer.stream.frames >= wanted:
                arrived.set()

        consumer.stream.on_frame = see
        try:
            await arrived.wait()
        finally:
            consumer.stream.on_frame = before

    async def leave(self) -> None:
        """Leave on purpose; when it returns, the server has closed the connection."""
        await self.signaling.leave()

    def abort(self) -> None:
        """Vanish: TCP reset, silence on the media path."""
        self.signaling.abort()
        for session in (self.send, self.receive):
            if session is not None:
                session.transport.silent = True

    def _new_mid(self) -> str:
        self._next_mid += 1
        return str(self._next_mid - 1)

    async def _handle_request(self, method: str, data: Any) -> None:
        if method != "newConsumer" or not self.accept_consumers:
            raise NotImplementedError(method)
        if data["id"] in self.consumers:
            return  # a repetition, because the first answer came late
        while self.receive is None:
            # The offer may be read together with the answer that brings the transport. In a browser
            # the code that waits for the answer runs first.
            await self._news.wait()
        parameters = data["rtpParameters"]
        (encoding,) = parameters["encodings"]
        codec = parameters["codecs"][0]
        rtx = next((c for c in parameters["codecs"] if c["mimeType"].endswith("/rtx")), None)
        feedback = [(f["type"], f.get("parameter", "")) for f in codec["rtcpFeedback"]]
        stream = ReceiveStream(
            data["kind"],
            encoding["ssrc"],
            codec["payloadType"],
            codec["clockRate"],
            rtx_ssrc=encoding["rtx"]["ssrc"] if "rtx" in encoding else None,
            rtx_payload_type=rtx["payloadType"] if rtx else None,
            nack=("nack", "") in feedback,
        )
        if ("transport-cc", "") in feedback:
            self.receive.transport_cc_id = extension_ids(parameters).get(TRANSPORT_CC)
        self.receive.add(stream)
        self.consumers[data["id"]] = ClientConsumer(
            id=data["id"],
            producer_id=data["producerId"],
            peer_id=data["peerId"],
            kind=data["kind"],
            type=data["type"],
            app_data=data["appData"],
            parameters=parameters,
            stream=stream,
            paused=data["producerPaused"],
        )
        self._news.tell()

    def _handle_notice(self, notice: Notice) -> None:
        data = notice.data
        match notice.method:
            case "newPeer":
                self.peers[data["id"]] = data
            case "peerClosed":
                self.peers.pop(data["peerId"], None)
            case "consumerClosed" | "consumerPaused" | "consumerResumed":
                consumer = self.consumers[data["consumerId"]]
                if notice.method == "consumerClosed":
                    consumer.closed = True
                    assert self.receive is not None
                    self.receive.remove(consumer.stream)
                else:
                    consumer.paused = notice.method == "consumerPaused"
            case "consumerLayersChanged":
                self.consumers[data["consumerId"]].layers = data.get("layers")
            case "consumerScoreChanged":
                self.consumers[data["consumerId"]].score = data["score"]
        self._news.tell()


@contextlib.asynccontextmanager
async def open_participant(
    token_url: str,
    *,
    ssl_context: ssl.SSLContext | None = None,
    identity: Identity | None = None,
) -> AsyncIterator[Participant]:
    """A participant connected to signaling, not yet joined. Cancellation at any point closes
    everything.
    """
    async with (
        open_signaling(token_url, ssl_context=ssl_context) as signaling,
        trio.open_nursery() as nursery,
    ):
        participant = Participant(signaling, identity or Identity.generate(), nursery)
        nursery.start_soon(signaling.run)
        yield participant
        nursery.cancel_scope.cancel()
