"""The meeting as pure state: roles, peers, and verbs that return the notices to send."""

from meet_trio.room.limits import RoomLimits
from meet_trio.room.outcome import JoinAnswer, Notice, Outcome, Webhook
from meet_trio.room.peer import Consumer, Layers, Peer, Producer
from meet_trio.room.records import ROOM_RECORDS
from meet_trio.room.requests import Request, UnknownMethod, method_name, parse_request
from meet_trio.room.restore import LeftOut, restore_room
from meet_trio.room.roles import Role, parse_role
from meet_trio.room.room import Room

__all__ = [
    "ROOM_RECORDS",
    "Consumer",
    "JoinAnswer",
    "Layers",
    "LeftOut",
    "Notice",
    "Outcome",
    "Peer",
    "Producer",
    "Request",
    "Role",
    "Room",
    "RoomLimits",
    "UnknownMethod",
    "Webhook",
    "method_name",
    "parse_request",
    "parse_role",
    "restore_room",
]
