"""Socket.IO packets: known texts, round trips, garbage."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_trio.json_text import JsonText, to_text
from meet_trio.socketio.errors import ProtocolError
from meet_trio.socketio.message import (
    MAX_ACK_ID,
    Decoder,
    Message,
    MessageType,
    decode_untrusted,
    encode,
)
from meet_trio.socketio.settings import Settings

EVENT, ACK = MessageType.EVENT, MessageType.ACK


def decode(*frames: str | bytes, settings: Settings | None = None) -> Message | None:
    decoder = Decoder(settings or Settings())
    results = [decoder.receive_untrusted(frame) for frame in frames]
    assert all(result is None for result in results[:-1])
    return results[-1]


@pytest.mark.parametrize(
    ("message", "frames"),
    [
        (Message(MessageType.CONNECT), ["0"]),
        (Message(MessageType.CONNECT, "/admin", {"a": 1}), ['0/admin,{"a":1}']),
        (Message(MessageType.DISCONNECT), ["1"]),
        (Message(MessageType.DISCONNECT, "/admin"), ["1/admin,"]),
        (Message(EVENT, data=["é", 1, None]), ['2["é",1,null]']),
        (Message(EVENT, "/admin", ["x", {}], 456), ['2/admin,456["x",{}]']),
        (Message(ACK, data=[], ack_id=12), ["312[]"]),
        (
            Message(EVENT, data=["x", b"\1", {"a": [b"\2"]}]),
            [
                '52-["x",{"_placeholder":true,"num":0},{"a":[{"_placeholder":true,"num":1}]}]',
                b"\1",
                b"\2",
            ],
        ),
        (
            Message(ACK, "/admin", [b""], 3),
            ['61-/admin,3[{"_placeholder":true,"num":0}]', b""],
        ),
    ],
)
def test_both_ways(message: Message, frames: list[str | bytes]) -> None:
    assert encode(message) == frames
    assert decode(*frames) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0/admin", Message(MessageType.CONNECT, "/admin")),
        ("0/admin?token=a&b=c,", Message(MessageType.CONNECT, "/admin", query="token=a&b=c")),
        ('2007["x"]', Message(EVENT, data=["x"], ack_id=7)),
        ("2", Message(EVENT, data=[])),
        ("31", Message(ACK, data=[], ack_id=1)),
        ("2[5]", Message(EVENT, data=[5])),
        ('50-["x"]', Message(EVENT, data=["x"])),
        # Only packets that declare attachments have them.
        (
            '2["x",{"_placeholder":true,"num":0}]',
            Message(EVENT, data=["x", {"_placeholder": True, "num": 0}]),
        ),
    ],
)
def test_tolerated(text: str, message: Message) -> None:
    assert decode(text) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "abc",
        "4",
        '4{"message":"x"}',
        "0[]",
        "0null1",
        "01{}",
        "1{}",
        "2{}",
        "2[]",
        "2[null]",
        "2[true]",
        '2["connect"]',
        '2["disconnecting"]',
        '2abc["x"]',
        '2["x"',
        '2["x"]]',
        '2["x",NaN]',
        '2["x",-Infinity]',
        '2["x",1e999]',
        '2["x",' + "1" * 5000 + "]",
        '21-["x"]',
        '5["x"]',
        "3[]",
        "31{}",
        f'2{MAX_ACK_ID + 1}["x"]',
        "2" + "0" * 33 + '["x"]',
        "0/" + "a" * 300 + ",",
    ],
)
def test_malformed(text: str) -> None:
    with pytest.raises(ProtocolError):
        decode(text)


@pytest.mark.parametrize(
    "frames",
    [
        (b"\1",),
        ('51-["x"]', "2"),
        ('517-["x"]',),
        ('51-["x",{"_placeholder":true,"num":1}]', b""),
        ('51-["x",{"_placeholder":true,"num":-1}]', b""),
        ('51-["x",{"_placeholder":true,"num":0.0}]', b""),
        ('51-["x",{"_placeholder":true}]', b""),
    ],
)
def test_malformed_attachments(frames: tuple[str | bytes, ...]) -> None:
    with pytest.raises(ProtocolError):
        decode(*frames)


def test_size_of_attachments_is_limited() -> None:
    with pytest.raises(ProtocolError, match="too large"):
        decode('52-["x"]', b"1" * 60, b"1" * 60, settings=Settings(max_inbox_bytes=100))


def test_depth_is_limited() -> None:
    deep = '2["x",' + "[" * 9 + "]" * 9 + "]"
    assert decode_untrusted(deep, 10)
    with pytest.raises(ProtocolError, match="deep"):
        decode_untrusted(deep, 9)
    # far deeper than Python's JSON parser allows
    with pytest.raises(ProtocolError, match="deep"):
        decode_untrusted("2" + "[" * 500_000, 64)
    # Brackets inside strings do not count.
    assert decode_untrusted('2["x","' + '[{\\"' * 100 + '"]', 2)


@pytest.mark.parametrize("item", ["[]", "{}", "1", '""', "[1,{}]"])
def test_number_of_values_is_limited(item: str) -> None:
    """An expensive message is refused before JSON parses it and before its depth is counted."""
    most = 16_384 // (item + ",").translate(COUNTED).count("c")
    assert decode_untrusted('2["x"' + f",{item}" * (most - 1) + "]", 64)
    with pytest.raises(ProtocolError, match="too many"):
        decode_untrusted('2["x"' + f",{item}" * most + "]", 64)
    with pytest.raises(ProtocolError, match="too many"):
        decode(f'2["x",{item},{item},{item}]', settings=Settings(max_json_items=3))


COUNTED = str.maketrans("[{,", "ccc")


def test_depth_that_no_reader_could_stand() -> None:
    """The number of values is within the limit, the depth is beyond Python's recursion."""
    for opening in ("[", '{"":'):
        with pytest.raises(ProtocolError, match="deep"):
            decode_untrusted('2["x",' + opening * 8000, 64)


