"""Settings are handed down to those who are bound by them."""

import attrs
import pytest

from meet_trio.app import _socket_settings
from meet_trio.config import Settings
from meet_trio.config.records import HttpSettings, LimitSettings, SignalingSettings
from meet_trio.socketio import Settings as SocketSettings

# settings that have another name for sockets
RENAMED = {
    "max_outbox": "max_outbox_packets",
    "max_inbox": "max_inbox_events",
    "max_unconnected_per_address": "max_unconnected_per_client",
    "json_depth": "max_json_depth",
    "json_items": "max_json_items",
}
ELSEWHERE = {"request_timeout", "request_tries", "reconnect_grace", "first_connection_timeout"}


SIGNALING = sorted({field.name for field in attrs.fields(SignalingSettings)} - ELSEWHERE)


@pytest.mark.parametrize("name", [*SIGNALING, "json_depth", "json_items"])
def test_of_sockets(name: str) -> None:
    group = "limits" if name.startswith("json") else "signaling"
    record = LimitSettings() if group == "limits" else SignalingSettings()
    changed = attrs.evolve(record, **{name: 123_456})
    settings = Settings(http=HttpSettings(auth_token="x" * 32), **{group: changed})  # type: ignore[arg-type]
    theirs = RENAMED.get(name, name)
    assert theirs in {field.name for field in attrs.fields(SocketSettings)}
    assert getattr(_socket_settings(settings), theirs) == 123_456
