"""What a peer keeps that does nothing: tasks, and objects of the server's own types.

The bounds leave room for a fifth more. What a peer costs in bytes is in ``docs/performance.md``.
"""

import gc
from collections import Counter
from collections.abc import Iterator

import pytest
import trio
import trio.testing
from support.peers import CAPABILITIES
from support.server import open_server
from support.transport import ClientTransport, RemoteParameters

from meet_trio.bench.dtls import Identity
from meet_trio.bench.light_peer import LightPeer, open_light_peer

PEERS = 6
MOST_TASKS = {"signaling": 4, "connected": 4}
MOST_OBJECTS = {"signaling": 35, "connected": 48}


def tasks_below(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield child
            yield from tasks_below(child)


def own_objects() -> Counter[str]:
    """By type: those of the server, which are not of the load generator."""
    gc.collect()
    found = Counter(
        f"{type(each).__module__}.{type(each).__name__}"
        for each in gc.get_objects()
        if str(type(each).__module__).startswith("meet_trio.")
    )
    return Counter({name: n for name, n in found.items() if ".bench." not in name})


async def come(
    url: str, kind: str, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    async with open_light_peer(url) as peer, trio.open_nursery() as nursery:
        await peer.request("join", {"nickname": "x", "rtpCapabilities": CAPABILITIES})
        if kind == "connected":
            for producing in (True, False):
                await connect(peer, nursery, producing)
        task_status.started()
        await trio.sleep_forever()


async def connect(peer: LightPeer, nursery: trio.Nursery, producing: bool) -> None:
    identity = Identity.generate()
    data = {"forceTcp": False, "producing": producing, "consuming": not producing}
    answer = await peer.request("createWebRtcTransport", data)
    transport = ClientTransport(identity, RemoteParameters.from_answer(answer))
    nursery.start_soon(transport.run)
    own = {"algorithm": "sha-256", "value": identity.fingerprint}
    dtls = {"role": "client", "fingerprints": [own]}
    data = {"transportId": answer["id"], "dtlsParameters": dtls}
    await peer.request("connectWebRtcTransport", data)
    await transport.connected.wait()


@pytest.mark.parametrize("kind", MOST_TASKS)
async def test_an_idle_peer_is_light(kind: str) -> None:
    with trio.fail_after(30):
        async with open_server() as server, trio.open_nursery() as clients:
            root = trio.lowlevel.current_root_task()
            assert root is not None
            room = await server.api.create_room()

            async def more(count: int) -> tuple[int, Counter[str]]:
                for _ in range(count):
                    await clients.start(come, await server.api.create_peer(room, 3), kind)
                await trio.testing.wait_all_tasks_blocked(0.05)
                others = sum(1 + len(list(tasks_below(each))) for each in clients.child_tasks)
                return len(list(tasks_below(root))) - others, own_objects()

            tasks, objects = await more(1)
            tasks_then, objects_then = await more(PEERS)
            clients.cancel_scope.cancel()
    each = (objects_then - objects).total() / PEERS
    assert (tasks_then - tasks) / PEERS <= MOST_TASKS[kind]
    assert each <= MOST_OBJECTS[kind], objects_then - objects
