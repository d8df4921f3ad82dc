"""Who speaks, and last-N, in rooms with fake engines and a clock that jumps."""

from collections.abc import AsyncIterator, Sequence

import attrs
import pytest
import trio
import trio.testing
from support.live_agreement import disagreements
from support.live_fakes import Client, World
from support.live_scenes import join, open_world, produce, transport
from support.peers import EVERYTHING
from trio.testing import MockClock

from meet_trio.engine import AudioLevel
from meet_trio.live.room import LiveRoom
from meet_trio.live.settings import RoomSettings
from meet_trio.live.speakers import LEVELS_INTERVAL
from meet_trio.rates import Rate

LOUD, QUIET = -25, -80
NAMES = ("ada", "bob", "cyd", "dan", "eve")


@attrs.define(eq=False)
class Meeting:
    """Five people with microphone and camera. Ada is the moderator."""

    world: World
    room: LiveRoom
    people: dict[str, Client]

    @classmethod
    async def open(cls, world: World, names: Sequence[str] = NAMES, **room: int) -> "Meeting":
        meeting = cls(world, await world.registry.create_room(**room), {})
        for name in names:
            client = meeting.people[name] = await world.enter(meeting.room, EVERYTHING, details="1")
            await transport(client.socket, consuming=True)
            await join(client, name)
        for client in meeting.people.values():
            await produce(client)
            await produce(client, "video")
        await trio.sleep(1)
        return meeting

    def __getitem__(self, name: str) -> Client:
        return self.people[name]

    def name(self, peer_id: str | None) -> str | None:
        return next((name for name, c in self.people.items() if c.id == peer_id), None)

    def level(self, name: str, dbov: int) -> None:
        """The engine tells the level of the microphone, if it was asked to."""
        for producer in self.room.producers.values():
            if producer.state.is_voice and producer.state.peer_id == self[name].id:
                for engine in self.world.engines:
                    if producer.number in engine.levels_watched:
                        self.world.hear(AudioLevel(producer.number, dbov))

    async def speak(self, name: str, seconds: float = 3) -> None:
        self.level(name, LOUD)
        await trio.sleep(seconds)
        self.level(name, QUIET)
        await trio.testing.wait_all_tasks_blocked()

    def seen(self, viewer: str) -> str:
        """Initials of those whose camera the engine forwards to the viewer."""
        found = [
            self.name(c.producer.state.peer_id)
            for c in self.room.consumers.values()
            if c.state.peer_id == self[viewer].id
            and c.producer.state.is_camera
            and not self.world.engine.consumer_paused[c.number]
        ]
        return "".join(sorted(name[0] for name in found if name))

    def shown(self, viewer: str) -> str:
        """Initials of those whose camera is on in the eyes of a client that knows no last-N."""
        on: dict[object, tuple[object, bool]] = {}
        for entry in self[viewer].socket.log:
            match entry:
                case ("call", "newConsumer", {"id": number, "peerId": peer, **more}):
                    if more["kind"] == "video":
                        on[number] = peer, not more["producerPaused"]
                case ("notice", "consumerPaused" | "consumerResumed" as method, {"consumerId": n}):
                    if n in on:
                        assert on[n][1] is (method == "consumerPaused"), "told a second time"
                        on[n] = on[n][0], method == "consumerResumed"
                case ("notice", "consumerClosed", {"consumerId": n}):
                    on.pop(n, None)
        return "".join(sorted(str(self.name(str(p)))[0] for p, is_on in on.values() if is_on))

    def everybody_sees(self, **expected: str) -> None:
        assert {name: self.seen(name) for name in expected} == expected
        assert {name: self.shown(name) for name in expected} == expected
        assert not disagreements(self.world)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as world:
        yield world


async def subscribe(client: Client, **data: object) -> dict[str, object]:
    answer = await client.socket.ask("subscribeSpeakers", **data)
    assert answer[0] is None
    assert isinstance(answer[1], dict)
    return answer[1]


async def test_nobody_has_asked(world: World, autojump_clock: MockClock) -> None:
    meeting = await Meeting.open(world)
    assert not world.engine.levels_watched
    await meeting.speak("bob")
    assert {m for c in meeting.people.values() for m, _ in c.socket.notices()} == {
        "roomReady",
        "newPeer",
        "changeNickname",
    }
    meeting.everybody_sees(ada="bcde", eve="abcd")


