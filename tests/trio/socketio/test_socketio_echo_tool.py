"""Echo servers on real sockets: ``tools/socketio_echo.py`` and the documentation's example."""

import contextlib
import functools
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import trio
from support.socketio_raw import EIO4, Closed, RawClient

ROOT = Path(__file__).parents[3]


@contextlib.asynccontextmanager
async def running(*command: str) -> AsyncIterator[trio.Process]:
    async with trio.open_nursery() as nursery:
        run = functools.partial(
            trio.run_process, [sys.executable, *command], stdout=subprocess.PIPE, check=False
        )
        process = await nursery.start(run)
        with trio.fail_after(20):
            yield process
        process.terminate()


async def http(port: int, request: str, body: str = "") -> tuple[int, str]:
    """Status and body of the answer; ``request`` is the method and the path."""
    async with await trio.open_tcp_stream("localhost", port) as stream:
        head = f"{request} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://x\r\nConnection: close\r\n"
        await stream.send_all(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = b"".join([chunk async for chunk in stream]).decode()
    head, _, content = answer.partition("\r\n\r\n")
    assert "access-control-allow-origin: *" in head.lower()
    return int(head.split(" ", 2)[1]), content


@contextlib.asynccontextmanager
async def websocket(port: int, target: str) -> AsyncIterator[tuple[RawClient, dict[str, object]]]:
    """A client after the handshakes, and the server's Engine.IO open packet."""
    async with await trio.open_tcp_stream("localhost", port) as stream:
        client = RawClient(stream, target)
        assert await client.open() is None
        yield client, await client.opened()


async def test_echo_tool() -> None:
    async with running(str(ROOT / "tools/socketio_echo.py"), "--port", "0") as process:
        assert process.stdout is not None
        line = bytes(await process.stdout.receive_some()).decode()
        port = int(line.rpartition(":")[2])
        # bare Engine.IO, polling
        target = "/engine.io/?EIO=4&transport=polling"
        status, body = await http(port, f"GET {target}")
        opened = json.loads(body[1:])
        assert (status, opened["pingInterval"], opened["pingTimeout"]) == (200, 300, 200)
        target += f"&sid={opened['sid']}"
        assert await http(port, f"POST {target}", "4hello") == (200, "ok")
        assert await http(port, f"GET {target}") == (200, "4hello")
        assert (await http(port, "POST /engine.io/?EIO=4&transport=polling"))[0] == 400
        async with websocket(port, EIO4.replace("socket.io", "engine.io")) as (client, opened):
            assert opened["maxPayload"] == 1_000_000
            await client.say("4hello", b"\1\2")
            assert [await client.hear() for _ in range(2)] == ["4hello", b"\1\2"]
        async with websocket(port, EIO4) as (client, _):
            await client.connect("/custom,")
            assert await client.hear() == '42/custom,["auth",{}]'
            await client.say('40{"token":"123"}')
            assert str(await client.hear()).startswith("40{")
            assert await client.hear() == '42["auth",{"token":"123"}]'
            await client.say('42["message",1,{"3":[true]}]', '42456["message-with-ack",[false]]')
            assert await client.hear() == '42["message-back",1,{"3":[true]}]'
            assert await client.hear() == "43456[[false]]"
            await client.say("41")
            assert await client.hear() == "2"
            assert await client.hear() == Closed(1005)


async def test_example_of_the_documentation(tmp_path: Path) -> None:
    text = (ROOT / "docs/socketio.md").read_text()
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert example is not None
    listener = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener[0].socket.getsockname()[1]
    await listener[0].aclose()
    script = tmp_path / "echo.py"
    script.write_text(example[1].replace("3000", str(port)))
    async with running(str(script)):
        while True:  # it cannot report that it listens
            with contextlib.suppress(OSError):
                await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
                break
            await trio.sleep(0.05)
        async with websocket(port, EIO4 + "&a=b") as (client, _):
            await client.connect()
            welcome = '42["welcome",{"EIO":"4","transport":"websocket","a":"b"}]'
            assert await client.hear() == welcome
            await client.say('427["x",1]')
            assert [await client.hear() for _ in range(2)] == ["437[1]", '42["x",1]']
