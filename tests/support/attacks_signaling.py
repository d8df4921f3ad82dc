"""Attacks over HTTP, websockets and requests. See ``attacker``."""

import contextlib
import functools
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import trio
from support.api import ApiError
from support.attacks import upgrade
from support.field import Attack, Attacks, Field, Guest, Press, enter, microphone, until
from support.peers import CAPABILITIES

from meet_trio.bench.light_peer import LightPeer, RequestFailed, client_frame, open_light_peer
from meet_trio.bench.rtp_parameters import simulcast_encodings, video_parameters
from meet_trio.room import Role

ATTACKS = Attacks()
attack = ATTACKS.add


# Without a token


async def knock(field: Field, address: str, first: bytes, then: bytes) -> bytes:
    """Open one connection that sends ``first``, reads an answer and sends ``then``; returns
    everything it got until its end. Frames sent together with the handshake would not be read any
    earlier.
    """
    told = b""
    with contextlib.suppress(OSError, trio.BrokenResourceError):
        stream = await trio.open_tcp_stream("127.0.0.1", field.target.port, local_address=address)
        async with stream:
            await stream.send_all(first)
            told += await stream.receive_some()
            await stream.send_all(then)
            async for chunk in stream:
                told += chunk
    return told


@attack
async def a_thousand_handshakes_a_second(field: Field) -> AsyncIterator[Press]:
    """The addresses are all within their rates."""
    hello = upgrade("peerId=a&roomId=b&authToken=c")

    async def press(seconds: float) -> dict[str, float]:
        told: dict[str, int] = {}
        open_now = trio.CapacityLimiter(1000)

        async def one(number: int) -> None:
            async with open_now:
                said = await knock(field, f"127.7.0.{1 + number % 20}", hello, client_frame(b"40"))
            kind = "refused" if b"41" in said else said[9:12].decode()
            told[kind] = told.get(kind, 0) + 1

        with trio.move_on_after(seconds + 10):
            async with trio.open_nursery() as nursery:
                started = trio.current_time()
                for number in range(int(1000 * seconds)):
                    await trio.sleep_until(started + number // 20 / 50)
                    nursery.start_soon(one, number)
        field.target.seen.append(f"{told}")
        return {"refused": told.get("refused", 0)}

    yield press


@attack
async def idle_connections_of_four_addresses(field: Field) -> AsyncIterator[Press]:
    """Each of four addresses opens as many as it may have: together as many as all strangers may
    have.
    """

    async def press(seconds: float) -> dict[str, float]:
        begun = ended = 0

        async def one(address: str) -> None:
            nonlocal begun, ended
            try:
                stream = await trio.open_tcp_stream(
                    "127.0.0.1", field.target.port, local_address=address
                )
                async with stream:
                    begun += 1
                    await stream.receive_some()
            except (OSError, trio.BrokenResourceError):
                pass
            ended += 1

        async with trio.open_nursery() as nursery:
            for number in range(4 * 1024):
                nursery.start_soon(one, f"127.8.0.{1 + number % 4}")
                if number % 64 == 63:
                    await trio.sleep(0.01)
            while begun + ended < 4 * 1024:
                await trio.sleep(0.01)
            await trio.sleep(seconds)
            nursery.cancel_scope.cancel()
        field.target.seen.append(f"{begun} connected, {ended} ended early")
        return {"ended": ended}

    yield press


@attack
async def websocket_pings_at_full_speed(field: Field) -> AsyncIterator[Press]:
    """Each ping is answered, so the answers show how many were read."""

    async def press(seconds: float) -> dict[str, float]:
        sent = pongs = 0

        async def one() -> None:
            nonlocal sent
            async with field.target.websocket("peerId=a&roomId=b&authToken=c") as stream:
                if not (await stream.receive_some()).startswith(b"HTTP/1.1 101"):
                    return
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(read, stream)
                    many = client_frame(b"", 9) * 1000
                    while True:
                        await stream.send_all(many)
                        sent += 1000

        async def read(stream: trio.SocketStream) -> None:
            nonlocal pongs
            async for chunk in stream:
                pongs += chunk.count(b"\x8a\x00")
            raise trio.BrokenResourceError

        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(_forgiving, one)
        field.target.seen.append(f"{sent} sent, {pongs} answered in {seconds} s")
        return {"pongs": pongs}

    yield press


async def _forgiving(act: Any, *arguments: Any) -> None:
    """Ignore the way in which the connection ends."""
    try:
        await act(*arguments)
    except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
        pass


@attack
async def nested_lists_of_strangers(field: Field) -> AsyncIterator[Press]:
    """A megabyte of JSON that is expensive to parse, sent before any token."""
    hello = upgrade("peerId=a&roomId=b&authToken=c")
    message = client_frame(b'40{"x":[' + b"[]," * 320_000 + b"[]]}")

    async def press(seconds: float) -> None:
        with trio.move_on_after(seconds + 5):
            count = await until(seconds, lambda: knock(field, field.target.source, hello, message))
            field.target.seen.append(f"{count} messages")

    yield press


# With one


@attack
async def nested_lists_of_a_participant(field: Field) -> AsyncIterator[Press]:
    """The same in a request, sent as fast as the server reads."""
    async with contextlib.AsyncExitStack() as stack:
        room = await field.api.create_room()
        guest = await enter(stack, await field.invite(room))
        data = b"[" + b"[]," * 320_000 + b"[]]"

        async def press(seconds: float) -> None:
            number = 10_000

            async def one() -> None:
                nonlocal number
                number += 1
                text = b'42%d["request",{"method":"ping","data":%b}]' % (number, data)
                await guest.peer.say(text.decode())

            with contextlib.suppress(trio.BrokenResourceError), trio.move_on_after(seconds):
                await until(seconds, one)
            field.target.seen.append(f"{number - 10_000} messages")

        yield press


@attack
async def notices_that_are_not_read(field: Field) -> AsyncIterator[Press]:
    """Twenty peers join and read nothing more, until the server closes them."""
    room = await field.api.create_room()
    async with contextlib.AsyncExitStack() as stack:
        streams = []
        for _ in range(20):
            url = urlsplit(await field.invite(room))
            sock = trio.socket.socket()
            # The option affects the window only before the connection.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await sock.connect(("127.0.0.1", field.target.port))
            stream = await stack.enter_async_context(trio.SocketStream(sock))
            join = {"method": "join", "data": {"nickname": "x", "rtpCapabilities": CAPABILITIES}}
            await stream.send_all(upgrade(url.query))
            assert (await stream.receive_some(100)).startswith(b"HTTP/1.1 101")
            await stream.send_all(
                client_frame(b"40") + client_frame(f'420["request",{json.dumps(join)}]'.encode())
            )
            streams.append(stream)
        while not all(
            peer["nickname"] == "x"
            for peer in (await field.api.call("GET", "/stats"))[room].values()
        ):
            await trio.sleep(0.05)

        async def press(seconds: float) -> dict[str, float]:
            signal = {"roomId": room, "type": "news", "data": "x" * 100_000}
            for _ in range(110):
                await field.api.call("POST", "/signal", signal)
            # closed peers do not come back
            while (await field.api.call("GET", "/stats")).get(room):
                await trio.sleep(0.1)
            return {}

        yield press


@attack
async def a_mid_of_other_letters(field: Field) -> AsyncIterator[Press]:
    """64 characters are 192 bytes. The room goes on, and others join."""
    async with contextlib.AsyncExitStack() as stack:
        room = await field.api.create_room()
        others = [await enter(stack, await field.invite(room), speaking=True) for _ in range(6)]
        bad = await enter(stack, await field.invite(room), speaking=True)

        async def press(seconds: float) -> dict[str, float]:
            for number in range(5):
                offer = microphone(bad.sending, chr(0x20AC + number) * 64, 2000 + number)
                answer = await bad.peer.ask("produce", offer)
            field.target.seen.append(f"{str(answer)[:100]}")
            hurt = await harmed(others)
            try:
                with trio.fail_after(30):
                    async with contextlib.AsyncExitStack() as late:
                        await enter(late, await field.invite(room), speaking=True)
                        return {"harmed": hurt + await harmed(others)}
            except trio.TooSlowError:
                return {"harmed": len(others)}

        yield press


async def harmed(guests: list[Guest]) -> int:
    """The number of guests whose next requests are not answered correctly."""
    count = len(guests)
    for guest in guests:
        with trio.move_on_after(20), contextlib.suppress(trio.BrokenResourceError, RequestFailed):
            await guest.peer.request("ping")
            await guest.peer.request("raisedHand", {"raisedHand": True})
            await guest.peer.request("raisedHand", {"raisedHand": False})
            count -= 1
    return count


@attack
async def junk_codecs(field: Field) -> AsyncIterator[Press]:
    """0.9 MB of unknown codecs, forwarded to sixty peers."""
    guests = await field.sixty()
    async with contextlib.AsyncExitStack() as stack:
        bad = await enter(stack, await field.invite(field.sixty_room), speaking=True)
        offer = {
            "transportId": bad.sending,
            "kind": "video",
            "rtpParameters": video_parameters("1", "x", simulcast_encodings(1)),
            "appData": {"source": "webcam"},
        }
        junk = {f"x{number}": "y" * 480 for number in range(15)}
        free = [number for number in range(128) if number not in (96, 97)][:118]
        offer["rtpParameters"]["codecs"] += [
            {
                "mimeType": "video/VP8",
                "payloadType": number,
                "clockRate": 90000,
                "parameters": junk,
                "rtcpFeedback": [],
            }
            for number in free
        ]

        async def press(seconds: float) -> dict[str, float]:
            before, made = received(guests), 0

            async def one() -> None:
                nonlocal made
                answer = await bad.peer.ask("produce", offer)
                if answer[0] is None:
                    made += 1
                    await bad.peer.ask("closeProducer", {"producerId": answer[1]["id"]})

            asked = await until(seconds, one, 0.1)
            told = (received(guests) - before) / len(guests) / max(made, 1)
            field.target.seen.append(f"{made} of {asked} made, {told:.0f} bytes to each for each")
            return {"bytes": told}

        yield press


def received(guests: list[Guest]) -> int:
    return sum(guest.peer.received for guest in guests)


def among_sixty(act: Callable[[Guest], Awaitable[list[Any]]]) -> Attack:
    """Decorate what one of sixty peers does as often as it may without losing its connection, and
    which returns the answers: it becomes an attack.
    """

    @functools.wraps(act)
    async def flood(field: Field) -> AsyncIterator[Press]:
        await field.sixty()
        async with contextlib.AsyncExitStack() as stack:
            bad = await enter(stack, await field.invite(field.sixty_room), speaking=True)

            async def press(seconds: float) -> dict[str, float]:
                refused = done = 0

                async def one() -> None:
                    nonlocal refused, done
                    for answer in await act(bad):
                        if answer[:1] == [500]:
                            refused += 1
                            await trio.sleep(0.05)
                        else:
                            done += 1

                async with trio.open_nursery() as nursery:
                    for _ in range(3):
                        nursery.start_soon(until, seconds, one)
                field.target.seen.append(f"{done} done, {refused} refused")
                return {"done": done, "refused": refused}

            yield press

    return attack(flood)


@among_sixty
async def produce_and_close_among_sixty(bad: Guest) -> list[Any]:
    number = bad.peer.notices["flood"] = bad.peer.notices["flood"] + 1
    made = await bad.peer.ask("produce", microphone(bad.sending, f"m{number}", 5000 + number))
    if made[0] is not None:
        return [made]
    return [made, await bad.peer.ask("closeProducer", {"producerId": made[1]["id"]})]


@among_sixty
async def pause_and_resume_among_sixty(bad: Guest) -> list[Any]:
    of = {"producerId": bad.producer}
    return [await bad.peer.ask("pauseProducer", of), await bad.peer.ask("resumeProducer", of)]


@among_sixty
async def join_again_among_sixty(bad: Guest) -> list[Any]:
    again = {"nickname": "x", "rtpCapabilities": CAPABILITIES}
    return [await bad.peer.ask("join", again)]


@among_sixty
async def dump_stats_among_sixty(bad: Guest) -> list[Any]:
    return [await bad.peer.ask("dumpStats")]


@attack
async def methods_for_the_log(field: Field) -> AsyncIterator[Press]:
    """Methods with newlines, and one of nearly a megabyte."""
    room = await field.api.create_room()

    async def press(seconds: float) -> None:
        async with open_light_peer(await field.invite(room)) as peer:
            await _bad_methods(peer)

    yield press


async def _bad_methods(peer: LightPeer) -> None:
    for _ in range(3):
        await peer.ask("long" + "x" * 900_000)
    for number in range(20):
        await peer.ask(f"x{number}\n2026-01-01 00:00:00,000 ERROR   FORGED\r\n\x1b[2J FORGED")
        await peer.ask("\u2028FORGED\u0085FORGED")


@attack
async def statistics_while_peers_are_kicked(field: Field) -> AsyncIterator[Press]:
    """Each call is answered with 200 while peers are kicked."""
    async with contextlib.AsyncExitStack() as stack:
        room = await field.api.create_room()
        owner = await enter(stack, await field.invite(room, Role.OWNER | Role.MODERATOR))

        async def kick_all(urls: list[str]) -> None:
            ids = [dict(f.split("=") for f in urlsplit(u).query.split("&"))["peerId"] for u in urls]
            for id in ids:
                await owner.peer.request("moderator:kickPeer", {"peerId": id})
                await trio.sleep(0.005)

        async def press(seconds: float) -> dict[str, float]:
            calls = failed = 0

            async def call(over: trio.Event) -> None:
                nonlocal calls, failed
                while not over.is_set():
                    try:
                        await field.api.call("GET", "/stats")
                    except ApiError:
                        failed += 1
                    calls += 1

            for _ in range(4):
                urls = [await field.invite(room) for _ in range(20)]
                async with contextlib.AsyncExitStack() as guests:
                    for url in urls:
                        await enter(guests, url, speaking=True)
                    async with trio.open_nursery() as nursery:
                        over = trio.Event()
                        for _ in range(4):
                            nursery.start_soon(call, over)
                        await kick_all(urls)
                        over.set()
            field.target.seen.append(f"{calls} calls, {failed} failed")
            return {"failed": failed}

        yield press
