"""People without browsers who join a room at nearly the same moment, and watch."""

import functools
import math

import trio
from support.api import MeetApi
from support.daemon import Daemon, token_of
from support.media_sink import ReceiveStream
from support.participant import open_participant
from support.peers import PARTICIPANT
from support.wire.rtp import RtpPacket
from support.wire.vp8 import is_key_frame, parse_vp8_untrusted

from meet_trio.bench.dtls import Identity


async def _wait_key_frame(stream: ReceiveStream) -> None:
    """Wait for a picture of a browser. As in a browser, a picture without its beginning makes the
    stream ask for a key frame: the server may be connected a moment before its client.
    """
    arrived = trio.Event()

    def see(packet: RtpPacket) -> None:
        if is_key_frame(*parse_vp8_untrusted(packet.payload)):
            stream.key_frame_wanted = False
            arrived.set()
        elif not arrived.is_set():
            stream.key_frame_wanted = True

    stream.on_packet = see
    await arrived.wait()


async def join_within(
    daemon: Daemon, room_id: str, count: int, seconds: float, stay: float
) -> None:
    """``count`` people join, spread over ``seconds``. Each gets video before ``stay`` is over."""
    host, _, port = daemon.url.split("/")[2].partition(":")
    api = MeetApi(host, int(port), token_of(daemon))
    identity = Identity.generate()

    async def watch(number: int) -> None:
        url = await api.create_peer(room_id, PARTICIPANT)
        await trio.sleep(seconds * number / count)
        async with open_participant(url, identity=identity) as person:
            await person.join(f"watcher {number}")
            async with trio.open_nursery() as nursery:
                # Both at a time: the key frame may be the first packet of the connected transport.
                nursery.start_soon(functools.partial(person.connect, send=False))
                await _wait_key_frame((await person.wait_consumer(kind="video")).stream)
            await trio.sleep_until(end)

    end = trio.current_time() + stay
    with trio.fail_after(math.ceil(2 * stay)):
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(watch, number)
