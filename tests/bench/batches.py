"""What runs of several streams give, by load: ``python tests/bench/batches.py``.

A calculation, not a measurement: a call like that of ``packets.py --call``, whose 50 viewers get
all streams, meets a thread that takes what has come (at most 64 packets), forwards it, and looks
again. The costs are those of ``docs/performance.md``. So the result does not depend on what else a
machine does, and it reaches loads that no sender here makes.

The packets of a frame come at once, or one each millisecond, as over a link of 10 Mbit/s. Runs have
packets of one stream, or of all that a viewer gets, the longest first. With ``--pad`` such packets
of video are brought to one length by so many bytes of RTP padding at most.
"""

import argparse
import random

import attrs

VIEWERS = 50
CALLS, SECONDS = 12, 1  # each with beginnings of its own
BATCH = 64  # packets
MESSAGE, DATAGRAM, LOOK = 2.6e-6, 1.5e-6, 8e-6  # seconds of the thread
# Of a publisher, as in packets.py
FRAMES, PARTS, SIZES = 30, (3, 8), (900, 1200)
SOUNDS, SOUND_SIZES = 50, (60, 160)


@attrs.frozen(order=True)
class Packet:
    at: float
    stream: tuple[int, bool]
    """The publisher's number; it is video."""
    size: int


def call(publishers: int, gap: float, seed: int) -> list[Packet]:
    """All packets, in the order of coming. ``gap``: between two of a frame, in seconds."""
    dice = random.Random(seed)
    packets = []
    for i in range(publishers):
        at = dice.random() / FRAMES
        while at < SECONDS:
            size = dice.randint(*SIZES)
            parts = dice.randint(*PARTS)
            packets += [Packet(at + k * gap, (i, True), size) for k in range(parts)]
            at += 1 / FRAMES
        at = dice.random() / SOUNDS
        while at < SECONDS:
            packets.append(Packet(at, (i, False), dice.randint(*SOUND_SIZES)))
            at += 1 / SOUNDS
    return sorted(packets)


@attrs.define
class Thread:
    together: bool
    """Runs of several streams."""
    most_padding: int = 0
    busy: float = 0
    messages: int = 0
    """To one viewer."""
    mixed: int = 0
    """Packets that have come with those of other streams."""
    bytes: int = 0
    padding: int = 0
    """Bytes, too."""
    delays: list[float] = attrs.field(factory=list)

    def forward_all(self, packets: list[Packet]) -> None:
        now, first = 0.0, 0
        while first < len(packets):
            now = max(now, packets[first].at)
            end = first
            while end < len(packets) and packets[end].at <= now and end - first < BATCH:
                end += 1
            batch, first = packets[first:end], end
            cost = self.forward(batch)
            now += cost
            self.busy += cost
            self.delays += [now - p.at for p in batch]
            self.bytes += sum(p.size for p in batch)

    def forward(self, batch: list[Packet]) -> float:
        streams: dict[tuple[int, bool], list[int]] = {}
        for p in batch:
            streams.setdefault(p.stream, []).append(p.size)
        if len(streams) > 1:
            self.mixed += len(batch)
        groups = list(streams.items())
        if self.together:
            groups.sort(key=lambda group: -group[1][0])
            messages = runs(self.padded(groups))
        else:
            messages = sum(runs(sizes) for _, sizes in groups)
        self.messages += messages
        return LOOK + VIEWERS * (messages * MESSAGE + len(batch) * DATAGRAM)

    def padded(self, groups: list[tuple[tuple[int, bool], list[int]]]) -> list[int]:
        out: list[int] = []
        for (_, video), sizes in groups:
            more = out[-1] - sizes[0] if out and video else 0
            if not 0 < more <= self.most_padding:
                more = 0
            self.padding += more * len(sizes)
            out += [size + more for size in sizes]
        return out

    def __str__(self) -> str:
        share = self.busy / SECONDS / CALLS
        delay = sorted(self.delays)[len(self.delays) * 99 // 100]
        each = len(self.delays) / self.messages
        padding = f", {self.padding / self.bytes:.1%} padding" * bool(self.padding)
        return f"{share:4.0%} of a core, {each:.2f} a message, p99 {delay * 1e3:.1f} ms{padding}"


def runs(sizes: list[int]) -> int:
    """How many messages these datagrams need, in this order."""
    count, each = 0, -1  # -1: the run has ended
    for size in sizes:
        if size > each:
            count += 1
            each = size
        elif size < each:
            each = -1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description="What runs of several streams give.")
    parser.add_argument("--publishers", type=int, nargs="+", default=[4, 15, 20, 25, 30, 35])
    parser.add_argument("--pad", type=int, default=0, help="bytes")
    arguments = parser.parse_args()
    for gap in (0.0, 1e-3):
        print("a packet each millisecond" if gap else "frames at once")
        for publishers in arguments.publishers:
            alone, together = Thread(False), Thread(True, arguments.pad)
            for seed in range(CALLS):
                packets = call(publishers, gap, seed)
                alone.forward_all(packets)
                together.forward_all(packets)
            rate = len(alone.delays) * VIEWERS / SECONDS / CALLS
            print(
                f"  {publishers:2} publishers, {rate / 1000:3.0f} kpps, "
                f"{alone.mixed / len(alone.delays):4.0%} mixed: {alone} -> {together}, "
                f"cost {together.busy / alone.busy:.3f}"
            )


if __name__ == "__main__":
    main()
