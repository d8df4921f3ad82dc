"""The process that is to take over, as the one that runs sees it."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import attrs
import trio

from meet_trio.upgrade.channel import Channel, ChannelBroken

CHANNEL_VARIABLE = "UPGRADE_CHANNEL"
"""The variable with the number of the descriptor of a successor's end."""
KEEPER_VARIABLE = "SUPERVISOR_PID"
"""The variable with the id of the process that waits for the server, and passes signals on."""
_NOTIFY_DESCRIPTOR = re.compile(r"/proc/self/fd/([0-9]+)")


class UpgradeFailed(ChannelBroken):
    """The upgrade is given up, and this process goes on. The message says why."""


@attrs.define(eq=False)
class Successor:
    """It runs until it is killed, or until this process has said that it may go on."""

    pid: int
    channel: Channel

    async def wait(self, name: str) -> Mapping[str, object]:
        """Wait for the message ``name``. Raises UpgradeFailed, also when the process says that it
        cannot go on. The caller has a deadline.
        """
        await self.channel.readable()
        return self.take(name)

    def take(self, name: str, timeout: float | None = None) -> Mapping[str, object]:
        """``wait``, without Trio, for ``timeout`` seconds."""
        try:
            message, descriptors = (
                self.channel.receive() if timeout is None else self.channel.receive(timeout)
            )
        except ChannelBroken as error:
            raise UpgradeFailed(f"the new process: {error}") from None
        for fd in descriptors:
            os.close(fd)
        if "failed" in message:
            raise UpgradeFailed(f"the new process cannot take over: {message['failed']}")
        if name not in message:
            raise UpgradeFailed(f"the new process has not said {name}")
        return message


@asynccontextmanager
async def start_successor(command: list[str], more: Mapping[str, str]) -> AsyncIterator[Successor]:
    """Start ``command`` with this process's environment and ``more``. At the end of the ``async
    with`` block it is killed.
    """
    here, there = socket.socketpair()
    channel = Channel(here)
    try:
        with there:
            environ = {**os.environ, **more, CHANNEL_VARIABLE: str(there.fileno())}
            environ.pop("WATCHDOG_PID", None)  # its own id is not known yet
            handed = [there.fileno()]
            if (
                found := _NOTIFY_DESCRIPTOR.fullmatch(environ.get("NOTIFY_SOCKET", ""))
            ) is not None:
                handed.append(int(found[1]))  # the supervisor's socket
            try:
                # Not in a thread: the process would die with it (PR_SET_PDEATHSIG).
                process = _start(command, environ, handed)
            except OSError as error:
                raise UpgradeFailed(f"{command[0]} cannot be started: {error}") from None
        try:
            yield Successor(process.pid, channel)
        finally:
            process.kill()
            with trio.CancelScope(shield=True):  # it ends at once
                await trio.to_thread.run_sync(process.wait)
    finally:
        channel.close()


def _start(
    command: list[str], environ: Mapping[str, str], handed: list[int]
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, env=environ, pass_fds=handed, stdin=subprocess.DEVNULL)


def own_command() -> list[str]:
    """The command that this process was started with, by the interpreter that is there now."""
    return [sys.executable, *sys.orig_argv[1:]]
