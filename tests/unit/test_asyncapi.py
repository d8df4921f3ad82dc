"""``docs/asyncapi.yaml`` has the messages of the code. That their payloads fit is checked in all
tests of rooms, by ``support.live_fakes``.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from support.asyncapi import DOCUMENT, MESSAGES, check

from meet_trio.room import Webhook, requests
from meet_trio.room.outcome import JoinAnswer

PACKAGE = Path(__file__).parents[2] / "src" / "meet_trio"
SENDING = {
    "Notice",
    "notices",
    "_announce",
    "_notify",
    "notify",
    "Notification",
    "send_notification",
}


def names(kind: str) -> set[str]:
    return {message["name"] for found, message in MESSAGES.items() if found.startswith(f"{kind}.")}


def sent_names() -> Iterator[str]:
    """The texts that are arguments of functions that send a notification, or become one."""
    for path in [*(PACKAGE / "room").glob("*.py"), *(PACKAGE / "live").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            function = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
            name = function.id if isinstance(function, ast.Name) else function
            if name in SENDING:
                yield from (
                    argument.value
                    for argument in node.args
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
                )


def test_the_requests_are_those_of_the_code() -> None:
    assert names("request") == requests._PARSERS.keys() | requests._WITHOUT_DATA.keys()


def test_the_notifications_are_those_of_the_code() -> None:
    computed = {"consumerPaused", "consumerResumed", "roomReady", "roomBack", "signal:<type>"}
    assert names("notification") == set(sent_names()) | computed


def test_the_webhooks_are_those_of_the_code() -> None:
    assert names("webhook") == {"roomClosed", *get_args(JoinAnswer)}
    check("webhook", "roomClosed", Webhook("roomClosed", "r").to_json())
    for event in get_args(JoinAnswer):
        check("webhook", event, Webhook(event, "r", "q").to_json())


def test_each_message_is_used_and_each_reference_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        node = DOCUMENT
        for part in reference.split("/"):
            node = node[part]
    operations = json.dumps(DOCUMENT["operations"])
    assert not {found for found in MESSAGES if f'/messages/{found}"' not in operations}


def test_a_wrong_payload_is_noticed() -> None:
    data = {"peerId": "p", "role": "x"}
    with pytest.raises(ValueError, match="integer"):
        check("notification", "changeRole", {"method": "changeRole", "data": data})
