"""The oracle that watches every test of the core can fail: see ``support.indices``."""

import pytest
from support.engine_plain import PlainClient
from support.engine_world import Camera, World, of, video
from support.indices import Indices
from support.wire.rtcp import Nack


def rtp(sequence: int, payload: bytes, ssrc: int = 1) -> bytes:
    return b"\x80\x60" + sequence.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big") + payload


def rtcp(index: int, payload: bytes, tag: bytes = b"") -> bytes:
    word = (0x80000000 | index).to_bytes(4, "big")
    return b"\x80\xc9\0\1" + bytes(4) + payload + word + tag


def test_an_index_with_other_bytes_is_seen() -> None:
    indices = Indices()
    indices.rtp("session", rtp(1, b"one"))
    indices.rtp("session", rtp(2, b"two"))
    with pytest.raises(AssertionError, match="index 1 "):
        indices.rtp("session", rtp(1, b"two"))


def test_the_same_bytes_another_ssrc_and_another_session_are_allowed() -> None:
    indices = Indices()
    indices.rtp("session", rtp(1, b"one"))
    indices.rtp("session", rtp(1, b"one"))
    indices.rtp("session", rtp(1, b"two", ssrc=2))
    indices.rtp("another", rtp(1, b"two"))
    # Each of the three is remembered with its own bytes.
    for session, ssrc, other in (
        ("session", 1, b"two"),
        ("session", 2, b"one"),
        ("another", 1, b"one"),
    ):
        with pytest.raises(AssertionError, match="index 1 "):
            indices.rtp(session, rtp(1, other, ssrc))


def test_a_number_after_a_roll_over_is_another_index_and_before_it_the_same() -> None:
    indices = Indices()
    for sequence in (65_535, 20_000, 50_000, 65_535 + 65_536):
        indices.rtp("session", rtp(sequence % 65_536, b"%d" % sequence))
    indices.rtp("session", rtp(10_000, b"a round later"))
    with pytest.raises(AssertionError):
        indices.rtp("session", rtp(65_535, b"other"))


@pytest.mark.parametrize(("profile", "tag"), [(0x0001, b"0123456789"), (0x0007, b"")])
def test_an_index_of_rtcp_is_seen_before_the_tag_or_after_it(profile: int, tag: bytes) -> None:
    indices = Indices()
    indices.rtcp("session", profile, rtcp(1, b"one", tag))
    indices.rtcp("session", profile, rtcp(2, b"two", tag))
    with pytest.raises(AssertionError, match="index 2 "):
        indices.rtcp("session", profile, rtcp(2, b"one", tag))


def test_a_world_watches_what_leaves_for_clients_and_plain_ends() -> None:
    world = World()
    alice, bob, carol = world.client(), world.client(), PlainClient.open(world).connect()
    producer = world.produce(alice, video())
    seen = [world.consume(bob, producer, rtx_ssrc=None, rtx_payload_type=None)]
    seen.append(world.consume(carol, producer))
    camera = Camera()
    for _ in range(3):
        alice.send(*camera.frame(key=True))
        world.run(0.5)
    bobs, carols = bob.raw, carol.rtp
    (number,) = {p.sequence_number for p in of(bob.rtp, seen[0] + 50_000)[-1:]}
    bob.drop = lambda _: True  # libsrtp would reject it as a replay
    bob.send_rtcp(Nack(1, seen[0] + 50_000, (number,)))
    assert len(bobs) == 7  # the same bytes again
    assert carols
    for session, data in (((bob.number, 1), bobs[0]), (("plain", carol.number), rtp(0, b"?"))):
        changed = bytearray(data)
        if session[0] == "plain":
            changed[8:12] = (seen[1] + 50_000).to_bytes(4, "big")
            changed[2:4] = carols[0].sequence_number.to_bytes(2, "big")
        changed[-1] ^= 1
        with pytest.raises(AssertionError):
            world.indices.rtp(session, bytes(changed))
