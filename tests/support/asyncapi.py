"""The messages of ``docs/asyncapi.yaml``, and whether a payload is one of them."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

DOCUMENT: dict[str, Any] = yaml.load(
    (Path(__file__).parents[2] / "docs" / "asyncapi.yaml").read_text(), yaml.CSafeLoader
)
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]


def key(kind: str, name: str) -> str:
    """The key of a message: keys have no colons."""
    if kind == "notification" and name.startswith("signal:"):
        name = "signal"
    return f"{kind}.{name.replace(':', '.')}"


def check(kind: str, name: str, payload: object) -> None:
    """Raises an error that says why ``payload`` is not that message."""
    found = key(kind, name)
    assert found in MESSAGES, f"docs/asyncapi.yaml has no {found}"
    _validator(found).validate(json.loads(json.dumps(payload)))


@cache
def _validator(found: str) -> jsonschema_rs.Draft7Validator:
    components = {"schemas": DOCUMENT["components"]["schemas"]}
    schema = {**MESSAGES[found]["payload"], "components": components}
    return jsonschema_rs.Draft7Validator(schema)


def has_result(method: str) -> bool:
    return key("result", method) in MESSAGES
