"""The description of the admin page's calls, in OpenAPI 3.1. A test compares it with the routes and
with answers.
"""

from collections.abc import Sequence
from typing import Any

from meet_trio import __version__
from meet_trio.edge.openapi import Schema
from meet_trio.operator.tables import MOST_FIND, MOST_ROWS

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number", "minimum": 0}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_WHETHER: Schema = {"type": "boolean"}


def _object(**properties: Schema) -> Schema:
    """All of ``properties`` are always there, and there may be others."""
    return {"type": "object", "required": list(properties), "properties": properties}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


_LINK = {"in": _COUNT, "out": _COUNT, "loss": _NUMBER, "rtt": _NUMBER}
_ROOM = _object(
    id=_TEXT,
    age=_NUMBER,
    connected=_COUNT,
    away=_COUNT,
    invited=_COUNT,
    producers=_COUNT,
    consumers=_COUNT,
    engines=_list(_COUNT),
    **_LINK,
)
_PEER_PARTS = {
    "id": _TEXT,
    "name": _TEXT,
    "role": _TEXT,
    "state": {"enum": ["invited", "connected", "away"]},
    "joined": _WHETHER,
    "age": _NUMBER,
    "address": _TEXT,
    "estimate": _COUNT,
    "sends": _TEXT,
    "consumers": _COUNT,
    **_LINK,
}
_PEER = _object(**_PEER_PARTS)
_TRANSPORT = _object(
    id=_TEXT,
    type={"enum": ["webrtc", "plain"]},
    direction={"enum": ["sends", "receives"]},
    state=_TEXT,
    ice=_TEXT,
    protocol=_or_null(_TEXT),
    address=_TEXT,
    estimate=_COUNT,
    wanted=_COUNT,
    traced=_WHETHER,
    **_LINK,
)
_LAYER = _object(active=_WHETHER, bitrate=_COUNT, width=_COUNT, height=_COUNT, score=_COUNT)
_PRODUCER = _object(
    id=_TEXT, kind=_TEXT, source=_TEXT, paused=_WHETHER, viewers=_COUNT, layers=_list(_LAYER)
)
_CONSUMER = _object(
    id=_TEXT,
    kind=_TEXT,
    source=_TEXT,
    publisher=_TEXT,
    publisherName=_TEXT,
    reason=_TEXT,
    trouble=_WHETHER,
    layers=_COUNT,
    spatial=_or_null(_COUNT),
    temporal=_or_null(_COUNT),
    target=_or_null(_COUNT),
    preferred=_or_null(_COUNT),
    bitrate=_COUNT,
    loss=_NUMBER,
    score=_or_null(_COUNT),
    freezes=_COUNT,
)
_SERVER = _object(
    healthy=_WHETHER,
    reasons=_list(_TEXT),
    draining=_WHETHER,
    rooms=_COUNT,
    peers=_COUNT,
    memory=_COUNT,
    engines=_list(
        _object(
            port=_COUNT,
            failed=_WHETHER,
            peers=_COUNT,
            busySeconds=_NUMBER,
            bytesIn=_COUNT,
            bytesOut=_COUNT,
        )
    ),
    lag=_object(seconds=_NUMBER, bounds=_list(_NUMBER), held={"type": "object"}),
)
_SESSION = _object(version=_TEXT, endsIn=_or_null(_NUMBER), trace=_WHETHER)
_DONE = _object(done=_TEXT)


def _table(row: Schema) -> Schema:
    rows = {**_list(row), "maxItems": MOST_ROWS}
    return _object(total=_COUNT, found=_COUNT, offset=_COUNT, rows=rows)


_CUT: Sequence[Schema] = [
    {
        "name": "find",
        "in": "query",
        "description": "Rows with this text in an id, a name or an address only.",
        "schema": {"type": "string", "maxLength": MOST_FIND},
    },
    {
        "name": "sort",
        "in": "query",
        "description": "A column; with - before it the highest first.",
        "schema": _TEXT,
    },
    {"name": "offset", "in": "query", "schema": {**_COUNT, "maximum": 10**6}},
    {
        "name": "limit",
        "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": MOST_ROWS},
    },
]


