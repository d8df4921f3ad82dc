"""The parser of the HTTP API's request bodies and of their fields.

JSON and urlencoded bodies are read: Kolab sends both. A body of another type is ignored, as by the
original server. An error is a 400 or 413 that says what is wrong. Only parsed values go further
into the server. ``http_api`` checks what they mean.
"""

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from meet_trio.errors import BadRequest
from meet_trio.ortc.fields import Json

JsonObject = Mapping[str, Json]

_MAX_TEXT = 256  # characters


async def read_object(
    request: Request, *, max_bytes: int, bound: str, max_depth: int
) -> JsonObject:
    """The body as an object; ``{}`` without a body. Raises HTTPException 413, or BadRequest.

    ``bound`` is the name of the bound of ``max_bytes``, for the error.
    ``max_depth`` is a number of levels of arrays and objects. Kolab's own bodies need four.
    """
    body = b""
    announced = _header(request, b"content-length")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise HTTPException(413, f"the body is larger than {max_bytes} bytes ({bound})")
    more_follows = True
    while more_follows:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise HTTPException(413, f"the body is larger than {max_bytes} bytes ({bound})")
        more_follows = message.get("more_body", False)
    kind, _, parameters = _header(request, b"content-type").partition(";")
    match kind.strip().lower():
        case "application/json":
            return _parse_json_untrusted(body, parameters, max_depth)
        case "application/x-www-form-urlencoded":
            return _parse_form_untrusted(body)
    return {}


def _header(request: Request, name: bytes) -> str:
    """The first header of this name, which is in lower case; "" without one."""
    for each, value in request.scope["headers"]:
        if each == name:
            return str(value, "latin-1")
    return ""


def _parse_json_untrusted(body: bytes, parameters: str, max_depth: int) -> JsonObject:
    if "charset" in parameters.lower() and "utf-8" not in parameters.lower():
        raise BadRequest("the body's charset is not UTF-8")
    if not body.strip():
        return {}
    try:
        value: Json = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8") from None
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise BadRequest(f"the body is nested deeper than {max_depth} levels") from None
    if value == []:
        # PHP has one empty array for both. Kolab 4 sends this with ``POST sessions``.
        return {}
    if not isinstance(value, dict):
        raise BadRequest("the body is not a JSON object")
    if _is_deeper(value, max_depth):
        raise BadRequest(f"the body is nested deeper than {max_depth} levels")
    return value


def _parse_form_untrusted(body: bytes) -> JsonObject:
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise BadRequest(f"the body is not urlencoded: {error}") from None
    return dict(pairs)


def _is_deeper(value: Json, levels: int) -> bool:
    stack = [(value, 1)]
    while stack:
        item, depth = stack.pop()
        if isinstance(item, dict | list):
            if depth > levels:
                return True
            stack += [
                (child, depth + 1) for child in (item.values() if isinstance(item, dict) else item)
            ]
    return False


def text_field(body: JsonObject, name: str) -> str:
    """The value of a required text field. Raises BadRequest that names the field."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{name}: a non-empty text is required")
    if len(value) > _MAX_TEXT:
        raise BadRequest(f"{name}: longer than {_MAX_TEXT} characters")
    return value
