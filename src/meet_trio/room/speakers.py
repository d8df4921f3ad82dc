"""The dominant speaker of a room, after Volfin and Cohen, from the audio levels of its peers.

Speech is weighed over three lengths of time: now, half a second, two seconds. Another peer becomes
the dominant speaker when its activity beats that of the present one over all three. So a short
noise does not count, however loud it is, and a pause between words does not either.

Pure: the time is passed in, in seconds, and does not go back. ``docs/algorithms/speakers.md``
describes the algorithm.
"""

import math
from collections.abc import Iterator

import attrs

SILENT = -127
"""The level of a peer that is not heard, in dBov."""

FRAME = 0.1  # seconds; the engine averages levels over as much
_STEP = 10  # dB of one step of immediate activity
_STEPS = 13
_FRAMES = 5  # frames of a block
_BLOCKS = 4  # blocks of the long interval
_ACTIVE_STEPS = 6  # a frame with more steps is active
_ACTIVE_FRAMES = 3  # a block with as many active frames is active
_LEAST_BLOCKS = 2  # active blocks without which nobody becomes the dominant speaker
_FLOOR_WINDOW = 15.0  # seconds in which the background noise of a peer is found
_FIRST_FLOOR = 70  # dB above silence; the first levels of a peer may be speech already
_LEAST_SCORE = 1e-10

# How much more active a challenger must be, as the logarithm of the ratio of scores
_BEAT_NOW = 3.0
_BEAT_MEDIUM = 1.0
_BEAT_LONG = 0.0


def _log_scores(most: int, prior: float) -> tuple[float, ...]:
    """The logarithms of the scores of 0 to ``most`` active parts. The score of ``v`` parts is the
    logarithm of their likelihood as speech to that as noise.
    """
    scores = (
        math.log(math.comb(most, v)) - most * math.log(2) - math.log(prior) + prior * v
        for v in range(most + 1)
    )
    return tuple(math.log(max(score, _LEAST_SCORE)) for score in scores)


_NOW = _log_scores(_STEPS, 0.78)
_MEDIUM = _log_scores(_FRAMES, 24.0)
_LONG = _log_scores(_BLOCKS, 47.0)

_BLOCK_MASK = (1 << _FRAMES) - 1
_FRAMES_MASK = (1 << _FRAMES * _BLOCKS) - 1


@attrs.define(eq=False)
class _Voice:
    """One peer. ``volume`` is its level above silence, in dB. ``frames`` has the last frames as
    bits, the newest lowest: 1 is an active one. ``floor`` is the background noise that it sends,
    and ``lowest`` the lowest volume in the window that began at ``window``.
    """

    volume: int
    frame: int  # the number of the frame that begins now
    frames: int = 0
    floor: int = _FIRST_FLOOR
    lowest: int = 127
    window: float = 0.0

    @property
    def awake(self) -> bool:
        """Whether time changes its activity: it is active, or was within the long interval."""
        return self.frames != 0 or self.immediate > _ACTIVE_STEPS

    @property
    def immediate(self) -> int:
        return 0 if self.volume < self.floor + _STEP else min(self.volume // _STEP, _STEPS)

    @property
    def medium(self) -> int:
        return (self.frames & _BLOCK_MASK).bit_count()

    @property
    def long(self) -> int:
        return sum(
            (self.frames >> _FRAMES * block & _BLOCK_MASK).bit_count() >= _ACTIVE_FRAMES
            for block in range(_BLOCKS)
        )

    def advance(self, now: float) -> None:
        """Count the frames until ``now`` with the present level."""
        passed = int(now / FRAME) - self.frame
        if passed <= 0:
            return
        self.frame += passed
        active = self.immediate > _ACTIVE_STEPS
        passed = min(passed, _FRAMES * _BLOCKS)
        new = (1 << passed) - 1 if active else 0
        self.frames = (self.frames << passed | new) & _FRAMES_MASK
        if now - self.window >= _FLOOR_WINDOW:
            self.floor, self.lowest, self.window = self.lowest, self.volume or 127, now

    def hear(self, volume: int, now: float) -> None:
        self.advance(now)
        self.volume = volume
        if volume:  # a microphone that is off says nothing about the noise around it
            self.lowest = min(self.lowest, volume)
            self.floor = min(self.floor, volume)


@attrs.define(eq=False)
class Speakers:
    """``dominant`` is the last dominant speaker, also in silence. None: nobody has spoken yet, or
    the dominant speaker has left. ``latest`` has all dominant speakers that are still there, the
    newest first.
    """

    dominant: str | None = None
    latest: list[str] = attrs.field(factory=list)
    _voices: dict[str, _Voice] = attrs.field(factory=dict)
    # the peers whose activity changes with time
    _awake: dict[str, _Voice] = attrs.field(factory=dict)

    def hear(self, peer_id: str, level: int, now: float) -> None:
        """The peer's audio has ``level`` dBov from ``now`` on, until the next call."""
        voice = self._voices.get(peer_id)
        if voice is None:
            voice = self._voices[peer_id] = _Voice(0, int(now / FRAME), window=now)
        voice.hear(max(0, min(level - SILENT, 127)), now)
        if voice.awake:
            self._awake[peer_id] = voice

    def leave(self, peer_id: str) -> None:
        self._voices.pop(peer_id, None)
        self._awake.pop(peer_id, None)
        if peer_id in self.latest:
            self.latest.remove(peer_id)
        if self.dominant == peer_id:
            self.dominant = None

    @property
    def awake(self) -> bool:
        """Whether ``decide`` has to be called again although no level changes."""
        return bool(self._awake)

    def decide(self, now: float) -> bool:
        """Find the dominant speaker. Returns whether it has changed."""
        for peer_id, voice in list(self._awake.items()):
            voice.advance(now)
            if not voice.awake:
                del self._awake[peer_id]
        winner = max(self._challengers(), default=None)
        if winner is None:
            return False
        self.dominant = winner[-1]
        if self.dominant in self.latest:
            self.latest.remove(self.dominant)
        self.latest.insert(0, self.dominant)
        return True

    def _challengers(self) -> Iterator[tuple[float, float, str]]:
        """The peers that beat the dominant speaker, with their scores."""
        present = None if self.dominant is None else self._awake.get(self.dominant)
        if present is None:
            now, medium, long = _NOW[0], _MEDIUM[0], _LONG[0]
        else:
            now, medium = _NOW[present.immediate], _MEDIUM[present.medium]
            long = _LONG[present.long]
        for peer_id, voice in self._awake.items():
            blocks = voice.long
            if (
                voice is not present
                and blocks >= _LEAST_BLOCKS
                and _NOW[voice.immediate] - now > _BEAT_NOW
                and _MEDIUM[voice.medium] - medium > _BEAT_MEDIUM
                and _LONG[blocks] - long > _BEAT_LONG
                and peer_id != self.dominant
            ):
                yield _MEDIUM[voice.medium], _LONG[blocks], peer_id

    def volumes(self, least: int, most: int) -> list[tuple[str, int]]:
        """The peers that are at least as loud as ``least`` dBov, at most ``most``: the loudest
        first.
        """
        loud = [
            (peer_id, voice.volume + SILENT)
            for peer_id, voice in self._voices.items()
            if voice.volume + SILENT >= least
        ]
        return sorted(loud, key=lambda entry: -entry[1])[:most]
