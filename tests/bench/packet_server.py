"""The server of ``packets.py`` and ``engines.py``: a process that is nothing but engines, of any
checkout; and this server together with its load (``packet_load.py``).
"""

import contextlib
import itertools
import json
import multiprocessing
import os
import secrets
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import attrs
from checkouts import python_of
from packet_load import PROFILE, Load, bound, call, pin, publish, watch
from support.engine_world import PROFILES, VIEWED, audio, video, viewed
from support.wire.stun import binding_request, build_stun

PASSWORD = "password-of-it"
THREAD = "meet-engine"


# In the server's process


def serve(load: Load) -> None:
    """Read the viewers' ports, print where publishers and viewers send to, and wait for lines: each
    asks for the engines' counters, added.
    """
    from meet_trio.engine import Engine, EngineSettings

    engines = [
        Engine(EngineSettings(), region_fd=os.memfd_create("region"), index=index)
        if load.kept
        else Engine(EngineSettings())
        for index in range(load.engines)
    ]
    for engine in engines:
        if hasattr(engine, "begin"):  # those of an earlier checkout are not held
            engine.begin()
    numbers = itertools.count(1)

    def connected(engine: Any) -> tuple[int, str, str]:
        """A transport with SRTP, its client's connectivity check, and its client's key."""
        transport = next(numbers)
        engine.add_transport(transport, f"u{transport}", PASSWORD)
        keys = [secrets.token_bytes(PROFILES[PROFILE][1]) for _ in range(2)]
        engine.set_srtp(transport, PROFILE, *keys)
        check = binding_request(
            remote_ufrag=f"u{transport}", local_ufrag="x", tie_breaker=1, nominate=True
        )
        return transport, build_stun(check, PASSWORD).hex(), keys[1].hex()

    def plain(engine: Any, *, learns: bool) -> tuple[int, int]:
        """A transport with plain RTP, and its port."""
        transport, rtp, rtcp = next(numbers), bound(), bound()
        port = rtp.getsockname()[1]
        sockets = rtp.detach(), rtcp.detach()
        engine.add_plain_transport(transport, *sockets, ("127.0.0.0/8",), learns)
        return transport, port

    viewers = iter(json.loads(sys.stdin.readline()))
    publishers: list[list[Any]] = []
    checks: list[tuple[int, str]] = []
    for room in range(load.rooms):
        streams: list[tuple[int, bool]] = []
        publishers.append([])
        for member in range(load.publishers):
            engine = engines[load.engine_of(room, member)]
            if load.call:
                transport, check, key = connected(engine)
                publishers[-1].append((engine.port, check, key))
            else:
                transport, port = plain(engine, learns=True)
                publishers[-1].append(port)
            for spec in (video(), audio())[: 1 + load.call]:
                producer = next(numbers)
                streams.append((producer, spec.kind == "video"))
                engine.add_producer(producer, transport, spec)
                for sink in engines if load.rooms == 1 else ():
                    if sink is not engine:
                        sink.add_mirror(producer, spec)
                        engine.relay_producer(producer, sink)
            engine.set_max_incoming_bitrate(transport, 10**9)
        for member in range(load.viewers):
            engine = engines[load.engine_of(room, member)]
            port = next(viewers)
            if load.plain:
                transport, _ = plain(engine, learns=False)
                engine.connect_plain_transport(transport, "127.0.0.1", port, port + 1)
            else:
                transport, check, _ = connected(engine)
                checks.append((engine.port, check))
            for producer, nack in streams:
                number = next(numbers)
                wanted = viewed(number, nack=nack, header_extensions=VIEWED)
                engine.add_consumer(number, transport, producer, wanted)
    print(json.dumps([publishers, checks]), flush=True)
    for _ in sys.stdin:
        total: Counter[str] = Counter()
        for engine in engines:
            total.update(counters(engine))
        print(json.dumps(total), flush=True)
    for engine in engines:
        engine.close()


def counters(engine: Any) -> dict[str, int]:
    from meet_trio.engine import StatsReady

    engine.request_stats(1)
    while True:
        select.select([engine.event_fd], [], [], 1)
        for event in engine.read_events():
            if isinstance(event, StatsReady):
                return {k: v for k, v in event.stats["engine"].items() if isinstance(v, int)}


# In the bench's process


@attrs.frozen
class Server:
    """Also the viewers at the other end of ``_pipe``."""

    _process: subprocess.Popen[str]
    _pipe: Connection

    @classmethod
    def start(cls, checkout: Path, load: Load, pipe: Connection) -> "Server":
        process = subprocess.Popen(
            [python_of(checkout), __file__, json.dumps(attrs.asdict(load))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
        return cls(process, pipe)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, what: object = None) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def counters(self) -> Counter[str]:
        return Counter(self.ask())

    def arrived(self) -> int:
        """Datagrams that the viewers have read."""
        self._pipe.send(None)
        return int(self._pipe.recv())

    def threads(self) -> list[int]:
        """Of the engines."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return [int(t.name) for t in tasks if (t / "comm").read_text().startswith(THREAD)]

    def close(self) -> None:
        self._process.communicate()
        self._pipe.close()


@contextlib.contextmanager
def running(checkout: Path, load: Load) -> Iterator[Server]:
    """A server with its load."""
    spawning = multiprocessing.get_context("spawn")
    pipe, others = spawning.Pipe()
    processes = [spawning.Process(target=watch, args=(load, others), daemon=True)]
    processes[0].start()
    others.close()
    server = Server.start(checkout, load, pipe)
    try:
        publishers, checks = server.ask(pipe.recv())
        server.counters()  # all of them have their transports
        for thread in server.threads() if load.pin else ():
            pin(thread, 0)
        pipe.send(checks)
        time.sleep(0.2)
        started = spawning.Event()
        target, to = (call, publishers[0]) if load.call else (publish, publishers)
        processes.append(spawning.Process(target=target, args=(to, load, started), daemon=True))
        processes[-1].start()
        started.wait()
        yield server
    finally:
        for process in processes:
            process.kill()
            process.join()
            process.close()
        server.close()


if __name__ == "__main__":
    serve(Load(**json.loads(sys.argv[1])))
