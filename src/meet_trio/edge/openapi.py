"""The description of the HTTP API in OpenAPI 3.1, which ``GET openapi.json`` answers.

It is the source of what integrators generate. A test sends requests that are made from it to the
API, valid and invalid ones, and compares the answers with it. It has no limit that a setting
changes.
"""

from collections.abc import Mapping
from typing import Any

from meet_trio import __version__
from meet_trio.lag import BOUNDS
from meet_trio.room import Role
from meet_trio.room.last_n import MAX_LAST_N

Schema = Mapping[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 256}
_ROLE: Schema = {
    "description": (
        "The sum of 1 (SUBSCRIBER), 2 (PUBLISHER), 4 (MODERATOR), 8 (SCREEN), 16 (OWNER)."
    ),
    "type": ["integer", "null"],
    "minimum": 0,
    "maximum": int(sum(Role)),
}
_EMPTY: Schema = {
    "description": "No fields, as PHP encodes an empty array.",
    "type": "array",
    "maxItems": 0,
}
_LAST_N: Schema = {
    "description": "Viewers are sent the cameras of as many latest speakers only.",
    "type": ["integer", "null"],
    "minimum": 0,
    "maximum": MAX_LAST_N,
}
# in forms all values are texts
_ROLE_TEXT: Schema = {"type": "string", "pattern": "^([0-9]|[12][0-9]|3[01])$"}
_LAST_N_TEXT: Schema = {"type": "string", "pattern": "^([0-9]{1,3}|1000)$"}
_HISTOGRAM: Schema = {
    "type": "object",
    "required": ["counts", "seconds"],
    "properties": {
        name: {"type": "array", "items": {"type": kind, "minimum": 0}, "minItems": len(BOUNDS) + 1}
        for name, kind in (("counts", "integer"), ("seconds", "number"))
    },
}
_OBJECTS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string"}},
        "additionalProperties": True,
    },
}

_SCHEMAS: Schema = {
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string", "description": "What is wrong."}},
    },
    "Health": {
        "type": "object",
        "required": ["success", "message"],
        "properties": {"success": {"type": "boolean"}, "message": {"type": "string"}},
    },
    "Room": {
        "type": "object",
        "required": ["roomId", "createdAt"],
        "properties": {
            "roomId": {"type": "string"},
            "createdAt": {"type": "integer", "description": "Unix seconds."},
        },
    },
    "RoomOptions": {"type": "object", "properties": {"lastN": _LAST_N}},
    "RoomOptionsForm": {"type": "object", "properties": {"lastN": _LAST_N_TEXT}},
    "NewRoom": {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string", "format": "uuid"}},
    },
    "PeerOptions": {"type": "object", "properties": {"role": _ROLE}},
    "PeerOptionsForm": {"type": "object", "properties": {"role": _ROLE_TEXT}},
    "NewPeer": {
        "type": "object",
        "required": ["id", "token"],
        "properties": {
            "id": {"type": "string"},
            "token": {
                "type": "string",
                "format": "uri",
                "description": "The URL that the client opens signaling by.",
            },
        },
    },
    "Signal": {
        "type": "object",
        "properties": {
            "roomId": _TEXT,
            "type": {**_TEXT, "description": "The peers get the notification signal:<type>."},
            "data": {"description": "Passed on."},
            "role": {**_ROLE, "description": "Only peers with one of its bits; null: all."},
        },
        "anyOf": [{"maxProperties": 0}, {"required": ["roomId", "type"]}],
    },
    "SignalForm": {
        "type": "object",
        "properties": {
            "roomId": _TEXT,
            "type": _TEXT,
            "data": {"type": "string"},
            "role": _ROLE_TEXT,
        },
        "anyOf": [{"maxProperties": 0}, {"required": ["roomId", "type"]}],
    },
    "Stats": {
        "type": "object",
        "description": "By room and peer.",
        "additionalProperties": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["id", "nickname", "consumers", "producers", "transports"],
                "properties": {
                    "id": {"type": "string"},
                    "nickname": {"type": ["string", "boolean"], "description": "false: none."},
                    "consumers": _OBJECTS,
                    "producers": _OBJECTS,
                    "transports": _OBJECTS,
                },
            },
        },
    },
    "Trial": {
        "type": "object",
        "required": ["port", "usernameFragment", "password", "iceLite"],
        "properties": {
            "port": {"type": "integer", "minimum": 1, "maximum": 65535},
            "usernameFragment": {"type": "string"},
            "password": {"type": "string"},
            "iceLite": {"const": True},
        },
    },
    "Lag": {
        "type": "object",
        "description": "The lengths of the turns of the event loop, in buckets.",
        "required": ["seconds", "bounds", "held", "worked"],
        "properties": {
            "seconds": {"type": "number", "minimum": 0, "description": "The time measured."},
            "bounds": {"type": "array", "items": {"type": "number"}},
            "held": {**_HISTOGRAM, "description": "Wall-clock time."},
            "worked": {**_HISTOGRAM, "description": "CPU time of the thread."},
        },
    },
}


