"""Draws where the time goes, as a flame graph (SVG):
``PYTHONPATH=tests python tests/bench/flames.py packets|joins OUT.svg``.

``packets`` is the engine's thread with the kernel's work, sampled by perf (which has to be
installed, and allowed to this user) under the load of ``packets.py``. ``joins`` is Python's thread
of a server that peers join, sampled by a signal (``sampler``).

A box is a function, as wide as its share of the samples, above its caller. Boxes of less than
``LEAST`` are left out. A pointer that rests on one shows its name and share.
"""

import argparse
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

import attrs
import trio
from checkouts import HERE
from joins import open_server
from packet_load import Load
from packet_server import running

Stack = tuple[str, ...]

LEAST = 0.004
"""The share of a box that is drawn."""
WIDTH, LINE, HEAD, LETTER = 1200, 16, 24, 6.2  # pixels
RATE = 160_000  # forwarded packets a second
PERF_RATE = 997  # samples a second
STACK_BYTES = 4096  # that perf copies for each sample
JOINS = 200
PEERS = 10  # that are in the room already

_CLONE = re.compile(r"\.(lto_priv|isra|part|constprop|cold)(\.\d+)?")
"""What the compiler appends to the name of a function's copy."""
_COLOURS = (
    (r"^\[k\]", "#e8a33d"),
    (r"^lib(crypto|IPSec)", "#d1605e"),
    (r"^(_engine|meet_trio)", "#6a9f58"),
    (r"^lib", "#b8b0ac"),
    (r"^trio", "#85b6b2"),
    (r"", "#c9cfd6"),
)


@attrs.define
class Box:
    """A function at one place of the stacks."""

    count: int = 0
    above: dict[str, "Box"] = attrs.field(factory=dict)


def tree_of(stacks: Mapping[Stack, int]) -> Box:
    """Stacks begin at their roots."""
    root = Box()
    for stack, count in stacks.items():
        box = root
        box.count += count
        for name in stack:
            box = box.above.setdefault(name, Box())
            box.count += count
    return root


def draw(title: str, stacks: Mapping[Stack, int]) -> str:
    """The SVG."""
    root = tree_of(stacks)
    parts: list[str] = []
    levels = _draw(root, root.count, 0.0, 0, parts)
    height = HEAD + levels * LINE + 4
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            'font-family="monospace" font-size="10">',
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
            f'<text x="4" y="15" font-size="12">{escape(title)}, {root.count} samples</text>',
            f'<g transform="matrix(1 0 0 -1 0 {height - 2})">',
            *parts,
            "</g></svg>\n",
        ]
    )


def _draw(box: Box, whole: int, x: float, level: int, parts: list[str]) -> int:
    """Draw what is above the box. Returns how many levels there are."""
    levels = level
    for name, child in sorted(box.above.items()):
        width = WIDTH * child.count / whole
        if child.count >= LEAST * whole:
            colour = next(c for pattern, c in _COLOURS if re.search(pattern, name))
            text = escape(name.split(":")[-1][: max(0, int((width - 4) / LETTER))])
            parts.append(
                f"<g><title>{escape(name)} {100 * child.count / whole:.1f} %</title>"
                f'<rect x="{x:.1f}" y="{level * LINE}" width="{max(0.2, width - 0.4):.1f}" '
                f'height="{LINE - 1}" fill="{colour}"/>'
                f'<text transform="matrix(1 0 0 -1 {x + 2:.1f} {level * LINE + 4})">'
                f"{text}</text></g>"
            )
            levels = max(levels, level + 1, _draw(child, whole, x, level + 1, parts))
        x += width
    return levels


# What perf has seen


def perf_stacks(lines: Iterable[str]) -> Counter[Stack]:
    """Of ``perf script -F ip,sym,dso``: a stack is some lines, its newest call first, and an empty
    one.
    """
    found: Counter[Stack] = Counter()
    stack: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            stack.append(_symbol(line.strip()))
        elif stack:
            found[_merged(reversed(stack))] += 1
            stack = []
    return found


def _symbol(line: str) -> str:
    _, _, rest = line.partition(" ")
    name, _, place = rest.rpartition(" (")
    place = Path(place.rstrip(")")).name
    if place.startswith("[kernel") or name.endswith("_[k]"):
        return f"[k]:{name}"
    name = _CLONE.sub("", name).replace("[unknown]", "")
    return f"{place.split('.')[0]}:{name}"


def _merged(stack: Iterable[str]) -> Stack:
    """Without functions that have no name behind one another."""
    out: list[str] = []
    for name in stack:
        if not out or out[-1] != name:
            out.append(name)
    return tuple(out)


def sample_packets(seconds: float) -> Counter[Stack]:
    load = Load(rate=RATE, seconds=seconds)
    with running(HERE, load) as server, tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "perf.data"
        record = ["perf", "record", "-q", "-F", str(PERF_RATE), "-o", str(data)]
        record += ["-t", str(server.threads()[0])]
        graph = ["--call-graph", f"dwarf,{STACK_BYTES}", "--", "sleep", str(seconds)]
        subprocess.run([*record, *graph], check=True)
        script = ["perf", "script", "-i", str(data), "-F", "ip,sym,dso"]
        printed = subprocess.run(script, check=True, capture_output=True, text=True)
    return perf_stacks(printed.stdout.splitlines())


# What the sampler has seen


def sampler_stacks(lines: Iterable[str]) -> Counter[Stack]:
    """Of stacks that begin in Trio's scheduler, from there on."""
    found: Counter[Stack] = Counter()
    for line in lines:
        text, _, count = line.rpartition(" ")
        stack = text.split(";")
        root = next((i for i, name in enumerate(stack) if name.endswith(":unrolled_run")), None)
        if root is not None:
            found[tuple(stack[root:])] += int(count)
    return found


async def sample_joins(count: int) -> Counter[Stack]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stacks"
        sampler = str(Path(__file__).parent / "sampler")
        async with (
            open_server(PYTHONPATH=sampler, FLAMES=str(path)) as server,
            trio.open_nursery() as members,
        ):
            while server.size < PEERS:
                await members.start(server.member, server.size)
                server.size += 1
            for _ in range(count):
                await server.view()
            members.cancel_scope.cancel()
        return sampler_stacks(path.read_text().splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description="Where the time goes, as a flame graph.")
    parser.add_argument("what", choices=("packets", "joins"))
    parser.add_argument("out", type=Path, metavar="OUT.svg")
    parser.add_argument("--seconds", type=float, default=5, help="of packets")
    parser.add_argument("--joins", type=int, default=JOINS)
    given = parser.parse_args()
    if given.what == "packets":
        title, stacks = "The engine's thread: frames of 8, SRTP out", sample_packets(given.seconds)
    else:
        title = f"Python's thread: viewers of 4 videos join a room of {PEERS}"
        stacks = trio.run(sample_joins, given.joins)
    given.out.write_text(draw(title, stacks))
    print(f"{given.out}: {sum(stacks.values())} samples")


if __name__ == "__main__":
    main()
