"""Each request of clients has a handler, and a row on the page of the protocol."""

import re
from pathlib import Path
from typing import get_args

from meet_trio.live import handlers
from meet_trio.room import Request, requests

PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"
METHODS = {*requests._WITHOUT_DATA, *requests._PARSERS}


def test_each_request_has_a_handler() -> None:
    assert set(get_args(Request)) == set(handlers._HANDLERS)


def test_each_request_is_documented() -> None:
    section = PROTOCOL.read_text().split("### Requests of a client")[1].split("###")[0]
    first_cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert {name for cell in first_cells for name in re.findall(r"`([\w:]+)`", cell)} == METHODS