def openapi_document(api_path: str) -> Schema:
    """The document. ``api_path`` is the path below which the routes are."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "meet-trio",
            "version": __version__,
            "summary": "Rooms, peers and figures of a media server for meetings.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": api_path}],
        "security": [{"token": []}],
        "paths": _paths(),
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}
            },
        },
    }


def _paths() -> Schema:
    room = {"name": "room_id", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "/ping": {"get": _operation("ping", "Answers PONG.", ok={"text/plain": {"const": "PONG"}})},
        "/health": {
            "get": _operation(
                "health",
                "Whether the server works.",
                ok=_json("Health"),
                errors={503: {"description": "It does not.", "content": _content(_json("Health"))}},
            )
        },
        "/openapi.json": {
            "get": _operation(
                "openapi", "This document.", ok={"application/json": {"type": "object"}}
            )
        },
        "/sessions": {
            "get": _operation(
                "listRooms",
                "All rooms.",
                ok={"application/json": {"type": "array", "items": _ref("Room")}},
            ),
            "post": _operation(
                "createRoom",
                "Makes a room.",
                ok=_json("NewRoom"),
                body="RoomOptions",
                errors={503: _error("There are too many rooms, or no media engine works.")},
            ),
        },
        "/sessions/{room_id}": {
            "parameters": [room],
            "get": _operation(
                "hasRoom", "Whether there is a room.", ok=None, errors={404: _NO_SUCH_ROOM}
            ),
        },
        "/sessions/{room_id}/connection": {
            "parameters": [room],
            "post": _operation(
                "createPeer",
                "Invites a peer into a room.",
                ok=_json("NewPeer"),
                body="PeerOptions",
                errors={
                    404: _NO_SUCH_ROOM,
                    503: _error("The room has too many peers, or is closing."),
                },
            ),
        },
        "/signal": {
            "post": _operation(
                "signal",
                "Sends a notification to the peers of a room. Unknown rooms are ignored.",
                ok={"application/json": {"type": "object", "maxProperties": 0}},
                body="Signal",
            )
        },
        "/stats": {
            "get": _operation("stats", "Figures of all rooms and peers.", ok=_json("Stats"))
        },
        "/trials": {
            "post": _operation(
                "openTrial",
                "Begins a trial of media, for meet-trio doctor.",
                ok={"application/json": {"type": "array", "items": _ref("Trial")}},
                errors={503: _error("Too many trials are open, or no media engine works.")},
            )
        },
        "/lag": {"get": _operation("lag", "The lag of the event loop.", ok=_json("Lag"))},
    }


def _operation(
    name: str,
    summary: str,
    *,
    ok: Schema | None,
    body: str | None = None,
    errors: Mapping[int, Schema] | None = None,
) -> Schema:
    """``ok``: the schema of the answer by media type; None: the answer has no body."""
    fine: dict[str, Any] = {"description": "Done."}
    if ok is not None:
        fine["content"] = _content(ok)
    responses: dict[int, Schema] = {
        200: fine,
        403: {"description": "The token is missing or wrong. No body."},
        429: {"description": "Too many requests without the token from this address."},
        **(errors or {}),
    }
    operation: dict[str, Any] = {"operationId": name, "summary": summary}
    if body is not None:
        form = "application/x-www-form-urlencoded"
        json = {"application/json": {"anyOf": [_ref(body), _EMPTY]}}
        operation["requestBody"] = {"content": _content({**json, form: _ref(f"{body}Form")})}
        responses |= {
            400: _error("The body is invalid. The text names the field."),
            408: _error("The body did not come in time."),
            413: _error("The body is too large."),
        }
    operation["responses"] = {str(status): responses[status] for status in sorted(responses)}
    return operation


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(name: str) -> Schema:
    """The schema of that name, as JSON."""
    return {"application/json": _ref(name)}


def _content(schemas: Schema) -> Schema:
    return {media_type: {"schema": schema} for media_type, schema in schemas.items()}


def _error(why: str) -> Schema:
    return {"description": why, "content": _content(_json("Error"))}


_NO_SUCH_ROOM: Schema = {"description": "There is no such room. No body."}
