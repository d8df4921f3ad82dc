"""Webhooks that Kolab gets: a real daemon posts to a real HTTP server that works or fails."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from support.api import MeetApi
from support.certificates import make_certificate
from support.daemon import STOP_DEADLINE, Daemon, start_daemon
from support.participant import Participant, open_participant
from support.receiver import WebhookReceiver, open_receiver

from meet_trio.room import Role

API_TOKEN = "Kolab's-to-us"
HOOK_TOKEN = "ours-to-Kolab"
WEBHOOK_TIMEOUT = 30.0  # seconds that each post would hold up its request
OWNER = Role.SUBSCRIBER | Role.PUBLISHER | Role.MODERATOR | Role.OWNER


@contextlib.contextmanager
def open_daemon(
    receiver: WebhookReceiver, *flags: str, **environ: str
) -> Iterator[tuple[Daemon, MeetApi]]:
    """A daemon that must end in time whatever the receiver does."""
    environ |= {"AUTH_TOKEN": API_TOKEN, "WEBHOOK_URL": receiver.url, "WEBHOOK_TOKEN": HOOK_TOKEN}
    daemon = start_daemon(*flags, **environ)
    try:
        yield daemon, MeetApi("127.0.0.1", daemon.port, API_TOKEN)
    finally:
        if daemon.process.poll() is None:
            stop(daemon)


def stop(daemon: Daemon) -> None:
    code, seconds = daemon.stop()
    assert (code, seconds < STOP_DEADLINE) == (0, True), (seconds, daemon.log[-20:])
    assert "Traceback" not in "".join(daemon.log)


def closed(room_id: str) -> dict[str, str]:
    return {"roomId": room_id, "event": "roomClosed"}


def answered(room_id: str, request_id: str, answer: str) -> dict[str, str]:
    return {"requestId": request_id, "roomId": room_id, "event": f"joinRequest{answer}"}


async def accept(owner: Participant, request_id: str) -> None:
    await owner.request("moderator:joinRequestAccept", {"requestId": request_id})


async def deny(owner: Participant, request_id: str) -> None:
    await owner.request("moderator:joinRequestDeny", {"requestId": request_id})


async def wait_for_line(daemon: Daemon, text: str) -> None:
    while not any(text in line for line in tuple(daemon.log)):
        await trio.sleep(0.02)


async def test_a_meeting_from_its_first_request_to_its_end() -> None:
    with trio.fail_after(60), open_receiver() as receiver:
        with open_daemon(receiver) as (daemon, api):
            room_id = await api.create_room()
            async with open_participant(await api.create_peer(room_id, OWNER)) as owner:
                await owner.join("Ada")
                await accept(owner, "first")
                await deny(owner, "second")
                await accept(owner, "third")
                await owner.request("moderator:closeRoom")
                await receiver.wait_taken(4)
            stop(daemon)
        assert receiver.taken == [
            answered(room_id, "first", "Accepted"),
            answered(room_id, "second", "Denied"),
            answered(room_id, "third", "Accepted"),
            closed(room_id),
        ]
        for post in receiver.posts:
            assert (post.path, post.token) == ("/hook?x=1", HOOK_TOKEN)
            assert post.content_type == "application/json"


async def test_rooms_that_end_by_themselves() -> None:
    flags = ("--rooms-empty-timeout", "0.3", "--rooms-never-joined-timeout", "1")
    with trio.fail_after(60), open_receiver() as receiver:
        with open_daemon(receiver, *flags) as (_, api):
            left = await api.create_room()
            async with open_participant(await api.create_peer(left, OWNER)) as owner:
                await owner.join("Ada")
                await owner.leave()
            unseen = await api.create_room()
            await receiver.wait_taken(2)
        assert sorted(receiver.taken, key=str) == sorted([closed(left), closed(unseen)], key=str)


async def test_the_systems_authorities_are_trusted_and_no_others(tmp_path: Path) -> None:
    """As by the doctor's check of the webhook."""
    tls = make_certificate(tmp_path, "kolab")
    flags = ("--rooms-never-joined-timeout", "0.3")
    with trio.fail_after(60), open_receiver(tls=tls) as receiver:
        with open_daemon(receiver, *flags, SSL_CERT_FILE=str(tls[0])) as (_, api):
            room_id = await api.create_room()
            await receiver.wait_taken(1)
        with open_daemon(receiver, *flags) as (daemon, api):
            await api.create_room()
            await wait_for_line(daemon, "webhook roomClosed: self-signed certificate, trying again")
        assert receiver.taken == [closed(room_id)]


