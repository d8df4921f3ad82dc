"""The state machines of Engine.IO and Socket.IO: every input in every state."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_trio.socketio.errors import ProtocolError, Reason
from meet_trio.socketio.packet import EncodedPacket, Packet, PacketMemory, PacketType
from meet_trio.socketio.protocol import ConnectReceived, NamespaceState, SocketIOProtocol
from meet_trio.socketio.session import Session, State
from meet_trio.socketio.settings import Revision, Settings

PING, PONG, NOOP = Packet(PacketType.PING), Packet(PacketType.PONG), Packet(PacketType.NOOP)
CLOSE = Packet(PacketType.CLOSE)


def session(*, websocket: bool = True, revision: Revision = 4, **limits: float) -> Session:
    """A session at time 100; its first packets are already taken."""
    new = Session(
        "sid",
        revision,
        Settings(**limits),  # type: ignore[arg-type]
        PacketMemory(),
        websocket=websocket,
        now=100.0,
    )
    assert [packet.type for packet in take(new)] == [PacketType.OPEN]
    return new


def take(s: Session) -> list[Packet]:
    return [packet.packet() for packet, _ in s.take()]


def say(s: Session, data: str | bytes, event: object = None) -> None:
    s.send(EncodedPacket(Packet(PacketType.MESSAGE, data)), event)


def test_heartbeat_of_4() -> None:
    s = session()
    assert s.deadline == 125
    s.tick(124.9)
    assert take(s) == []
    s.tick(125)
    assert take(s) == [PING]
    assert s.deadline == 145
    s.receive(PONG, 130)
    assert s.deadline == 155
    s.tick(155)
    s.tick(175)
    assert (s.state, s.reason, s.deadline) == (State.CLOSED, Reason.PING_TIMEOUT, math.inf)


def test_many_sessions_ping_at_one_moment() -> None:
    """Four in each second, at most a quarter of a second early."""
    due = set()
    for step in range(1000):
        now = 100.0 + step / 1000
        s = session()
        s.receive(PONG, now)
        assert now + 24.75 < s.deadline <= now + 25
        due.add(round(s.deadline, 6))
    assert due == {125, 125.25, 125.5, 125.75}


def test_heartbeat_of_3() -> None:
    s = session(revision=3)
    assert s.deadline == 145
    s.receive(PING, 140)
    assert take(s) == [PONG]
    assert s.deadline == 185
    s.tick(185)
    assert s.reason is Reason.PING_TIMEOUT


@pytest.mark.parametrize("websocket", [True, False])
def test_close_lets_the_rest_go(websocket: bool) -> None:
    s = session(websocket=websocket)
    say(s, "a")
    s.close(Reason.SERVER, 110)
    say(s, "too late")
    s.close(Reason.CONNECT_TIMEOUT, 110.5)
    assert s.receive(Packet(PacketType.MESSAGE, "too late"), 110) is None
    assert s.has_packets
    assert take(s) == [Packet(PacketType.MESSAGE, "a")]
    # The close packet is sent separately: socket.io-client 4 would act on it before the message.
    assert take(s) == ([] if websocket else [CLOSE])
    assert s.deadline == 111
    s.tick(111)
    assert (s.state, s.reason) == (State.CLOSED, Reason.SERVER)


def test_fail_drops_the_rest() -> None:
    s = session()
    say(s, "a")
    s.fail(Reason.PARSE_ERROR)
    s.fail(Reason.TRANSPORT_ERROR)
    s.close(Reason.SERVER, 110)
    assert (s.state, s.reason, take(s)) == (State.CLOSED, Reason.PARSE_ERROR, [])


def test_outbox_is_bounded() -> None:
    s = session(max_outbox_packets=2, max_outbox_bytes=200)
    for _ in range(3):
        say(s, "aa")
        say(s, "bbb")
        assert len(take(s)) == 2
    for data in ("x" * 199, ""):  # each has one more digit for its type
        assert s.is_open
        say(s, data)
    assert s.reason is Reason.OVERFLOW
    assert not s.has_packets


def test_upgrade() -> None:
    s = session(websocket=False)
    say(s, "a")
    assert s.start_probe()
    assert not s.start_probe()
    assert s.on_polling
    assert s.receive_probe(Packet(PacketType.PING, "probe")) == Packet(PacketType.PONG, "probe")
    assert [packet.data for packet in take(s)] == ["a"]
    assert take(s) == [NOOP]
    say(s, "b")
    assert s.receive_probe(Packet(PacketType.UPGRADE)) is None
    assert not s.on_polling
    s.end_probe()
    assert s.state is State.WEBSOCKET
    assert [packet.data for packet in take(s)] == ["b"]
    assert not s.start_probe()


_packets = st.builds(
    Packet, st.sampled_from(PacketType), st.sampled_from(["", "probe", "x"]) | st.just(b"x")
)
_steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["receive", "receive_probe"]), _packets),
        st.tuples(
            st.sampled_from(["start_probe", "end_probe", "take", "tick", "send", "close", "fail"]),
            st.none(),
        ),
    ),
    max_size=25,
)


@given(_steps, st.sampled_from([3, 4]), st.booleans())
def test_any_order_of_events(
    steps: list[tuple[str, Packet | None]], revision: Revision, websocket: bool
) -> None:
    s = session(websocket=websocket, revision=revision)
    now = 100.0
    for name, packet in steps:
        before = s.state
        now += 0.1
        try:
            match name:
                case "receive" | "receive_probe" if packet is not None:
                    if name == "receive":
                        s.receive(packet, now)
                    elif before in (State.PROBING, State.PROBED):
                        s.receive_probe(packet)
                case "tick":
                    now = min(s.deadline, now + 100)
                    s.tick(now)
                case "send":
                    say(s, "x")
                case "close":
                    s.close(Reason.SERVER, now)
                case "fail":
                    s.fail(Reason.TRANSPORT_ERROR)
                case _:
                    getattr(s, name)()
        except ProtocolError:
            assert s.state is before
        # CLOSED is final, CLOSING leads only to CLOSED, and both have a reason.
        if before is State.CLOSED:
            assert s.state is State.CLOSED
        if before is State.CLOSING:
            assert s.state in (State.CLOSING, State.CLOSED)
        assert s.is_open == (s.reason is None)
        assert s.on_polling or s.state not in (State.POLLING, State.PROBING, State.PROBED)
        assert s.state is State.CLOSED or s.deadline < math.inf
        if s.state is State.CLOSED:
            assert take(s) == []


_frames = st.lists(
    st.sampled_from(
        [
            "0",
            "0/a,",
            '0/a,{"x":1}',
            "0/b?c=d,",
            "0/nowhere,",
            "1",
            "1/a,",
            "2",
            '2["x"]',
            '2/a,7["x",1]',
            '51-["x",{"_placeholder":true,"num":0}]',
            b"data",
            "30[]",
            "3/a,0[1]",
            "4",
            "garbage",
        ]
    )
    | st.text("0123456/ab,?[]{}", max_size=8),
    max_size=20,
)
_verbs = st.lists(st.sampled_from(["accept", "refuse", "leave", ""]), min_size=20, max_size=20)


@given(_frames, _verbs, st.sampled_from([3, 4]))
def test_any_order_of_messages(
    frames: list[str | bytes], verbs: list[str], revision: Revision
) -> None:
    p = SocketIOProtocol(revision, Settings(max_namespaces=2), {"/", "/a", "/b"})
    asked = [first.namespace] if (first := p.start()) else []
    for frame, verb in zip(frames, verbs, strict=False):
        try:
            received = p.receive(frame)
        except ProtocolError:
            return
        if isinstance(received, ConnectReceived):
            asked.append(received.namespace)
        elif received is not None and not isinstance(received, list):
            # Events come only from namespaces that this side has accepted.
            assert p.state(received.namespace) in (
                NamespaceState.CONNECTED,
                NamespaceState.ABSENT,
            )
        for namespace in ("/", "/a", "/b"):
            state = p.state(namespace)
            assert state is not NamespaceState.CONNECTING or namespace in asked
            if state is NamespaceState.CONNECTING and verb == "accept":
                assert p.accept(namespace, "sid")
            elif state is NamespaceState.CONNECTING and verb == "refuse":
                assert p.refuse(namespace, "no")
            elif state is NamespaceState.CONNECTED and verb == "leave":
                assert p.leave(namespace)


def test_a_client_may_close_while_it_is_told_goodbye() -> None:
    s = session()
    s.close(Reason.SERVER, 110)
    assert s.receive(CLOSE, 110) is None
    assert (s.state, s.reason) == (State.CLOSED, Reason.SERVER)


def test_closing_goes_the_way_of_an_upgrade_that_has_been_answered() -> None:
    s = session(websocket=False)
    take(s)
    assert s.start_probe()
    s.receive_probe(Packet(PacketType.PING, "probe"))
    say(s, "a")
    s.close(Reason.SERVER, 110)
    assert s.is_upgrading
    assert s.receive_probe(Packet(PacketType.UPGRADE)) is None
    assert (s.state, s.on_polling, s.is_upgrading) == (State.CLOSING, False, False)
    assert take(s) == [Packet(PacketType.MESSAGE, "a")]
    assert not s.has_packets


def test_closing_stays_on_polling_when_the_answered_upgrade_is_lost() -> None:
    s = session(websocket=False)
    take(s)
    assert s.start_probe()
    s.receive_probe(Packet(PacketType.PING, "probe"))
    s.close(Reason.SERVER, 110)
    s.end_probe()
    assert not s.is_upgrading
    assert take(s) == [CLOSE]


def test_what_is_taken_at_once_is_about_a_write() -> None:
    s = session()
    for size in (40_000, 40_000, 10, 500_000, 1):
        say(s, "x" * size)
    assert s.outbox_bytes == 580_011 + 5
    assert [[len(p.data) for p in take(s)] for _ in range(4)] == [
        [40_000, 40_000],
        [10, 500_000],
        [1],
        [],
    ]
    assert s.outbox_bytes == 0


def test_events_that_were_not_sent_are_the_same_objects() -> None:
    s = session()
    first, second, third = object(), object(), object()
    say(s, "x" * 70_000, first)
    say(s, "y", second)
    say(s, "no event")
    take(s)
    s.fail(Reason.TRANSPORT_ERROR)
    # The sender does not know of the end yet.
    say(s, "z", third)
    say(s, "lost")
    assert s.unsent == [second, third]
    assert take(s) == []


def test_of_too_much_nothing_is_kept() -> None:
    s = session(max_outbox_packets=3)
    for _ in range(4):
        say(s, "x", object())
    say(s, "x", object())
    assert (s.reason, s.unsent, s.outbox_bytes) == (Reason.OVERFLOW, None, 0)
    # The same holds after the end.
    s = session(max_outbox_bytes=1000)
    s.fail(Reason.TRANSPORT_ERROR)
    say(s, "x" * 999, object())
    assert s.unsent is not None
    say(s, "x", object())
    assert (s.reason, s.unsent) == (Reason.TRANSPORT_ERROR, None)
