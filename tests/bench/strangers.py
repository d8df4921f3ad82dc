"""Measures how long Kolab's ``ping`` takes while strangers come; run by hand:

    PYTHONPATH=tests python tests/bench/strangers.py --per-second 1000

Strangers open websockets without a token from addresses of 127/8, all of a tick at once, and close
them when they have been refused. ``--at-once 300 --per-second 300`` is one crowd each second. With
``--idle N`` each of four addresses first opens N connections that send nothing, such as 1024. The
daemon, the strangers and the measuring side are three processes.
"""

import argparse
import contextlib
import selectors
import socket
import subprocess
import sys
import time

from checkouts import open_daemon
from cpu_time import cpu_time
from support.attacks import PREFIX, upgrade
from support.daemon import token_of

from meet_trio.bench.light_peer import client_frame

HELLO = upgrade("peerId=a&roomId=b&authToken=c")


def main() -> None:
    options = _options()
    if options.attack:
        _attack(options)
        return
    with open_daemon() as daemon:
        port = daemon.port
        _report("quiet", _measure(port, token_of(daemon), 3))
        command = [sys.executable, __file__, "--attack", str(port), *sys.argv[1:]]
        attack = subprocess.Popen(command)
        try:
            time.sleep(2)
            pid = daemon.process.pid
            used = cpu_time(pid)
            _report("attacked", _measure(port, token_of(daemon), options.seconds))
            print(f"the server's CPU: {(cpu_time(pid) - used) / options.seconds:.0%}")
        finally:
            attack.terminate()
            attack.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How long ping takes while strangers come.")
    parser.add_argument("--per-second", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--addresses", type=int, default=20)
    parser.add_argument("--idle", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--attack", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def _ask(stream: socket.socket, token: str) -> float:
    head = f"GET {PREFIX}/api/ping HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: {token}\r\n\r\n"
    started = time.monotonic()
    stream.sendall(head.encode())
    said = b""
    while b"PONG" not in said:
        chunk = stream.recv(4096)
        if not chunk:
            raise ConnectionError(said)
        said += chunk
    return time.monotonic() - started


def _measure(port: int, token: str, seconds: float) -> dict[str, list[float]]:
    """Seconds until each answer, by kept and fresh connection; -1 where no answer came."""
    took: dict[str, list[float]] = {"kept": [], "fresh": []}
    kept = socket.create_connection(("127.0.0.1", port), 10)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        took["kept"].append(_ask(kept, token))
        started = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", port), 10) as fresh:
                _ask(fresh, token)
            took["fresh"].append(time.monotonic() - started)
        except OSError:
            took["fresh"].append(-1)
        time.sleep(0.01)
    kept.close()
    return took


def _report(name: str, took: dict[str, list[float]]) -> None:
    for kind, times in took.items():
        answered = sorted(1000 * one for one in times if one >= 0)
        p50, p99 = answered[len(answered) // 2], answered[int(len(answered) * 0.99)]
        lost = len(times) - len(answered)
        print(
            f"{name:9}{kind:6}{len(answered):6} answers  p50 {p50:6.1f} ms  p99 {p99:6.1f} ms  "
            f"longest {answered[-1]:6.1f} ms  {lost} without",
            flush=True,
        )


def _attack(options: argparse.Namespace) -> None:
    """Run until it is terminated."""
    idle = [_open(options.attack, f"127.0.2.{1 + n % 4}") for n in range(4 * options.idle)]
    watch = selectors.DefaultSelector()
    told: dict[str, int] = {}
    come, started, said_at = 0, time.monotonic(), time.monotonic()
    while True:
        now = time.monotonic()
        if come <= (now - started) * options.per_second:
            for _ in range(options.at_once):
                stream = _open(options.attack, f"127.0.1.{1 + come % options.addresses}")
                come += 1
                watch.register(stream, selectors.EVENT_WRITE, bytearray())
        for key, events in watch.select(0.001):
            _go_on(watch, key, events, told)
        if now - said_at > 5:
            said_at = now
            print(f"strangers: {come} have come, told {told}, idle {len(idle)}", flush=True)


def _open(port: int, source: str) -> socket.socket:
    stream = socket.socket()
    stream.bind((source, 0))
    stream.setblocking(False)
    stream.connect_ex(("127.0.0.1", port))
    return stream


def _go_on(
    watch: selectors.BaseSelector, key: selectors.SelectorKey, events: int, told: dict[str, int]
) -> None:
    stream, said = key.fileobj, key.data
    assert isinstance(stream, socket.socket)
    try:
        if events & selectors.EVENT_WRITE:
            stream.send(HELLO)
            watch.modify(stream, selectors.EVENT_READ, said)
            return
        chunk = stream.recv(4096)
    except OSError:
        chunk = b""
    if chunk:
        if not said and chunk.startswith(b"HTTP/1.1 101 "):
            with contextlib.suppress(OSError):
                stream.send(client_frame(b"40"))
        said += chunk
    if not chunk or b"\x88" in said:
        kind = "41" if b"41" in said else said[9:12].decode("latin-1")
        told[kind] = told.get(kind, 0) + 1
        watch.unregister(stream)
        stream.close()


if __name__ == "__main__":
    main()
