"""What travels with a websocket to another process."""

import json
import math

import pytest

from meet_trio.socketio import Handshake
from meet_trio.socketio.errors import ProtocolError
from meet_trio.socketio.frames import FrameProtocol
from meet_trio.socketio.moved import MovedNamespace, MovedWebSocket
from meet_trio.socketio.protocol import AckReceived, NamespaceState, SocketIOProtocol
from meet_trio.socketio.settings import Settings

MOVED = MovedWebSocket(
    "sid",
    Handshake("/signaling", {"EIO": "4", "peerId": "é"}, {"host": "x"}, "192.0.2.1", 4),
    12.5,
    math.inf,
    b"\x81\x85\0",
    {"/": MovedNamespace("id", {"token": 1}, 7)},
)


def test_it_survives_json() -> None:
    assert MovedWebSocket.from_json(json.loads(json.dumps(MOVED.to_json()))) == MOVED


@pytest.mark.parametrize(
    ("key", "value"),
    [("eio", 5), ("unread", "&"), ("ping_in", "soon"), ("namespaces", None), ("query", 1)],
)
def test_what_another_program_has_written_is_refused(key: str, value: object) -> None:
    with pytest.raises((LookupError, TypeError, ValueError, AttributeError)):
        MovedWebSocket.from_json({**MOVED.to_json(), key: value})


def frame(payload: bytes, first: int = 0x81) -> bytes:
    return bytes((first, 0x80 | len(payload))) + bytes(4) + payload


@pytest.mark.parametrize("cut", range(6))
def test_the_beginning_of_a_frame_travels(cut: int) -> None:
    """The other process reads on where this one stood."""
    one, other = FrameProtocol(), FrameProtocol()
    one.receive_data(frame(b"first") + frame(b"second")[:cut])
    assert [event.data for event in one.events()] == ["first"]  # type: ignore[attr-defined]
    untaken = one.untaken
    assert untaken == frame(b"second")[:cut]
    other.receive_data(untaken + frame(b"second")[cut:])
    assert [event.data for event in other.events()] == ["second"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "data",
    [frame(b"second")[:8], frame(b"a fragment", 0x01), frame(b"", 0x88), b"\x81\x01a"],
)
def test_a_message_that_has_begun_does_not_travel(data: bytes) -> None:
    """Nor does a websocket that is being closed, or one whose client has broken the protocol."""
    frames = FrameProtocol()
    frames.receive_data(data)
    list(frames.events())
    assert frames.untaken is None


def test_calls_go_on_in_the_other_process() -> None:
    """So an answer to an earlier call is taken for no later one."""
    one = SocketIOProtocol(4, Settings(), {"/"})
    assert one.move("/") is None
    one.receive("0")
    assert one.move("/") is None  # it is not accepted
    one.accept("/", "sid")
    first, _ = one.call("/", "request", ())
    calls = one.move("/")
    assert calls == one.move("/")  # it may be asked again
    assert calls is not None
    other = SocketIOProtocol(4, Settings(), {"/"})
    other.go_on("/", calls)
    assert other.state("/") is NamespaceState.CONNECTED
    assert other.call("/", "request", ())[0] == first + 1
    assert other.receive(f"3{first}[]") == AckReceived("/", first, [])


def test_a_packet_without_its_attachment_does_not_travel() -> None:
    protocol = SocketIOProtocol(4, Settings(), {"/"})
    protocol.receive("0")
    protocol.accept("/", "sid")
    protocol.receive('51-["event",{"_placeholder":true,"num":0}]')
    assert protocol.move("/") is None
    protocol.receive(b"attachment")
    assert protocol.move("/") == 0
    with pytest.raises(ProtocolError):
        protocol.receive(b"another")
