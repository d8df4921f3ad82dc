"""The bytes of a log, version 1. All numbers are little-endian.

    header   64 bytes
             magic "meet-log" · version u32 · CRC of the other 36 of these 40 bytes
             boot id 16 bytes · mark 8 bytes, drawn for this file
             two beats of 12 bytes: CLOCK_BOOTTIME in ns u64, CRC
    entry    mark 8 bytes · CRC of the next 18 bytes
             sequence number u64 · kind u8 · length of the key u8, of the payload u32 · CRC of both
             key (UTF-8) · payload

An entry puts a payload or drops a key. The entries of one turn belong together: the last one says
so by a flag. A reader leaves out the beginning of a turn at the end of the file, so it finds the
state at the end of some turn. Entries are numbered from 0 in each file, so a reader sees that some
are missing, and of each key the newest counts.

The process writes the beats in turn, now and then. The newer one says until when it has lived. One
of them is whole, whatever is torn.

The checksum is CRC-32, as the standard library has it (``zlib.crc32``; CRC-32C and xxhash are not
in it). It has to find torn writes and stray bits, not attackers: who can write into the directory
is this server. It finds each error within 32 bits, and takes less than a microsecond for 1 KB,
where BLAKE2 takes two.

But payloads hold text that clients have chosen. After damage a reader looks for the next entry, and
a client must not be able to put one into its nickname. So each entry begins with the mark, which
is random and which no client ever sees.

``parse`` trusts nothing: it raises no error, takes time and memory in proportion to the bytes, and
names what it leaves out. If the header is damaged, the first entry still tells the mark. A newer
format is refused: the first 40 bytes will stay what they are in all of them.
"""

import struct
from zlib import crc32

import attrs

from meet_trio.journal.clock import UNKNOWN_BOOT

VERSION = 1
HEADER_SIZE = 64
ENTRY_SIZE = 30  # without key and payload
MAX_KEY = 255  # bytes
MAX_PAYLOAD = 2**20  # bytes
MARK_SIZE = 8

_MAGIC = b"meet-log"
_HEADER = struct.Struct("<8sII16s8s")
_BEAT = struct.Struct("<QI")
_BEATS = (40, 52)  # their offsets
_HEAD = struct.Struct("<QBBII")
_CRC = struct.Struct("<I")
_PUT, _DROP, _LAST = 1, 2, 0x80
_MOST_NAMED = 20  # damaged places that are named one by one


@attrs.frozen
class KeptLog:
    """What was read: the payloads by key, and a text about each thing that was not whole. ``beat``
    is the CLOCK_BOOTTIME in seconds at which the process was last seen alive, None if unknown.
    ``boot`` is the boot id, or ``UNKNOWN_BOOT``.
    """

    entries: dict[str, bytes]
    damaged: list[str]
    beat: float | None = None
    boot: bytes = UNKNOWN_BOOT

    def too_old(self, now: float, boot: bytes, grace: float) -> str | None:
        """Say why nobody waits for these calls any more, or None: the process died less than
        ``grace`` seconds ago.
        """
        if UNKNOWN_BOOT not in (self.boot, boot) and self.boot != boot:
            return "it is from before the machine was started"
        if self.beat is None:
            return "its age is unknown"
        if self.beat > now:
            return "it is from before the machine was started, or from the future"
        if now - self.beat > grace:
            return f"the server ended {now - self.beat:.0f} s ago, more than {grace:g} s"
        return None


def encode_header(mark: bytes, boot: bytes, now: float) -> bytes:
    """The header of a new file, with its first beat."""
    sealed = crc32(_HEADER.pack(_MAGIC, VERSION, 0, boot, mark))
    header = _HEADER.pack(_MAGIC, VERSION, sealed, boot, mark)
    return header + encode_beat(mark, now) + bytes(_BEAT.size)


def encode_beat(mark: bytes, now: float) -> bytes:
    nanoseconds = int(now * 1e9)
    return _BEAT.pack(nanoseconds, crc32(nanoseconds.to_bytes(8, "little"), crc32(mark)))


def beat_offset(count: int) -> int:
    """Where the beat of that number is written; 0 is that of the header."""
    return _BEATS[count % 2]


def encode_entry(
    mark: bytes, sequence: int, key: bytes, payload: bytes | None, last: bool
) -> bytes:
    """``payload`` None: the key is dropped. ``last``: of its turn."""
    kind = (_DROP if payload is None else _PUT) | (_LAST if last else 0)
    value = payload or b""
    head = _HEAD.pack(sequence, kind, len(key), len(value), crc32(value, crc32(key)))
    return b"".join((mark, _CRC.pack(crc32(head)), head, key, value))


def read_header(data: bytes) -> tuple[bytes, bytes, float | None] | None:
    """The mark, the boot id and the newest beat of a log; None if the header is not whole, or is of
    another version.
    """
    if len(data) < HEADER_SIZE:
        return None
    magic, version, sealed, boot, mark = _HEADER.unpack_from(data)
    if (magic, version) != (_MAGIC, VERSION):
        return None
    if sealed != crc32(_HEADER.pack(magic, version, 0, boot, mark)):
        return None
    return mark, boot, _newest_beat(data, mark)