async def test_who_asks_is_told_who_speaks(world: World, autojump_clock: MockClock) -> None:
    meeting = await Meeting.open(world)
    assert await subscribe(meeting["ada"]) == {
        "activeSpeaker": None,
        "lastN": None,
        "peerIds": [],
    }
    assert len(world.engine.levels_watched) == 5, "microphones only"
    await meeting.speak("bob")
    await meeting.speak("eve")
    await trio.sleep(60)
    told = [{"peerId": meeting[name].id} for name in ("bob", "eve")]
    assert meeting["ada"].socket.notices("activeSpeaker") == told
    assert meeting["ada"].socket.notices("audioLevels") == []
    assert meeting["bob"].socket.notices("activeSpeaker") == []
    assert (await subscribe(meeting["bob"]))["activeSpeaker"] == meeting["eve"].id
    meeting["eve"].socket.go()
    await trio.sleep(1)
    assert meeting["ada"].socket.notices("activeSpeaker")[2:] == [{"peerId": None}]
    await meeting["ada"].socket.ask("unsubscribeSpeakers")
    await meeting.speak("bob")
    assert len(meeting["ada"].socket.notices("activeSpeaker")) == 3
    assert len(meeting["bob"].socket.notices("activeSpeaker")) == 2


async def test_a_microphone_that_comes_later_is_heard(
    world: World, autojump_clock: MockClock
) -> None:
    meeting = await Meeting.open(world, NAMES[:2])
    await subscribe(meeting["ada"])
    late = meeting.people["late"] = await world.enter(meeting.room, EVERYTHING)
    await join(late)
    await produce(late)
    await meeting.speak("late")
    assert meeting["ada"].socket.notices("activeSpeaker") == [{"peerId": late.id}]


async def test_a_peer_is_as_loud_as_its_loudest_microphone(
    world: World, autojump_clock: MockClock
) -> None:
    meeting = await Meeting.open(world, NAMES[:2])
    await subscribe(meeting["ada"], audioLevels=True)
    second = await produce(meeting["bob"])
    number = meeting.room.producers[second].number
    meeting.level("bob", QUIET)
    world.hear(AudioLevel(number, LOUD))
    await trio.sleep(3)
    assert meeting["ada"].socket.notices("activeSpeaker") == [{"peerId": meeting["bob"].id}]
    await meeting["bob"].socket.ask("closeProducer", producerId=second)
    await trio.sleep(1)
    assert meeting["ada"].socket.notices("audioLevels") == [
        {"volumes": [{"peerId": meeting["bob"].id, "volume": LOUD}]},
        {"volumes": [{"peerId": meeting["bob"].id, "volume": QUIET}]},
    ]


async def test_audio_levels_come_a_few_times_a_second(
    world: World, autojump_clock: MockClock
) -> None:
    meeting = await Meeting.open(world)
    await subscribe(meeting["ada"], audioLevels=True)
    await subscribe(meeting["bob"])
    for i in range(100):
        meeting.level("eve", LOUD - 5 * (i % 7))
        meeting.level("dan", -60)
        meeting.level("cyd", -81)
        await trio.sleep(0.1)
    told = meeting["ada"].socket.notices("audioLevels")
    assert 10 / LEVELS_INTERVAL / 2 <= len(told) <= 10 / LEVELS_INTERVAL + 1
    (loudest, other) = told[-1]["volumes"]  # type: ignore[index]
    assert loudest["peerId"] == meeting["eve"].id
    assert other == {"peerId": meeting["dan"].id, "volume": -60}
    assert meeting["bob"].socket.notices("audioLevels") == []
    for name in ("eve", "dan"):
        meeting.level(name, -127)
    await trio.sleep(60)
    assert len(meeting["ada"].socket.notices("audioLevels")) <= len(told) + 2
    assert meeting["ada"].socket.notices("audioLevels")[-1] == {"volumes": []}


async def test_who_asks_late_is_told_the_present_levels(
    world: World, autojump_clock: MockClock
) -> None:
    meeting = await Meeting.open(world, NAMES[:3])
    await subscribe(meeting["ada"], audioLevels=True)
    meeting.level("bob", LOUD)
    await trio.sleep(30)
    await subscribe(meeting["cyd"], audioLevels=True)
    await trio.sleep(1)
    levels = {"volumes": [{"peerId": meeting["bob"].id, "volume": LOUD}]}
    assert meeting["cyd"].socket.notices("audioLevels") == [levels]