async def test_the_end_of_the_server_is_the_end_of_its_rooms() -> None:
    with trio.fail_after(60), open_receiver() as receiver:
        with open_daemon(receiver) as (daemon, api):
            rooms = [await api.create_room() for _ in range(20)]
            async with open_participant(await api.create_peer(rooms[0], OWNER)) as owner:
                await owner.join("Ada")
                await trio.to_thread.run_sync(stop, daemon)
        assert sorted(post["roomId"] for post in receiver.taken) == sorted(rooms)
        assert {post["event"] for post in receiver.taken} == {"roomClosed"}


async def test_a_receiver_that_is_down_for_a_while_hears_all_in_order() -> None:
    with trio.fail_after(60), open_receiver(up=False) as receiver:
        with open_daemon(receiver) as (daemon, api):
            room_id = await api.create_room()
            async with open_participant(await api.create_peer(room_id, OWNER)) as owner:
                await owner.join("Ada")
                await accept(owner, "while it is down")
                await deny(owner, "still")
                await wait_for_line(daemon, f"trying again  room={room_id}")
                receiver.status = 503
                receiver.start()
                await receiver.wait_posts(1)
                # The receiver is up and answers with errors; the meeting does not wait for it.
                await accept(owner, "while it is ill")
                receiver.status = 204
                await receiver.wait_taken(3)
                await owner.request("moderator:closeRoom")
                await receiver.wait_taken(4)
        assert receiver.taken == [
            answered(room_id, "while it is down", "Accepted"),
            answered(room_id, "still", "Denied"),
            answered(room_id, "while it is ill", "Accepted"),
            closed(room_id),
        ]
        # Only the webhook that met the 503 is sent twice.
        assert [post.body for post in receiver.posts] == [receiver.taken[0], *receiver.taken]


async def test_what_is_refused_is_not_repeated() -> None:
    with trio.fail_after(60), open_receiver() as receiver:
        receiver.status = 403
        with open_daemon(receiver) as (daemon, api):
            room_id = await api.create_room()
            async with open_participant(await api.create_peer(room_id, OWNER)) as owner:
                await owner.join("Ada")
                await accept(owner, "refused")
                await wait_for_line(daemon, "lost: status 403")
                receiver.status = 204
                await accept(owner, "taken")
                await receiver.wait_taken(1)
        assert [post.body.get("requestId") for post in receiver.posts] == ["refused", "taken", None]


@pytest.mark.parametrize("trouble", ["refuses connections", "never answers"])
async def test_a_receiver_in_trouble_holds_up_nobody(trouble: str) -> None:
    with trio.fail_after(90), open_receiver(up=trouble == "never answers") as receiver:
        receiver.may_answer.clear()
        with open_daemon(receiver, "--webhook-timeout", f"{WEBHOOK_TIMEOUT}") as (daemon, api):
            room_id = await api.create_room()
            async with open_participant(await api.create_peer(room_id, OWNER)) as owner:
                await owner.join("Ada")
                with trio.fail_after(WEBHOOK_TIMEOUT / 2):
                    for number in range(50):
                        await accept(owner, str(number))
                    await owner.request("moderator:closeRoom")
                    while await api.rooms():
                        await trio.sleep(0.02)
            # ``stop`` checks the time that the end takes.
            await trio.to_thread.run_sync(stop, daemon)
            assert "webhooks were not delivered" in "".join(daemon.log)
        assert receiver.taken == []
