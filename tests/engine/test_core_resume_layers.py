"""Layers within one stream (SVC), and RTP without SRTP, go on after a kill.

The oracle is a control: the same scene without the kill.
"""

import attrs
import pytest
from support.engine_kept import KeptWorld
from support.engine_plain import PlainClient
from support.engine_world import Camera, FarSide, sender_report, video, viewed
from support.svc_camera import DESCRIPTOR, SvcCamera
from support.wire.dependency import URI
from support.wire.rtcp import Fir, Pli, SenderReport
from support.wire.rtp import RtpPacket

KILLED_AT = (7, 30, 31, 53)  # pictures: of every temporal layer, before and after changes of layers
CHANGES = {16: (1, 2), 24: (1, 0), 40: (0, 1)}  # preferred layers by picture


def requests(client: FarSide) -> int:
    return len(client.rtcp_of(Pli)) + len(client.rtcp_of(Fir))


def svc_scene(
    codec: str, key_only: bool, killed_at: tuple[int, ...]
) -> tuple[list[RtpPacket], int]:
    """What a viewer gets, and the number of key frames that were asked for."""
    world = KeptWorld()
    alice, bob = world.client(), world.client()
    spec = video(codec=codec)
    extensions = {**spec.header_extensions, URI: DESCRIPTOR}
    producer = world.produce(alice, attrs.evolve(spec, header_extensions=extensions))
    seen = {**viewed(0).header_extensions, URI: 8}
    consumer = world.consume(bob, producer, header_extensions=seen)
    camera = SvcCamera(codec, key_only)
    for i in range(60):
        if i in CHANGES:
            world.core.set_preferred_layers(consumer, *CHANGES[i])
        if i in killed_at:
            world.kill(after=0)
            assert world.refused() == 0
        world.run(1 / 30)
        alice.send(*camera.next_picture(key=i == 0))
    world.run(0.5)
    return bob.rtp, requests(alice)


@pytest.mark.parametrize("key_only", [False, True])
@pytest.mark.parametrize("codec", ["video/vp9", "video/av1"])
def test_the_layers_of_one_stream_go_on(codec: str, key_only: bool) -> None:
    """Numbers, picture ids and dependency descriptors are those of a stream without a kill."""
    got, asked = svc_scene(codec, key_only, KILLED_AT)
    control, control_asked = svc_scene(codec, key_only, ())
    assert got == control
    assert asked == control_asked
    numbers = [(p.sequence_number - got[0].sequence_number) & 0xFFFF for p in got]
    assert numbers == list(range(len(got)))
    assert len({p.payload for p in got}) > 30


@pytest.mark.parametrize("comedia", [False, True])
def test_plain_rtp_goes_on(comedia: bool) -> None:
    """Both ways, and to the addresses that were told or learnt."""

    def scene(killed_at: tuple[int, ...]) -> tuple[list[RtpPacket], int]:
        world = KeptWorld()
        alice, bob = PlainClient.open(world, comedia=comedia), PlainClient.open(world)
        bob.port, bob.rtcp_port = 7100, 7101
        if not comedia:
            alice.connect()
        bob.connect()
        producer = world.produce(alice, video())
        world.consume(bob, producer)
        camera = Camera(parts=3)
        for i in range(60):
            if i in killed_at:
                world.kill(after=0)
                assert world.refused() == 0
            world.run(1 / 30)
            alice.send(*camera.frame(key=i == 0))
            alice.send_rtcp(sender_report(1000, (i + 1) << 32, camera.timestamp))
        world.run(2)
        assert not alice.astray
        assert not bob.astray
        assert bob.rtcp_of(SenderReport)
        return bob.rtp, requests(alice)

    got, asked = scene((10, 11, 40))
    control, control_asked = scene(())
    assert len(control) == 180
    assert got == control
    assert asked == control_asked
