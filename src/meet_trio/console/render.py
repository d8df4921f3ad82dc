"""How answers look on a terminal. Names in them come from clients of meetings, so characters that
control a terminal are escaped.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import attrs


def printable(text: str) -> str:
    """``text`` with everything escaped that is neither printable nor the end of a line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of a table with a heading. Numbers stand on the right."""
    if not rows:
        return []
    columns = list(rows[0])
    cells = [[cell(row.get(column)) for column in columns] for row in rows]
    widths = [
        max(len(column), *(len(line[i]) for line in cells)) for i, column in enumerate(columns)
    ]
    right = [all(_is_number(row.get(column)) for row in rows) for column in columns]

    def line(texts: Sequence[str]) -> str:
        placed = (
            text.rjust(width) if flush else text.ljust(width)
            for text, width, flush in zip(texts, widths, right, strict=True)
        )
        return "  ".join(placed).rstrip()

    return [line(columns), *map(line, cells)]


def cell(value: object) -> str:
    return "" if value is None else printable(str(value)).replace("\n", "\\n")


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


@attrs.define(eq=False)
class Printer:
    """Prints the answer of one command. With ``as_json`` it is one JSON document: the item of a
    form that has one, otherwise an array.
    """

    out: TextIO
    as_json: bool
    _form: str = ""
    _waiting: list[Any] = attrs.field(factory=list)

    def take(self, form: str, item: Any) -> None:
        self._form = form
        if self.as_json or form == "table":
            self._waiting.append(item)
        elif form == "text":
            print(printable(str(item)), file=self.out)
        elif form == "sentences":
            for sentence in item["sentences"]:
                print(printable(sentence), file=self.out)
        elif form == "counts":
            for key, value in item.items():
                print(f"{printable(str(key))}:{cell(value)}", file=self.out)
        else:
            print(printable(json.dumps(item, indent=2, ensure_ascii=False)), file=self.out)

    def end(self) -> None:
        if self.as_json:
            one = self._form in ("object", "counts", "sentences") and len(self._waiting) == 1
            json.dump(self._waiting[0] if one else self._waiting, self.out, indent=2)
            self.out.write("\n")
        else:
            for line in table(self._waiting):
                print(line, file=self.out)
        self.out.flush()
