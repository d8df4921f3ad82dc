"""``watch``: the peers' media as a table that is made again and again.

The client asks for each picture. So a terminal that is stopped costs the server nothing.
"""

import contextlib
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from meet_trio.console import render
from meet_trio.console.client import Client, CommandFailed

if TYPE_CHECKING:
    from rich.table import Table

_INTERVAL = 2.0  # seconds
_LEAST_INTERVAL = 0.2
_WARN_LOSS, _BAD_LOSS = 2.0, 10.0  # percent
_WARN_ROUND_TRIP = 300.0  # milliseconds


def watch(client: Client, arguments: Sequence[str], *, as_json: bool) -> None:
    """Show the peers until q or Ctrl-C, or ``TIMES`` pictures. Without a terminal there is one."""
    room, seconds, times = [*arguments, None, None, None][:3]
    terminal = sys.stdout.isatty() and sys.stdin.isatty() and not as_json
    interval = max(_LEAST_INTERVAL, _number(seconds, _INTERVAL, "SECONDS"))
    pictures = _number(times, float("inf") if terminal else 1, "TIMES")
    command = ["watch", *([room] if room else [])]
    if terminal:
        _watch_live(client, command, interval, pictures)
    else:
        _watch_lines(client, command, interval, pictures, as_json)


def _number(text: str | None, default: float, name: str) -> float:
    if text is None:
        return default
    try:
        return float(text)
    except ValueError:
        raise CommandFailed(f"{name}: {text!r} is no number", usage=True) from None


def _watch_lines(
    client: Client, command: Sequence[str], interval: float, pictures: float, as_json: bool
) -> None:
    while pictures > 0:
        printer = render.Printer(sys.stdout, as_json=as_json)
        client.ask(command[0], command[1:], printer.take)
        printer.end()
        pictures -= 1
        if pictures > 0:
            time.sleep(interval)


def _watch_live(client: Client, command: Sequence[str], interval: float, pictures: float) -> None:
    from rich.console import Console
    from rich.live import Live

    with _keys(), contextlib.suppress(KeyboardInterrupt):
        _, rows = client.items(*command)
        console = Console()
        with Live(_table(rows), console=console, auto_refresh=False, screen=True) as live:
            live.refresh()
            while (pictures := pictures - 1) > 0 and not _quit_within(interval):
                _, rows = client.items(*command)
                live.update(_table(rows), refresh=True)
        console.print(_table(rows))  # the last picture stays


def _table(rows: Sequence[dict[str, Any]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    made = Table(title=f"{len(rows)} peers, {time.strftime('%H:%M:%S')}", caption="q ends")
    for column in rows[0] if rows else ("peer",):
        number = bool(rows) and all(isinstance(row[column], int | float) for row in rows)
        made.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        made.add_row(
            *(Text(render.cell(value), style=_style(key, value)) for key, value in row.items())
        )
    return made


def _style(column: str, value: Any) -> str:
    if column == "loss" and value >= _BAD_LOSS:
        return "bold red"
    if (column == "loss" and value >= _WARN_LOSS) or (
        column == "rtt" and value >= _WARN_ROUND_TRIP
    ):
        return "yellow"
    return ""


@contextlib.contextmanager
def _keys() -> Iterator[None]:
    """Keys are read one by one, and not shown."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _quit_within(seconds: float) -> bool:
    """Wait, and return whether q was pressed meanwhile."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        readable, _, _ = select.select([sys.stdin], [], [], left)
        if readable and sys.stdin.read(1) in ("q", "Q", ""):
            return True
    return False