async def test_all_rooms_share_one_budget_of_audio_levels(autojump_clock: MockClock) -> None:
    rate = Rate(per_second=4, burst=4)
    async with open_world(RoomSettings(audio_level_messages=rate)) as world:
        meetings = [await Meeting.open(world, NAMES[:2]) for _ in range(3)]
        for meeting in meetings:
            for client in meeting.people.values():
                await subscribe(client, audioLevels=True)
        for i in range(200):
            for meeting in meetings:
                meeting.level("bob", LOUD - 10 * (i % 2))
            await trio.sleep(0.1)
        told = [
            len(client.socket.notices("audioLevels"))
            for meeting in meetings
            for client in meeting.people.values()
        ]
        assert 40 <= sum(told) <= 90
        assert min(told) >= 3, f"nobody is left out: {told}"


async def test_the_latest_speakers_are_seen(world: World, autojump_clock: MockClock) -> None:
    meeting = await Meeting.open(world, last_n=2)
    meeting.everybody_sees(ada="bc", bob="ac", cyd="ab", dan="ab", eve="ab")
    await meeting.speak("dan")
    await trio.sleep(2)
    meeting.everybody_sees(ada="bd", bob="ad", cyd="ad", dan="ab", eve="ad")
    await meeting.speak("dan")
    await trio.sleep(2)
    meeting.everybody_sees(ada="bd", bob="ad", cyd="ad", dan="ab", eve="ad")


async def test_the_newcomer_is_seen_before_the_other_goes(
    world: World, autojump_clock: MockClock
) -> None:
    meeting = await Meeting.open(world, last_n=2)
    await subscribe(meeting["eve"])
    meeting.level("dan", LOUD)
    while not meeting["eve"].socket.notices("activeSpeaker"):
        await trio.sleep(0.1)
    await trio.sleep(0.5)
    meeting.everybody_sees(eve="abd")
    await trio.sleep(0.7)
    meeting.everybody_sees(eve="ad")
    front = [meeting[name].id for name in ("dan", "ada", "bob")]
    assert meeting["eve"].socket.notices("forwardedPeers") == [{"lastN": 2, "peerIds": front}]


async def test_a_cough_changes_nothing(world: World, autojump_clock: MockClock) -> None:
    meeting = await Meeting.open(world, last_n=2)
    before = len(meeting["eve"].socket.log)
    for _ in range(10):
        await meeting.speak("dan", 0.4)
        await trio.sleep(2.5)
    assert len(meeting["eve"].socket.log) == before


async def test_a_camera_that_is_off_takes_no_place(world: World, autojump_clock: MockClock) -> None:
    meeting = await Meeting.open(world, last_n=2)
    camera = next(
        p.state.id
        for p in meeting.room.producers.values()
        if p.state.is_camera and p.state.peer_id == meeting["ada"].id
    )
    await meeting["ada"].socket.ask("pauseProducer", producerId=camera)
    await trio.sleep(2)
    assert {name: meeting.shown(name) for name in NAMES} == {
        "ada": "bc",
        "bob": "cd",
        "cyd": "bd",
        "dan": "bc",
        "eve": "bc",
    }
    await meeting["ada"].socket.ask("resumeProducer", producerId=camera)
    await trio.sleep(2)
    meeting.everybody_sees(ada="bc", bob="ac", cyd="ab", dan="ab", eve="ab")
    await meeting["ada"].socket.ask("closeProducer", producerId=camera)
    await trio.sleep(2)
    meeting.everybody_sees(ada="bc", bob="cd", cyd="bd", dan="bc", eve="bc")


async def test_three_reasons_to_be_paused(world: World, autojump_clock: MockClock) -> None:
    """By the viewer, by the publisher, by last-N: in each order."""
    meeting = await Meeting.open(world, last_n=1)
    (consumer,) = [
        c
        for c in meeting.room.consumers.values()
        if c.state.peer_id == meeting["eve"].id
        and c.producer.state.is_camera
        and c.producer.state.peer_id == meeting["dan"].id
    ]
    own = {"consumerId": consumer.state.id}

    def told() -> list[object]:
        return [m for m, d in meeting["eve"].socket.notices() if d == own]  # type: ignore[misc]

    paused = world.engine.consumer_paused
    assert paused[consumer.number]
    await meeting["eve"].socket.ask("pauseConsumer", **own)
    await meeting.speak("dan")
    assert told() == ["consumerResumed"]
    assert paused[consumer.number], "the viewer has paused it"
    await meeting["eve"].socket.ask("resumeConsumer", **own)
    assert not paused[consumer.number]
    await meeting["dan"].socket.ask("pauseProducer", producerId=consumer.producer.state.id)
    assert told() == ["consumerResumed", "consumerPaused"]
    await trio.sleep(2)
    assert paused[consumer.number], "another one has its place"
    await meeting["dan"].socket.ask("resumeProducer", producerId=consumer.producer.state.id)
    await trio.sleep(2)
    assert told() == ["consumerResumed", "consumerPaused", "consumerResumed"]
    assert not paused[consumer.number]
    assert not disagreements(world)


