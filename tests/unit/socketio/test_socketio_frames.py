"""The frames of a client, read like wsproto reads them."""

import struct
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError

from meet_trio.socketio.frames import FrameProtocol

KEY = b"\x01\x80\xfe\x37"


def frame(
    first: int, payload: bytes, *, key: bytes | None = KEY, width: int | None = None
) -> bytes:
    """A client's frame; ``width`` is that of its length, if another one than it needs."""
    size = len(payload)
    if width is None:
        width = 0 if size < 126 else 2 if size < 65536 else 8
    short, form = {0: (size, ""), 2: (126, "H"), 8: (127, "Q")}[width]
    head = struct.pack("!BB" + form, first, (0 if key is None else 0x80) | short, *[size][:width])
    if key is None:
        return head + payload
    return head + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


def read(protocol: FrameProtocol | Connection, pieces: Iterable[bytes]) -> list[object]:
    """What comes of these reads; the pieces of a message are joined."""
    found: list[object] = []
    joined: str | bytes | None = None
    for piece in pieces:
        protocol.receive_data(piece)
        for event in protocol.events():
            match event:
                case TextMessage() | BytesMessage():
                    data = event.data if isinstance(event, TextMessage) else bytes(event.data)
                    joined = data if joined is None else joined + data  # type: ignore[operator]
                    if event.message_finished:
                        found.append(joined)
                        joined = None
                case CloseConnection():
                    found.append(("close", int(event.code), protocol.state))
                case Ping() | Pong():
                    found.append((type(event), bytes(event.payload)))
    return found


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


TEXTS = st.text(max_size=40).map(str.encode)
PAYLOADS = st.one_of(
    TEXTS,
    st.binary(max_size=130),
    st.sampled_from([0, 125, 126, 127, 65535, 65536]).map(lambda size: b"x" * size),
    st.sampled_from([0, 999, 1000, 1003, 1004, 1005, 1006, 1011, 1015, 2999, 3000, 4999, 5000]).map(
        lambda code: struct.pack("!H", code) + b"why"
    ),
)
FIRST = st.one_of(
    st.sampled_from([0x81, 0x82, 0x89, 0x8A, 0x01, 0x02, 0x00, 0x80]),
    st.sampled_from([0x88, 0xC1, 0x83, 0x09, 0x8B]),
)
FRAMES = st.one_of(
    st.builds(frame, FIRST, PAYLOADS, key=st.binary(min_size=4, max_size=4)),
    st.builds(frame, FIRST, PAYLOADS),
    st.builds(frame, FIRST, TEXTS, key=st.none()),
    st.builds(frame, st.sampled_from([0x81, 0x89]), TEXTS, width=st.sampled_from([2, 8])),
)


@given(st.lists(FRAMES, max_size=6), st.lists(st.integers(1, 5000), min_size=1, max_size=4))
@example([frame(0x01, "é".encode()[:1]), frame(0x80, "é".encode()[1:])], [1])
@example([frame(0x01, b"a"), frame(0x89, b"p"), frame(0x80, b"b")], [3])
@example([frame(0x88, b"")], [9])
@example([frame(0x81, b"x" * 300)], [7])
def test_it_reads_what_wsproto_reads(frames: list[bytes], sizes: list[int]) -> None:
    pieces = cut(b"".join(frames), sizes)
    ours, theirs = FrameProtocol(), Connection(ConnectionType.SERVER)
    assert read(ours, pieces) == read(theirs, pieces)
    assert ours.state is theirs.state


@example(b"\0~", [1])
@given(st.binary(max_size=300), st.lists(st.integers(1, 50), min_size=1, max_size=3))
def test_any_bytes(data: bytes, sizes: list[int]) -> None:
    # wsproto looks at a head when all of it has come.
    pieces = [*cut(data, sizes), bytes(14)]
    assert read(FrameProtocol(), pieces) == read(Connection(ConnectionType.SERVER), pieces)


@example(1014, "", False)
@given(st.integers(1000, 4999), st.text(max_size=100), st.booleans())
def test_its_answers_are_read_by_a_client(code: int, reason: str, asked: bool) -> None:
    server, client = FrameProtocol(), Connection(ConnectionType.CLIENT)
    client.receive_data(server.send(Pong(b"payload")))
    if asked:
        server.receive_data(frame(0x88, b""))
        assert [type(event) for event in server.events()] == [CloseConnection]
        assert server.state is ConnectionState.REMOTE_CLOSING
    client.receive_data(server.send(CloseConnection(code, reason)))
    assert server.state is (ConnectionState.CLOSED if asked else ConnectionState.LOCAL_CLOSING)
    pong, close = client.events()
    assert pong == Pong(b"payload")
    assert isinstance(close, CloseConnection)
    if code in (1005, 1006, 1015):
        assert close.code == 1005
    elif not (code in (1004, 1014) or 1015 < code < 3000):  # which wsproto does not know
        assert close.code == code
        assert close.reason is not None
        assert reason.startswith(close.reason)
        assert len(close.reason.encode()) > min(len(reason.encode()), 123) - 4


@pytest.mark.parametrize("event", [Ping(b""), TextMessage("x")])
def test_what_it_does_not_send(event: Event) -> None:
    with pytest.raises(LocalProtocolError):
        FrameProtocol().send(event)


def test_nothing_is_sent_behind_a_close_frame() -> None:
    protocol = FrameProtocol()
    protocol.send(CloseConnection(1000))
    for event in (Pong(b""), CloseConnection(1000)):
        with pytest.raises(LocalProtocolError):
            protocol.send(event)


def test_nothing_of_what_was_read_is_kept() -> None:
    protocol = FrameProtocol()
    whole = frame(0x82, b"x" * 100_000)
    tracemalloc.start()
    try:
        kept = tracemalloc.get_traced_memory()[0]
        for at in range(0, len(whole), 1000):
            protocol.receive_data(whole[at : at + 1000])
            for _ in protocol.events():
                pass
            assert tracemalloc.get_traced_memory()[0] - kept < 2500
    finally:
        tracemalloc.stop()
