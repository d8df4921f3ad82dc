"""A server that is killed under a meeting: the next one goes on with it."""

from collections.abc import Iterator

import pytest
import trio
from support.daemon import api_of
from support.gathering import open_gathering
from support.machine import datagrams_dropped
from support.meeting import open_meeting
from support.progress import PATIENCE, received, wait_for_media
from support.receiver import open_receiver
from support.restarts import Restarting, open_restarting
from support.signaling import Signaling, open_signaling

KILLS = 4
MOST_AT_ONCE = 100  # packets that an engine has read and not sent when it is killed
GUESTS = 10


@pytest.fixture
def restarting() -> Iterator[Restarting]:
    with open_restarting() as found:
        yield found


async def test_media_goes_on_after_kills(restarting: Restarting) -> None:
    """No packet is sent twice or out of order: what comes meanwhile waits in the kernel. What was
    read and not sent when the server was killed is lost: a batch, or the queue of a pacer. And what
    has waited comes all at once, which may be too much for the receivers' sockets.
    """
    api = api_of(restarting.daemon)
    dropped = datagrams_dropped()
    async with open_meeting(api, await api.create_room()) as people:
        before = received(people)
        for _ in range(2):
            await restarting.replace()
            await wait_for_media(people, 10)
        assert received(people).keys() == before.keys()
        streams = [c.stream for person in people for c in person.consumers.values()]
        assert all((one.duplicates, one.faults) == (0, []) for one in streams)
        lost = sum(one.lost for one in streams) - (datagrams_dropped() - dropped)
        assert lost <= 2 * MOST_AT_ONCE
        assert not any(c.closed for person in people for c in person.consumers.values())


async def test_a_server_is_killed_as_soon_as_its_engines_have_begun(restarting: Restarting) -> None:
    """The next one goes on with what this one had taken over, also with its certificate. What this
    one had read and not sent yet is lost.
    """
    api = api_of(restarting.daemon)
    async with open_gathering(api, await api.create_room(), 2) as gathering:
        person = gathering.people[0]
        assert person.send is not None
        before = restarting.kill()
        await restarting.wait_for_log("rooms of the process before go on", 1)
        assert restarting.kill() != before
        assert "room goes on" not in "".join(restarting.daemon.log)  # it was not further than that
        await gathering.wait_for_returns(1)
        await gathering.wait_for_media(2)
        gathering.check()
        transport = await person.create_transport(producing=False)
        assert transport.remote.fingerprints == person.send.transport.remote.fingerprints


async def test_peers_come_back(restarting: Restarting) -> None:
    """They hear ``roomBack``, and that nobody has left; the chat goes on."""
    api = api_of(restarting.daemon)
    room = await api.create_room()
    urls = [await api.create_peer(room, 3) for _ in range(2)]
    async with open_signaling(urls[0]) as first, trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        await first.wait_notice("roomReady")
        await first.request("join", {"nickname": "Ada"})
        await restarting.replace()
        nursery.cancel_scope.cancel()
    async with open_signaling(urls[0]) as first, trio.open_nursery() as nursery:
        nursery.start_soon(first.run)
        await first.wait_notice("roomBack")
        async with open_signaling(urls[1]) as second, trio.open_nursery() as inner:
            inner.start_soon(second.run)
            await second.wait_notice("roomReady")
            answer = await second.request("join", {"nickname": "Bob"})
            assert [peer["nickname"] for peer in answer["peers"]] == ["Ada"]
            await second.request("chatMessage", {"message": "still here?"})
            notice = await first.wait_notice("chatMessage")
            assert notice.data["message"] == "still here?"
            inner.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def test_nobody_is_lost_and_nothing_leaks_in_many_kills() -> None:
    """No index is used twice with one key, nobody has to join anew, and neither process nor the
    state directory grows. ``tests/bench/restart.py`` has the long form.
    """
    with open_restarting(tireless=True) as restarting:
        api = api_of(restarting.daemon)
        async with open_gathering(api, await api.create_room(), GUESTS) as gathering:
            first, dropped = None, datagrams_dropped()
            for number in range(1, KILLS + 1):
                await restarting.replace()
                await gathering.wait_for_returns(number)
                await gathering.wait_for_media(2)
                used = await restarting.settled(first)
                first = first or used
            gathering.check()
            print(f"{gathering.datagrams} datagrams, {gathering.lost} packets lost")
            lost = gathering.lost - (datagrams_dropped() - dropped)
            assert lost <= KILLS * MOST_AT_ONCE * (GUESTS - 1)


async def test_who_was_away_hears_what_was_said(restarting: Restarting) -> None:
    """What a client misses while it has no socket, or does not read, is not lost with the server;
    nobody hears it twice.
    """
    api = api_of(restarting.daemon)
    room = await api.create_room()
    urls = [await api.create_peer(room, 3) for _ in range(3)]
    said = [f"text {number} \N{GRINNING FACE}" for number in range(20)]
    async with (
        open_signaling(urls[0]) as first,
        open_signaling(urls[1]) as deaf,
        open_signaling(urls[2]) as lost,
        trio.open_nursery() as nursery,
    ):
        for signaling in (first, deaf, lost):
            nursery.start_soon(signaling.run)
            await signaling.wait_notice("roomReady")
            await signaling.request("join", {"nickname": "x"})
        deaf.stop_reading()
        lost.abort()
        for text in said:
            await first.request("chatMessage", {"message": text})
        with trio.fail_after(PATIENCE):
            while len(chat_of(first)) < len(said):
                await trio.sleep(0.01)
        await trio.sleep(1)
        await restarting.replace()
        nursery.cancel_scope.cancel()
    for number, url in enumerate(urls):
        async with open_signaling(url) as again, trio.open_nursery() as nursery:
            nursery.start_soon(again.run)
            await again.wait_notice("roomBack")
            await again.request("ping")  # is answered after what was missed
            assert chat_of(again) == (said if number == 2 else [])
            nursery.cancel_scope.cancel()


def chat_of(signaling: Signaling) -> list[str]:
    return [n.data["message"] for n in signaling.notices if n.method == "chatMessage"]


async def test_the_token_stays_and_webhooks_wait() -> None:
    """The token of demo mode is valid in the next process too, and events reach a receiver that
    was away.
    """
    with (
        open_receiver(up=False) as receiver,
        open_restarting(WEBHOOK_URL=receiver.url) as restarting,
    ):
        api = api_of(restarting.daemon)
        room = await api.create_room()
        async with open_signaling(await api.create_peer(room, 31)) as owner:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(owner.run)
                await owner.wait_notice("roomReady")
                for request in ("1", "2"):
                    await owner.request("moderator:joinRequestAccept", {"requestId": request})
                await owner.request("moderator:closeRoom")
                nursery.cancel_scope.cancel()
        await restarting.replace()
        assert await api.rooms() == []
        receiver.start()
        with trio.fail_after(PATIENCE):
            while len(receiver.taken) < 3:
                await trio.sleep(0.05)
        assert [body.get("requestId") for body in receiver.taken] == ["1", "2", None]
        assert receiver.taken[2]["event"] == "roomClosed"
