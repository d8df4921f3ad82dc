"""The JSON schema of the records of quality, as docs/quality.md shows it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import jsonschema_rs

_PAGE = Path(__file__).parents[2] / "docs" / "quality.md"


def check_record(record: Mapping[str, object]) -> None:
    """Raises ValidationError if a record is not of the shape in the docs."""
    _validator.validate(record)


def _schema() -> object:
    (text,) = [t for t in re.findall(r"```json\n(.*?)```", _PAGE.read_text(), re.S) if "$defs" in t]
    return json.loads(text)


_validator = jsonschema_rs.validator_for(_schema(), validate_formats=True)
