"""Participants as a process of their own: ``python -m support.crowd TOKEN_URL…``.

Each joins, sends audio and simulcast video and receives all others. The process prints ``ready``
when each has got a frame of every stream that it was offered by then. The participants stay until
the process is killed or its standard input ends.
"""

import sys

import trio
from support.participant import Participant, open_participant

from meet_trio.bench.dtls import Identity


async def meet(participant: Participant, others: int) -> None:
    """Join, send little media, and wait for a frame of ``others`` participants' audio and video."""
    await participant.join()
    await participant.connect()
    await participant.produce_audio(interval=0.1)
    await participant.produce_video(frame_sizes=(300, 1500), fps=5)
    for kind in ("audio", "video"):
        await participant.wait_consumers(kind, others)
    for consumer in list(participant.consumers.values()):
        if not consumer.closed and not consumer.stream.frames:
            await participant.wait_frames(consumer)


async def _main(urls: list[str]) -> None:
    identity = Identity.generate()
    ready = 0

    async def live(url: str) -> None:
        nonlocal ready
        async with open_participant(url, identity=identity) as participant:
            await meet(participant, len(urls) - 1)
            ready += 1
            if ready == len(urls):
                print("ready", flush=True)
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for url in urls:
            nursery.start_soon(live, url)
        stdin = trio.lowlevel.FdStream(sys.stdin.fileno())
        while await stdin.receive_some(1):
            pass
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(_main, sys.argv[1:])
