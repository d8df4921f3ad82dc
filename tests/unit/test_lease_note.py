"""What a process notes about its lease, and what the next one reads."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from meet_trio.journal.folder import Folder
from meet_trio.journal.lease_note import (
    NO_LEASE_BEFORE,
    SIZE,
    LeaseBefore,
    LeaseNote,
    read_lease,
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield Folder(descriptor, tmp_path)
    os.close(descriptor)


@pytest.fixture
def note(folder: Folder) -> Iterator[LeaseNote]:
    made = LeaseNote(folder)
    yield made
    made.close()


@pytest.mark.parametrize(
    "lease",
    [
        LeaseBefore(("a" * 32, "b" * 32), 12345.678901),
        LeaseBefore(("a" * 32,), None),
        LeaseBefore((), 0.1 + 0.2),
    ],
)
def test_the_next_process_reads_what_was_noted(
    folder: Folder, note: LeaseNote, lease: LeaseBefore
) -> None:
    note.write(LeaseBefore(tuple("cdefgh"), 98765.4321012345))  # a longer one before
    note.write(lease)
    assert read_lease(folder) == lease


def test_it_is_one_write_of_one_size(folder: Folder, note: LeaseNote) -> None:
    """A process may be killed between two calls, not in one of so few bytes."""
    for until in (None, 1.0, 1 / 3):
        note.write(LeaseBefore(tuple(f"{i:032x}" for i in range(50)), until))
        assert (folder.path / "lease").stat().st_size == SIZE
    assert read_lease(folder).owners == tuple(f"{i:032x}" for i in range(42, 50))  # the newest


def test_nobody_else_may_read_it(folder: Folder, note: LeaseNote) -> None:
    note.write(LeaseBefore(("a",), None))
    assert (folder.path / "lease").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"x a", b"\xff\xfe a", b"nan? a b", b"1.0.0 a", b"\0" * SIZE]
)
def test_a_damaged_note_says_nothing(folder: Folder, content: bytes) -> None:
    (folder.path / "lease").write_bytes(content)
    assert read_lease(folder) == NO_LEASE_BEFORE


def test_a_note_without_end_costs_no_more_than_its_size(folder: Folder) -> None:
    (folder.path / "lease").write_bytes(b"- " + b"a " * 1_000_000)
    assert len(read_lease(folder).owners) < SIZE


def test_without_a_note_nothing_is_known(folder: Folder) -> None:
    assert read_lease(folder) == NO_LEASE_BEFORE


def test_a_note_that_cannot_be_written_is_told_once(
    folder: Folder, note: LeaseNote, caplog: pytest.LogCaptureFixture
) -> None:
    (folder.path / "lease").write_bytes(b"of somebody else")
    with caplog.at_level(logging.WARNING):
        for until in (1.0, 2.0):
            note.write(LeaseBefore(("a",), until))
    (message,) = caplog.messages
    assert message == "the lease cannot be noted for the next process: File exists"