def test_digits_of_a_whole_number_are_limited() -> None:
    message, _ = decode_untrusted(f'2["x",{"1" * 309},-7]', 64)
    assert message.data == ["x", int("1" * 309), -7]
    with pytest.raises(ProtocolError, match="malformed"):
        decode_untrusted(f'2["x",{"1" * 310}]', 64)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (["x", math.nan], ValueError),
        (["x", math.inf], ValueError),
        (["x", object()], TypeError),
        (["x", {1, 2}], TypeError),
    ],
)
def test_what_cannot_be_sent(data: list[object], error: type[Exception]) -> None:
    with pytest.raises(error):
        encode(Message(EVENT, data=data))


def test_lone_surrogates_are_escaped() -> None:
    message = decode('2["x","\\ud800é😀"]')
    assert message is not None
    assert encode(message) == ['2["x","\\ud800é😀"]']


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # lone surrogates too: JSON can contain them
    | st.text(st.characters())
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text().filter(lambda key: key != "_placeholder"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(_json, max_size=4), st.integers(0, MAX_ACK_ID) | st.none())
def test_events_come_back(args: list[object], ack_id: int | None) -> None:
    message = Message(EVENT, "/n", ["name", *args], ack_id)
    frames = encode(message)
    for frame in frames:
        assert isinstance(frame, bytes) or frame.encode()
    assert decode(*frames, settings=Settings(max_attachments=100)) == message


def _without_bytes(value: object) -> object:
    match value:
        case bytes():
            return value.hex()
        case list():
            return [_without_bytes(item) for item in value]
        case dict():
            return {key: _without_bytes(item) for key, item in value.items()}
    return value


@given(st.lists(_json, max_size=3), _json.map(_without_bytes))
def test_a_text_stands_for_its_value(args: list[object], last: object) -> None:
    text = JsonText(to_text(last))
    assert encode(Message(ACK, "/n", [*args, text], 7)) == encode(
        Message(ACK, "/n", [*args, last], 7)
    )


@given(st.lists(st.text() | st.text('0123456/-,["x]{}_') | st.binary(max_size=5), max_size=4))
def test_garbage_raises_nothing_else(frames: list[str | bytes]) -> None:
    decoder = Decoder(Settings())
    try:
        for frame in frames:
            decoder.receive_untrusted(frame)
    except ProtocolError:
        pass


def _depth(value: object) -> int:
    match value:
        case list():
            return 1 + max(map(_depth, value), default=0)
        case dict():
            return 1 + max(map(_depth, value.values()), default=0)
    return 0


_strings = st.text('[]{}"\\x,:')
_deep = st.recursive(
    _strings,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_strings, inner, max_size=2),
)


@given(_deep)
def test_depth_is_counted_as_the_reader_would(value: object) -> None:
    text = "2" + json.dumps(["x", value])
    assert decode_untrusted(text, 1 + _depth(value))
    with pytest.raises(ProtocolError, match="deep"):
        decode_untrusted(text, _depth(value))