def openapi_document(api_path: str) -> Schema:
    """The document. ``api_path`` is the path below which the calls are."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "meet-trio admin",
            "version": __version__,
            "summary": "What the admin page shows and does.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": api_path}],
        "security": [{"token": []}, {"session": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "meet-trio-admin"},
            }
        },
    }


def _paths() -> Schema:
    room, peer = [_in_path("room_id")], [_in_path("room_id"), _in_path("peer_id")]
    one_peer = "/rooms/{room_id}/peers/{peer_id}"
    return {
        "/session": {
            "get": _operation("session", "The session, and what it may do.", _SESSION),
            "post": {
                **_operation("logIn", "Begins a session.", _SESSION, _object(token=_TEXT)),
                "security": [],
            },
            "delete": _operation("logOut", "Ends the session.", {"type": "object"}),
        },
        "/openapi.json": {"get": _operation("openapi", "This document.", {"type": "object"})},
        "/rooms": {
            "parameters": _CUT,
            "get": _operation(
                "rooms", "The server and its rooms.", _object(server=_SERVER, rooms=_table(_ROOM))
            ),
        },
        "/rooms/{room_id}": {
            "parameters": [*room, *_CUT],
            "get": _operation(
                "room",
                "The server, and the peers of a room.",
                _object(server=_SERVER, room=_object(id=_TEXT), peers=_table(_PEER)),
            ),
        },
        "/rooms/{room_id}/close": {
            "parameters": room,
            "post": _operation("close", "Closes a room. Its peers are told.", _DONE),
        },
        one_peer: {
            "parameters": peer,
            "get": _operation(
                "peer",
                "A peer's transports, what it sends and what it gets.",
                _object(
                    **_PEER_PARTS,
                    transports=_list(_TRANSPORT),
                    producers=_list(_PRODUCER),
                    watched=_list(_CONSUMER),
                ),
            ),
        },
        f"{one_peer}/kick": {
            "parameters": peer,
            "post": _operation(
                "kick",
                "Removes a peer, which is told the reason.",
                _DONE,
                {"type": "object", "properties": {"reason": {"type": "string", "maxLength": 200}}},
            ),
        },
        f"{one_peer}/transports/{{transport_id}}/trace": {
            "parameters": [*peer, _in_path("transport_id")],
            "post": _operation(
                "trace",
                "A trace of a transport, while it is made. Needs admin.trace.",
                None,
                {
                    "type": "object",
                    "properties": {
                        "seconds": {"type": "number", "minimum": 0.1, "maximum": 3600},
                        "bytes": {"type": "number", "minimum": 65536, "maximum": 268435456},
                    },
                },
            ),
        },
        "/rooms/{room_id}/explain/{id}": {
            "parameters": [*room, _in_path("id")],
            "get": _operation(
                "explain",
                "Why a consumer gets what it gets, or all about a peer, in words.",
                _object(sentences=_list(_TEXT), reason=_or_null(_TEXT)),
            ),
        },
        "/drain": {
            "post": _operation(
                "drain",
                "Makes no new rooms. The server ends with the last one.",
                _DONE,
                {
                    "type": "object",
                    "properties": {"seconds": {"type": "number", "minimum": 0, "maximum": 604800}},
                },
            ),
            "delete": _operation("undrain", "Takes a drain back.", _DONE),
        },
    }


def _in_path(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT}


_ERRORS = {
    400: "A parameter or the body is invalid. The text names it.",
    401: "Neither the token nor a session, or a wrong one.",
    403: "Another web page may have caused this, or a setting does not allow it.",
    404: "There is no such object.",
    408: "The body did not come in time.",
    409: "It cannot be done now.",
    413: "The body is too large.",
    429: "Too many wrong tokens, or too many requests without one.",
    503: "An engine does not answer, or a limit is reached.",
}


def _operation(name: str, summary: str, ok: Schema | None, body: Schema | None = None) -> Schema:
    """``ok`` None: a pcapng file."""
    kind = "application/json" if ok is not None else "application/x-pcapng"
    fine = {"description": "Done.", "content": {kind: {"schema": {} if ok is None else ok}}}
    error = {"application/json": {"schema": _object(error=_TEXT)}}
    found: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": fine,
            **{
                str(status): {"description": why, "content": error}
                for status, why in _ERRORS.items()
            },
        },
    }
    if body is not None:
        found["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return found
