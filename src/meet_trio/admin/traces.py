"""A trace as an HTTP answer: a pcapng file that grows while it is sent.

The answer begins with the first bytes, so what cannot be traced is still answered by an error. The
trace ends at once if the client goes, or if the right to trace does. A client that does not read
is closed by the front door after ``http.send_timeout``; what its trace has no room for is lost and
counted, see ``operator.trace``.
"""

import attrs
import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from meet_trio.live.peer import LivePeer
from meet_trio.live.room import LiveRoom
from meet_trio.media.plain import Transport
from meet_trio.operator.trace import trace


@attrs.frozen
class Asked:
    """``by``: who asked, for the log. ``size`` in bytes. ``revoked``: nobody may trace any more."""

    by: str
    seconds: float
    size: int
    revoked: trio.Event


class TraceResponse(Response):
    def __init__(self, room: LiveRoom, peer: LivePeer, transport: Transport, asked: Asked) -> None:
        name = f"trace-{transport.id[:8]}.pcapng"
        super().__init__(
            media_type="application/x-pcapng",
            headers={"content-disposition": f'attachment; filename="{name}"'},
        )
        del self.headers["content-length"]
        self._what = room, peer, transport
        self._asked = asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked, answer = self._asked, _Answer(self, send)
        wrong: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when_gone, receive, nursery.cancel_scope)
            nursery.start_soon(_cancel_when_revoked, asked.revoked, nursery.cancel_scope)
            try:
                await trace(
                    *self._what,
                    answer.write,
                    by=asked.by,
                    max_seconds=asked.seconds,
                    max_bytes=asked.size,
                )
                await answer.end()
            except Exception as error:  # out of the nursery it would be in a group
                wrong = error
            nursery.cancel_scope.cancel()
        if wrong is not None:
            raise wrong


async def _cancel_when_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _cancel_when_revoked(revoked: trio.Event, scope: trio.CancelScope) -> None:
    await revoked.wait()
    scope.cancel()


@attrs.define(eq=False)
class _Answer:
    response: Response
    send: Send
    begun: bool = False

    async def write(self, block: bytes) -> None:
        if not self.begun:
            self.begun = True
            await self.send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": self.response.raw_headers,
                }
            )
        await self.send({"type": "http.response.body", "body": block, "more_body": True})

    async def end(self) -> None:
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})
