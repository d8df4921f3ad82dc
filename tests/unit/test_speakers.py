"""The dominant speaker in constructed conversations, in virtual time."""

from collections.abc import Mapping, Sequence

import attrs
import pytest

from meet_trio.room.speakers import SILENT, Speakers

SPEECH, QUIET, SLAM, NOISE = -30, -75, -5, -50


@attrs.define
class Table:
    """A conversation. ``changes`` has the time and the name of each new dominant speaker."""

    speakers: Speakers = attrs.field(factory=Speakers)
    frame: int = 0
    changes: list[tuple[float, str]] = attrs.field(factory=list)
    levels: dict[str, int] = attrs.field(factory=dict)

    def go_on(self, seconds: float, **levels: int | Sequence[int]) -> None:
        """``levels`` by peer: constant ones, or one for each frame of 0.1 s, again and again. The
        other peers are quiet. As from the engine, only changes are heard.
        """
        for at in range(round(seconds * 10)):
            now: Mapping[str, int] = {
                name: level if isinstance(level, int) else level[at % len(level)]
                for name, level in levels.items()
            }
            for name in sorted({*self.levels, *now}):
                level = now.get(name, QUIET)
                if self.levels.get(name) != level:
                    self.speakers.hear(name, level, self.frame / 10)
                    self.levels[name] = level
            self.frame += 1
            if self.speakers.decide(self.frame / 10):
                assert self.speakers.dominant is not None
                self.changes.append((self.frame / 10, self.speakers.dominant))

    @property
    def order(self) -> list[str]:
        return [name for _, name in self.changes]


WORDS = [SPEECH, -35, -28, -60, -33, SPEECH, QUIET, -31, -36, SPEECH]


@pytest.fixture
def table() -> Table:
    table = Table()
    table.go_on(2, ada=QUIET, bob=QUIET, eve=QUIET)
    assert table.speakers.dominant is None
    return table


def test_one_speaks(table: Table) -> None:
    table.go_on(10, ada=WORDS)
    ((at, who),) = table.changes
    assert who == "ada"
    assert 2.5 <= at <= 3.5
    assert table.speakers.latest == ["ada"]


def test_the_last_speaker_stays_in_silence(table: Table) -> None:
    table.go_on(3, ada=WORDS)
    table.go_on(60)
    assert table.order == ["ada"]
    assert table.speakers.dominant == "ada"
    assert not table.speakers.awake, "silence is no work"


@pytest.mark.parametrize("length", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("level", [SPEECH, SLAM])
def test_a_cough_does_not_interrupt(table: Table, length: float, level: int) -> None:
    table.go_on(5, ada=WORDS)
    for _ in range(5):
        table.go_on(length, ada=WORDS, bob=level)
        table.go_on(3, ada=WORDS)
    assert table.order == ["ada"]


@pytest.mark.parametrize("length", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("level", [SPEECH, SLAM])
def test_a_slammed_door_in_silence_is_no_speaker(table: Table, length: float, level: int) -> None:
    for _ in range(5):
        table.go_on(length, bob=level)
        table.go_on(3)
    assert table.order == []


def test_two_alternate(table: Table) -> None:
    for _ in range(4):
        table.go_on(4, ada=WORDS)
        table.go_on(4, bob=WORDS)
    assert table.order == ["ada", "bob"] * 4
    for number, (at, _) in enumerate(table.changes):
        assert 0.5 <= at - (2 + 4 * number) <= 2, "within two seconds of the first word"
    assert table.speakers.latest == ["bob", "ada"]


def test_short_answers_do_not_take_over(table: Table) -> None:
    for _ in range(5):
        table.go_on(3, ada=WORDS)
        table.go_on(0.4, bob=SPEECH)
    assert table.order == ["ada"]


def test_a_word_thrown_in_during_a_breath_does_not_take_over(table: Table) -> None:
    """The long interval decides: the other one spoke more in the last two seconds."""
    table.go_on(3, ada=SPEECH)
    table.go_on(0.4, ada=SPEECH, bob=SPEECH)
    table.go_on(0.7, bob=SPEECH)
    table.go_on(3, ada=SPEECH)
    assert table.order == ["ada"]


def test_two_at_once_do_not_make_it_jump(table: Table) -> None:
    table.go_on(3, ada=WORDS)
    table.go_on(30, ada=WORDS, bob=WORDS[3:] + WORDS[:3], eve=WORDS[6:] + WORDS[:6])
    assert len(table.order) <= 2


def test_the_one_who_goes_on_alone_takes_over(table: Table) -> None:
    table.go_on(3, ada=WORDS)
    table.go_on(2, ada=WORDS, bob=WORDS)
    before = table.frame / 10
    table.go_on(5, bob=WORDS)
    assert table.order == ["ada", "bob"]
    assert table.changes[-1][0] - before <= 1.5


def test_a_muted_speaker_gives_way_to_the_next(table: Table) -> None:
    table.go_on(3, ada=SPEECH)
    table.go_on(3, ada=SILENT)
    assert table.order == ["ada"]
    table.go_on(3, ada=SILENT, bob=WORDS)
    assert table.order == ["ada", "bob"]


def test_steady_noise_is_no_speech(table: Table) -> None:
    """A fan: heard as speech at first, and as background after a while."""
    table.go_on(40, bob=NOISE)
    assert not table.speakers.awake
    table.go_on(3, bob=NOISE, ada=WORDS)
    assert table.order[-1] == "ada"
    table.go_on(5, bob=[NOISE, -48, -53])
    assert table.order[-1] == "ada"
    table.go_on(5, bob=[NOISE, -20, -22, -25])
    assert table.order[-1] == "bob"


def test_a_noisy_speaker_gives_way_too(table: Table) -> None:
    table.go_on(20, ada=NOISE)
    table.go_on(5, ada=[-20, -22, -25, NOISE])
    table.go_on(5, ada=NOISE, bob=WORDS)
    assert table.order[-2:] == ["ada", "bob"]


def test_who_leaves_is_no_speaker(table: Table) -> None:
    table.go_on(3, ada=WORDS)
    table.go_on(3, bob=WORDS)
    table.speakers.leave("bob")
    assert table.speakers.dominant is None
    assert table.speakers.latest == ["ada"]
    assert table.speakers.volumes(-127, 9) == [("ada", QUIET), ("eve", QUIET)]
    table.speakers.leave("nobody")


def test_a_pause_of_the_clock_counts_with_the_last_level() -> None:
    """The loop was held up: the frames of that time have the level that was heard last."""
    speakers = Speakers()
    speakers.hear("ada", SPEECH, 10.0)
    assert speakers.decide(13.0)
    assert speakers.dominant == "ada"


def test_volumes_are_the_loudest_first() -> None:
    speakers = Speakers()
    for name, level in {"a": -60, "b": -20, "c": -40, "d": SILENT, "e": -90}.items():
        speakers.hear(name, level, 0)
    assert speakers.volumes(-80, 9) == [("b", -20), ("c", -40), ("a", -60)]
    assert speakers.volumes(-80, 2) == [("b", -20), ("c", -40)]
