"""Any meeting, step by step."""

import random
from collections.abc import Awaitable, Callable

import trio
from support.live_fakes import Client, World
from support.live_scenes import join, produce, transport
from support.peers import EVERYTHING

from meet_trio.live.room import LiveRoom
from meet_trio.media.transport import WebRtcTransport
from meet_trio.room import Role


class Scene:
    """A meeting in which ``pick`` decides what happens next."""

    def __init__(self, world: World, room: LiveRoom, pick: random.Random) -> None:
        self.world = world
        self.room = room
        self.pick = pick
        self.clients: list[Client] = []

    def present(self) -> list[Client]:
        known = [client for client in self.clients if client.id in self.room.peers]
        return [client for client in known if client.socket.connected]

    async def step(self) -> None:
        if not self.present():
            await self.enter()
            return
        actions: list[Callable[[Client], Awaitable[object]]] = [
            *[self.send, self.receive, self.pause, self.prefer, self.chat, self.lose, self.back],
            *[self.role, self.leave, self.end_transport, self.connect, self.speakers, self.wait],
        ]
        if len(self.clients) < 6 and self.pick.random() < 0.3:
            await self.enter()
        else:
            await self.pick.choice(actions)(self.pick.choice(self.present()))

    async def enter(self) -> None:
        client = await self.world.enter(self.room, EVERYTHING)
        self.clients.append(client)
        if self.pick.random() < 0.8:
            await join(client, f"peer {len(self.clients)}")

    async def send(self, client: Client) -> None:
        publishes = Role.PUBLISHER in self.room.state.peers[client.id].role
        if publishes and len(self.room.peers[client.id].transports) < 5:
            await produce(client, self.pick.choice(["audio", "video", "simulcast", "screen"]))

    async def receive(self, client: Client) -> None:
        if len(self.room.peers[client.id].transports) < 5:
            await transport(client.socket, consuming=True)

    async def pause(self, client: Client) -> None:
        state = self.room.state.peers[client.id]
        verb = self.pick.choice(["pause", "resume"])
        for producer_id in list(state.producers)[:1]:
            await client.socket.ask(f"{verb}Producer", producerId=producer_id)
        for consumer in list(state.consumers.values())[:1]:
            await client.socket.ask(f"{verb}Consumer", consumerId=consumer.id)

    async def prefer(self, client: Client) -> None:
        for consumer in list(self.room.state.peers[client.id].consumers.values())[:1]:
            data = {"consumerId": consumer.id}
            await client.socket.ask("setConsumerPriority", **data, priority=self.pick.randint(1, 9))
            await client.socket.ask("setConsumerPreferredLayers", **data, spatialLayer=1)

    async def chat(self, client: Client) -> None:
        await client.socket.ask("chatMessage", message=f"{self.pick.random()}")

    async def lose(self, client: Client) -> None:
        client.socket.on_network = self.pick.random() < 0.5
        await self.chat(self.pick.choice(self.present()))
        client.socket.lose()

    async def back(self, _: Client) -> None:
        for client in self.clients:
            if client.id in self.room.peers and not client.socket.connected:
                client_socket = await client.connect()
                if self.pick.random() < 0.3:
                    client_socket.answer_calls = None  # it answers no offer

    async def role(self, client: Client) -> None:
        verb = self.pick.choice(["addRole", "removeRole"])
        other = self.pick.choice(self.present())
        await client.socket.ask(f"moderator:{verb}", peerId=other.id, role=2)

    async def leave(self, client: Client) -> None:
        if self.pick.random() < 0.3:
            client.socket.go()

    async def end_transport(self, client: Client) -> None:
        for own in list(self.room.peers[client.id].transports.values())[:1]:
            if self.pick.random() < 0.3:
                own.close()

    async def connect(self, _: Client) -> None:
        """All transports are connected."""
        peers = self.room.peers.values()
        live = [own for peer in peers for own in peer.transports.values()]
        for session in self.world.bridge.sessions:
            own = session.owner
            if session.association is None and own in live:
                assert isinstance(own, WebRtcTransport)
                own._asked_at = own._asked_at or 0.0
                if not session.fingerprints:
                    session.start([self.world.bridge.fingerprints[0]])
                session.complete()

    async def speakers(self, client: Client) -> None:
        await client.socket.ask("subscribeSpeakers", audioLevels=self.pick.random() < 0.5)
        await client.socket.ask("moderator:setLastN", n=self.pick.choice([1, 3, None]))

    async def wait(self, _: Client) -> None:
        await trio.sleep(self.pick.random())