async def test_a_moderator_sets_it(world: World, autojump_clock: MockClock) -> None:
    meeting = await Meeting.open(world)
    await subscribe(meeting["bob"])
    guest = await world.enter(meeting.room)
    answer = await guest.socket.ask("moderator:setLastN", n=1)
    assert answer == [500, "request moderator:setLastN failed"]
    meeting.everybody_sees(ada="bcde")
    assert await meeting["ada"].socket.ask("moderator:setLastN", n=1) == []
    await trio.sleep(2)
    meeting.everybody_sees(ada="b", bob="a", cyd="a", dan="a", eve="a")
    await meeting["ada"].socket.ask("moderator:setLastN", n=0)
    await trio.sleep(2)
    meeting.everybody_sees(ada="", bob="", eve="")
    await meeting["ada"].socket.ask("moderator:setLastN", n=None)
    await trio.sleep(2)
    meeting.everybody_sees(ada="bcde", bob="acde", eve="abcd")
    front = [meeting[name].id for name in ("ada", "bob")]
    assert meeting["bob"].socket.notices("forwardedPeers") == [
        {"lastN": 1, "peerIds": front},
        {"lastN": 0, "peerIds": front[:1]},
        {"lastN": None, "peerIds": []},
    ]


async def test_a_setting_is_for_all_rooms(autojump_clock: MockClock) -> None:
    async with open_world(RoomSettings(last_n=1)) as world:
        (await Meeting.open(world, NAMES[:3])).everybody_sees(ada="b", bob="a", cyd="a")


async def test_pinned_peers_are_always_seen(world: World, autojump_clock: MockClock) -> None:
    meeting = await Meeting.open(world, last_n=1)
    pinned = [meeting[name].id for name in ("ada", "dan")]
    assert await meeting["eve"].socket.ask("setPinnedPeers", peerIds=pinned) == []
    await trio.sleep(1)
    meeting.everybody_sees(ada="b", bob="a", cyd="a", dan="a", eve="ad")
    await meeting["eve"].socket.ask("setPinnedPeers", peerIds=[*pinned[1:], "nobody"])
    await meeting.speak("cyd")
    await trio.sleep(2)
    meeting.everybody_sees(bob="c", cyd="a", eve="cd")
    await meeting["eve"].socket.ask("setPinnedPeers", peerIds=[])
    await trio.sleep(1)
    meeting.everybody_sees(eve="c")


async def test_screens_are_always_seen(world: World, autojump_clock: MockClock) -> None:
    meeting = await Meeting.open(world, last_n=1)
    before = set(meeting.room.consumers)
    await produce(meeting["dan"], "screen")
    await trio.sleep(1)
    new = [c for id, c in meeting.room.consumers.items() if id not in before]
    assert len(new) == 4
    assert not any(world.engine.consumer_paused[c.number] for c in new)


async def test_a_newcomer_is_told_what_it_gets(world: World, autojump_clock: MockClock) -> None:
    meeting = await Meeting.open(world, last_n=2)
    await meeting.speak("dan")
    late = meeting.people["late"] = await world.enter(meeting.room, EVERYTHING)
    await transport(late.socket, consuming=True)
    await join(late)
    await trio.sleep(1)
    meeting.everybody_sees(late="ad")
    assert late.socket.notices("consumerPaused") == []


async def test_a_change_in_a_large_room_is_done_a_few_at_a_time(
    world: World, autojump_clock: MockClock
) -> None:
    names = [f"{letter}{number}" for letter in "ab" for number in range(12)]
    meeting = await Meeting.open(world, names, last_n=3)
    counts = []
    meeting.level("b11", LOUD)
    for _ in range(3000):
        before = sum(world.engine.consumer_paused.values())
        await trio.sleep(0.001)
        counts.append(abs(sum(world.engine.consumer_paused.values()) - before))
    assert sum(counts) >= 2 * 20
    assert max(counts) <= 8
    assert len(meeting.seen("a0")) == 3
