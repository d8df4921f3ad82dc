"""Values that follow from several settings, as ``meetings`` and ``parts`` hand them down."""

import pytest

from meet_trio.config import build
from meet_trio.continuity import Continuity
from meet_trio.kept_sockets import KeptSockets
from meet_trio.meetings import Meetings, Opened
from meet_trio.parts import demo_hosts


def test_what_rooms_are_given() -> None:
    settings = build(
        {
            "http.auth_token": "x",
            "http.trusted_proxies": ("10.0.0.0/8",),
            "media.listen_ip": ("192.0.2.1",),
            "process.shutdown_timeout": 3.0,
            "signaling.max_outbox_bytes": 123_456,
        }
    )
    opened = Opened([], [], None, None, [], Continuity(KeptSockets()))  # type: ignore[arg-type]
    context = Meetings.make(settings, opened).registry.context
    assert context.max_backlog_bytes == 123_456
    assert context.goodbye_timeout == 2.0
    assert context.plain_ports.listen_ips == ("192.0.2.1",)
    assert context.plain_ports.proxies == ("10.0.0.0/8",)
    assert context.ice_servers("peer", 0.0) is None


@pytest.mark.parametrize(
    ("demo", "remote", "known"),
    [(False, False, None), (True, False, (True, False)), (True, True, (True, True))],
)
def test_hosts_of_demo_mode(demo: bool, remote: bool, known: tuple[bool, bool] | None) -> None:
    settings = build(
        {
            "http.auth_token": "x",
            "http.public_domain": "meet.example:8443",
            "demo.enabled": demo,
            "demo.allow_remote": remote,
        }
    )
    hosts = demo_hosts(settings)
    if known is None:
        assert hosts is None
    else:
        assert hosts is not None
        assert (hosts.allows("meet.example"), hosts.allows("192.0.2.1")) == known
        assert not hosts.allows("evil.example")
