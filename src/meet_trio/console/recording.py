"""Keeps what ``trace`` sends: in a new file, or on standard output for a program that reads it."""

import base64
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TextIO

import attrs


@attrs.define(eq=False)
class Recording:
    """Takes the items of the answer. The file is made with the first piece: in the working
    directory, readable by its owner only, and never in place of another one.
    """

    out: TextIO
    _file: BinaryIO | None = None
    _path: Path | None = None
    _last: str | None = None  # pieces of a file, except for the last item

    def take(self, form: str, item: object) -> None:
        before, self._last = self._last, str(item)
        if before is not None:
            self._write(base64.b64decode(before))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._path is not None and self._file is not None:
            self._file.close()
        if kind is None:
            where = f"{self._path}: " if self._path else ""
            print(f"{where}{self._last}", file=sys.stderr)
        elif self._path is not None:
            print(f"{self._path}: cut short", file=sys.stderr)

    def _write(self, piece: bytes) -> None:
        if self._file is None:
            self._file = self._open()
        self._file.write(piece)
        self._file.flush()

    def _open(self) -> BinaryIO:
        if not self.out.isatty():
            return self.out.buffer
        path = Path(time.strftime("trace-%Y%m%d-%H%M%S.pcapng"))
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._path = path
        return os.fdopen(made, "wb")