def parse(data: bytes) -> KeptLog:
    """What the bytes of a log hold. Never raises."""
    if len(data) < HEADER_SIZE:
        return KeptLog({}, ["the header is cut off"])
    damaged: list[str] = []
    magic, version, sealed, boot, mark = _HEADER.unpack_from(data)
    if sealed != crc32(_HEADER.pack(magic, version, 0, boot, mark)):
        damaged.append("the header is damaged")
        boot, mark = UNKNOWN_BOOT, data[HEADER_SIZE : HEADER_SIZE + MARK_SIZE]
        if Reading(data, mark).read_entry(HEADER_SIZE) is None:
            return KeptLog({}, damaged)
    elif magic != _MAGIC:
        return KeptLog({}, ["it is no log"])
    elif version != VERSION:
        of = "a newer" if version > VERSION else "an unknown"
        return KeptLog({}, [f"it is of {of} format: {version}; this server reads {VERSION}"])
    reading = Reading(data, mark)
    reading.run()
    return KeptLog(reading.entries, damaged + reading.damaged(), _newest_beat(data, mark), boot)


def _newest_beat(data: bytes, mark: bytes) -> float | None:
    found = []
    for offset in _BEATS:
        nanoseconds, sealed = _BEAT.unpack_from(data, offset)
        if sealed == crc32(nanoseconds.to_bytes(8, "little"), crc32(mark)):
            found.append(nanoseconds / 1e9)
    return max(found, default=None)


@attrs.define(eq=False)
class Reading:
    """The entries of a log, read in one pass (``run``) or as they are written (``read_turns``)."""

    data: bytes
    mark: bytes
    entries: dict[str, bytes] = attrs.field(factory=dict)
    _newest: dict[str, int] = attrs.field(factory=dict)  # sequence number by key
    _turn: list[tuple[int, str, bytes | None]] = attrs.field(factory=list)
    _count: int = 0
    _highest: int = -1
    _bad: list[tuple[int, int]] = attrs.field(factory=list)  # from and to, the first ones
    _more_bad: int = 0

    def run(self) -> None:
        at, size = HEADER_SIZE, len(self.data)
        while at < size:
            end = self.read_entry(at)
            if end is None:
                end = self._next_mark(at)
                self._note_bad(at, end)
            at = end

    def read_turns(self, data: bytes) -> int:
        """Read what has come behind the turns that were read before. Returns how many bytes of it
        are whole turns. The others, which may be in the middle of a write, count as not read.
        """
        self.data = data
        at = whole = 0
        read = self._count, self._highest
        while (end := self.read_entry(at)) is not None:
            at = end
            if not self._turn:
                whole, read = at, (self._count, self._highest)
        self._turn.clear()
        self._count, self._highest = read
        self.data = b""
        return whole

    @property
    def is_whole(self) -> bool:
        """Whether no entry is missing among those that were read."""
        return self._count == self._highest + 1

    def _note_bad(self, at: int, end: int) -> None:
        if self._bad and self._bad[-1][1] == at:
            self._bad[-1] = (self._bad[-1][0], end)
        elif len(self._bad) < _MOST_NAMED:
            self._bad.append((at, end))
        else:
            self._more_bad += 1

    def damaged(self) -> list[str]:
        texts = [f"bytes {at} to {end} are no whole entry" for at, end in self._bad]
        if self._more_bad:
            texts.append(f"{self._more_bad} more places are no whole entry")
        if self._count <= self._highest:
            texts.append(f"{self._highest + 1 - self._count} entries are missing")
        if self._turn:
            texts.append(f"the last turn is not whole: {len(self._turn)} entries are left out")
        return texts

    def _next_mark(self, at: int) -> int:
        """Where an entry may begin, behind ``at``."""
        found = self.data.find(self.mark, at + 1)
        return len(self.data) if found < 0 else found

    def read_entry(self, at: int) -> int | None:
        """Where the entry that begins at ``at`` ends, or None if there is none."""
        data, body = self.data, at + ENTRY_SIZE
        if body > len(data) or not data.startswith(self.mark, at):
            return None
        head = data[body - _HEAD.size : body]
        if _CRC.unpack_from(data, at + MARK_SIZE)[0] != crc32(head):
            return None
        sequence, kind, of_key, of_payload, sealed = _HEAD.unpack(head)
        end: int = body + of_key + of_payload
        if of_payload > MAX_PAYLOAD:
            return None
        key, payload = data[body : body + of_key], data[body + of_key : end]
        if sealed != crc32(payload, crc32(key)) or kind & ~_LAST not in (_PUT, _DROP):
            return None
        try:
            name = key.decode()
        except UnicodeDecodeError:
            return None
        self._count += 1
        self._highest = max(self._highest, sequence)
        self._turn.append((sequence, name, payload if kind & ~_LAST == _PUT else None))
        if kind & _LAST:
            self._apply_turn()
        return end

    def _apply_turn(self) -> None:
        for sequence, key, payload in self._turn:
            if sequence < self._newest.get(key, 0):
                continue
            self._newest[key] = sequence
            if payload is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = payload
        self._turn.clear()
