"""The doctor's checks that send something, against real programs on loopback: the server, its
stand-ins, nginx, coturn, a receiver of webhooks; and against none of them.
"""

import contextlib
import datetime
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from support import nginx
from support import turn as turn_support
from support.nginx import open_nginx
from support.patient import (
    TOKEN,
    Identity,
    free_ports,
    grades,
    inspect,
    real_machine,
    settings_of,
    worst_of,
)
from support.server import open_server, quick_settings
from support.turn import Turn, open_turn

from meet_trio.config import Settings, build
from meet_trio.doctor import lines, reach, relay, server
from meet_trio.doctor.findings import Finding, Grade
from meet_trio.doctor.inspection import Inspection, MediaTrial, ServerState
from meet_trio.doctor.machine import Machine
from meet_trio.doctor.ports import check_ports
from meet_trio.doctor.reach import check_http, check_media
from meet_trio.doctor.server import open_inspection
from meet_trio.doctor.turn import check_turn
from meet_trio.doctor.webhook import check_webhook

DEADLINES = {
    (lines, "OPEN_DEADLINE"),
    (reach, "TRY_DEADLINE"),
    (relay, "ANSWER_DEADLINE"),
    (relay, "PEER_DEADLINE"),
    (relay, "_CLOSE_DEADLINE"),
    (server, "ASK_DEADLINE"),
}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine makes nothing fail that answers."""
    for module, name in DEADLINES:
        monkeypatch.setattr(module, name, 20.0)


@pytest.fixture
def haste(monkeypatch: pytest.MonkeyPatch, patience: None) -> None:
    """For tests in which nobody answers."""
    for module, name in DEADLINES:
        monkeypatch.setattr(module, name, 0.4)


in_haste = pytest.mark.usefixtures("haste")


def local_settings(changed: Mapping[str, object] | None = None) -> Settings:
    """Everything on loopback, on ports that are free now."""
    media = free_ports(2)
    http = free_ports()
    return build(
        settings_of(
            {
                "http.host": "127.0.0.1",
                "http.port": http,
                "http.public_domain": f"localhost:{http}",
                "http.force_wss": False,
                "media.workers": 2,
                "media.port": media,
                "media.listen_ip": ("127.0.0.1",),
                "media.announced_address": ("127.0.0.1",),
                **(changed or {}),
            }
        )
    )


@contextlib.asynccontextmanager
async def examined(
    settings: Settings | None = None, machine: Machine | None = None
) -> AsyncIterator[Inspection]:
    async with open_inspection(settings or local_settings(), machine or real_machine()) as seen:
        with trio.fail_after(30):
            yield seen


# Without a server


async def test_while_the_server_does_not_run_stand_ins_answer() -> None:
    async with examined() as seen:
        assert seen.server is ServerState.STOPPED
        assert set(grades(await check_ports(seen))) == {"ok"}
        found = await check_media(seen)
        assert grades(found) == ["ok", "ok"]
        ports = ", ".join(str(trial.port) for trial in seen.trials or ())
        assert found[0].found == f"UDP 127.0.0.1, port {ports}: a STUN round trip"
        assert found[1].found == f"TCP 127.0.0.1, port {ports}: a STUN round trip"
        assert grades(await check_http(seen)) == ["ok", "ok"]


async def test_a_stand_in_answers_the_doctor_only() -> None:
    async with examined() as seen:
        assert seen.trials is not None
        strangers = [MediaTrial(trial.port, "somebody") for trial in seen.trials]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reach, "TRY_DEADLINE", 0.4)
            found = await check_media(attrs.evolve(seen, trials=strangers))
    assert grades(found) == ["problem", "problem"]


async def test_stand_ins_with_tls(tmp_path: Path) -> None:
    cert, key = Identity.make("own", hosts=["localhost"]).write(tmp_path)
    settings = local_settings({"http.tls_cert": cert, "http.tls_key": key})
    async with examined(settings) as seen:
        assert grades(await check_http(seen)) == ["ok", "ok"]


async def test_stand_ins_with_a_key_of_another(tmp_path: Path) -> None:
    cert, key = Identity.make("own", hosts=["localhost"]).write(tmp_path)
    key.write_bytes(Identity.make("other").key_pem)
    settings = local_settings({"http.tls_cert": cert, "http.tls_key": key})
    async with examined(settings) as seen:
        assert worst_of(await check_http(seen)).grade is Grade.PROBLEM


async def test_the_ports_are_free_afterwards() -> None:
    settings = local_settings()
    for stop in (False, True):
        with trio.CancelScope() as scope:
            async with examined(settings) as seen:
                await check_media(seen)
                if stop:
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
    async with examined(settings) as seen:
        assert all(port.error is None for port in seen.ports)


@in_haste
async def test_taken_ports_name_their_holder() -> None:
    settings = local_settings()
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", settings.engine.port))
        tcp.bind(("127.0.0.1", settings.listener.port))
        tcp.listen()
        async with examined(settings) as seen:
            assert seen.server is ServerState.FOREIGN
            found = [f for f in await check_ports(seen) if f.grade is Grade.PROBLEM]
    assert len(found) == 2
    assert all("is taken by python" in f.found and "(pid " in f.found for f in found), found


async def test_a_worker_beyond_the_last_port() -> None:
    async with examined(local_settings({"media.port": 65535})) as seen:
        assert "65536" in worst_of(await check_ports(seen)).found


# With a server


async def test_a_running_server_is_asked_for_trials() -> None:
    settings = local_settings()
    running = quick_settings(
        {
            "http.port": settings.listener.port,
            "http.auth_token": TOKEN,
            "media.port": settings.engine.port,
            "media.workers": 2,
            "media.listen_ip": ("127.0.0.1",),
        }
    )
    async with open_server(running):
        async with examined(settings) as seen:
            assert seen.server is ServerState.RUNNING
            assert seen.health["success"] is True
            assert grades(await check_ports(seen)) == ["ok"]
            assert grades(await check_media(seen)) == ["ok", "ok"]
            assert grades(await check_http(seen)) == ["ok", "ok"]
            # an engine answers to its own credentials only
            assert seen.trials is not None
            wrong = [attrs.evolve(trial, password="x" * 32) for trial in seen.trials]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(reach, "TRY_DEADLINE", 0.4)
                found = await check_media(attrs.evolve(seen, trials=wrong))
            assert grades(found) == ["problem", "problem"]
        other = attrs.evolve(settings, api=attrs.evolve(settings.api, auth_token="b" * 32))
        async with examined(other) as seen:
            assert seen.server is ServerState.OTHER_TOKEN


async def test_a_server_that_opens_no_trial() -> None:
    seen = inspect(server=ServerState.RUNNING, trials=None, trial_problem="404")
    finding = worst_of(await check_media(seen))
    assert finding.grade is Grade.WARNING
    assert "404" in finding.found


# The way from outside


@contextlib.contextmanager
def silent(kind: int) -> Iterator[int]:
    """A port that takes everything and answers nothing."""
    with socket.socket(type=kind) as made:
        made.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            made.listen()
        yield made.getsockname()[1]


@pytest.mark.parametrize(("own", "grade"), [(True, "problem"), (False, "warning")])
async def test_silence(own: bool, grade: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a NAT silence is no proof."""
    monkeypatch.setattr(reach, "TRY_DEADLINE", 0.4)
    machine = real_machine(has_address=lambda address: own)
    with silent(socket.SOCK_DGRAM) as port:
        changed = {"media.announced_address": ("127.0.0.1",), "media.listen_ip": ("127.0.0.1",)}
        seen = inspect(
            {**changed, "media.max_tcp_connections": 0}, machine, trials=[MediaTrial(port)]
        )
        (finding,) = await check_media(seen)
    assert finding.grade.value == grade
    assert f"UDP 127.0.0.1, port {port}: no answer" in finding.found
    assert ("no proof" in finding.why) is not own
    assert f"let UDP in: port {port}" in finding.do


async def test_media_that_listens_elsewhere() -> None:
    settings = local_settings({"media.announced_address": ("127.0.0.2",)})
    async with examined(settings) as seen:
        found = await check_media(seen)
    assert grades(found) == ["problem", "problem"]
    assert all("Connection refused" in finding.found for finding in found)


PLAIN_PROXY = ("proxy_set_header Upgrade $http_upgrade;", "")


@pytest.mark.parametrize("passes_upgrades", [True, False])
async def test_a_proxy(
    passes_upgrades: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not passes_upgrades:
        config = nginx._config
        monkeypatch.setattr(nginx, "_config", lambda *args: config(*args).replace(*PLAIN_PROXY))
    settings = local_settings()
    with open_nginx(settings.listener.port, tmp_path) as port:
        listener = attrs.evolve(settings.listener, public_domain=f"localhost:{port}")
        async with examined(attrs.evolve(settings, listener=listener)) as seen:
            found = await check_http(seen)
        assert grades(found) == ["ok", "ok" if passes_upgrades else "problem"]
        assert passes_upgrades or "proxy_set_header Upgrade" in found[1].do
        # the proxy is there, the server behind it is not
        found = await check_http(attrs.evolve(seen, server=ServerState.RUNNING))
        assert "answers 502" in worst_of(found).found


async def test_an_address_of_the_public_domain_where_nobody_listens() -> None:
    settings = local_settings()  # at localhost
    machine = real_machine({"localhost": ["127.0.0.1", "127.0.0.2"]})
    async with examined(settings, machine) as seen:
        finding = worst_of(await check_http(seen))
    assert finding.grade is Grade.WARNING
    assert finding.found.endswith("does not answer at 127.0.0.2: Connection refused")
    assert f"listen [::]:{settings.listener.port} ssl" in finding.do


async def test_the_token_goes_to_no_host_without_a_proof() -> None:
    requests: list[bytes] = []
    async with answering(403, seen=requests.append) as port:
        settings = local_settings({"http.public_domain": f"localhost:{port}"})
        elsewhere = real_machine(has_address=lambda address: False)
        seen = Inspection(settings=settings, machine=elsewhere, server=ServerState.RUNNING)
        found = await check_http(seen)
        assert (found[0].grade, "without its token" in found[0].found) == (Grade.NOTE, True)
        assert requests
        assert TOKEN.encode() not in b"".join(requests)
        await check_http(attrs.evolve(seen, machine=real_machine()))
        assert TOKEN.encode() in b"".join(requests)


async def test_the_token_goes_to_a_host_that_a_certificate_proves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    own = Identity.make("own", hosts=["localhost"], now=now)
    cert, key = own.write(tmp_path)
    settings = local_settings({"http.tls_cert": cert, "http.tls_key": key})
    elsewhere = real_machine(has_address=lambda address: False)
    async with examined(settings) as seen:
        seen = attrs.evolve(seen, machine=elsewhere, server=ServerState.RUNNING)
        base = reach.public_base(seen, tls=True)
        assert (await reach._ping(seen, base))[1] is False
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        assert (await reach._ping(seen, base))[1] is True


async def test_a_public_domain_of_another_server() -> None:
    async with answering(200, body=b"PONG") as port:
        settings = local_settings({"http.public_domain": f"localhost:{port}"})
        async with examined(settings) as seen:
            finding = worst_of(await check_http(seen))
    assert finding.grade is Grade.WARNING
    assert "another server's" in finding.found


async def test_a_public_domain_of_another_program() -> None:
    async with answering(404) as port:
        settings = local_settings({"http.public_domain": f"localhost:{port}"})
        async with examined(settings) as seen:
            finding = worst_of(await check_http(seen))
    assert finding.grade is Grade.PROBLEM
    assert "it is not this server" in finding.found


async def test_wss_without_tls() -> None:
    async with examined(local_settings({"http.force_wss": True})) as seen:
        finding = worst_of(await check_http(seen))
    assert finding.grade is Grade.PROBLEM
    assert "does not speak TLS" in finding.found


@pytest.mark.parametrize(("host", "own"), [("127.0.0.1", True), ("127.0.0.2", False)])
async def test_nobody_at_the_public_domain(host: str, own: bool) -> None:
    settings = local_settings({"http.public_domain": f"{host}:{free_ports()}"})
    async with examined(settings, real_machine(has_address=lambda address: own)) as seen:
        finding = worst_of(await check_http(seen))
    assert finding.grade is (Grade.PROBLEM if own else Grade.WARNING)
    assert "does not answer" in finding.found


# TURN

SECRET = "between-the-doctor-and-coturn"


@pytest.fixture(scope="module")
def turn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Turn]:
    with open_turn(SECRET, tmp_path_factory.mktemp("turn")) as running:
        yield running


async def examine_turn(
    url: str, secret: str = SECRET, machine: Machine | None = None, **changed: Any
) -> list[Finding]:
    settings = local_settings({"turn.server": url, "turn.static_secret": secret, **changed})
    async with examined(settings, machine) as seen:
        # the loopback of tests is a finding of its own
        return [f for f in await check_turn(seen) if "which is loopback" not in f.found]


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
async def test_a_sound_relay(turn: Turn, protocol: str) -> None:
    found = await examine_turn(turn.url(protocol))
    assert grades(found) == ["ok", "ok"], found
    assert "relays for our credentials, from 127.0.0.1:" in found[0].found
    assert "answers through the relay" in found[1].found


async def test_a_relay_that_stays_clean(turn: Turn) -> None:
    await examine_turn(turn.url("udp"))
    await trio.to_thread.run_sync(turn.wait_for_line, "refreshed.*lifetime=0")


async def test_a_wrong_secret(turn: Turn) -> None:
    (finding,) = await examine_turn(turn.url("udp"), "another")
    assert finding.grade is Grade.PROBLEM
    assert "the secret is not the same" in finding.found
    assert "static-auth-secret" in finding.do


async def test_a_clock_that_is_late(turn: Turn) -> None:
    late = real_machine(now=lambda: time.time() - 3 * 86400)
    (finding,) = await examine_turn(turn.url("udp"), machine=late)
    assert finding.grade is Grade.PROBLEM
    assert "takes our secret, but our credentials have expired" in finding.found
    assert "timedatectl" in finding.do


async def test_a_relay_for_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = turn_support._config
    monkeypatch.setattr(
        turn_support,
        "_config",
        lambda *args: "\n".join(x for x in config(*args).split("\n") if "auth-secret" not in x),
    )
    with open_turn(SECRET, tmp_path, "no-auth\n") as running:
        found = await examine_turn(running.url("udp"))
    assert grades(found) == ["problem", "ok"]
    assert "relays for everybody" in found[0].found


async def test_a_relay_that_may_not_send_to_us(tmp_path: Path) -> None:
    with open_turn(SECRET, tmp_path, "denied-peer-ip=127.0.0.2\n") as running:
        found = await examine_turn(
            running.url("udp"),
            **{"media.announced_address": ("127.0.0.2",), "media.listen_ip": ("127.0.0.2",)},
        )
    assert grades(found) == ["ok", "problem"]
    assert "may not send to our address 127.0.0.2 (403" in found[1].found
    assert "allowed-peer-ip=127.0.0.2" in found[1].do


async def test_a_relay_through_which_nothing_comes(
    turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "PEER_DEADLINE", 0.4)
    settings = local_settings({"turn.server": turn.url("udp"), "turn.static_secret": SECRET})
    with silent(socket.SOCK_DGRAM) as port:
        async with examined(settings) as seen:
            found = await check_turn(attrs.evolve(seen, trials=[MediaTrial(port)]))
    assert worst_of(found[1:]).grade is Grade.WARNING
    assert "nothing comes back" in found[-1].found


@pytest.mark.parametrize(
    ("own", "announced", "grade"),
    [
        (True, "127.0.0.1", Grade.PROBLEM),
        # a NAT's address, with the relay behind the same NAT
        (False, "127.0.0.1", Grade.WARNING),
        # a relay elsewhere
        (False, "127.0.0.2", Grade.PROBLEM),
    ],
)
async def test_no_relay_there(own: bool, announced: str, grade: Grade) -> None:
    machine = real_machine(has_address=lambda address: own)
    url = f"turn:127.0.0.1:{free_ports()}?transport=tcp"
    (finding,) = await examine_turn(
        url, machine=machine, **{"media.announced_address": (announced,)}
    )
    assert finding.grade is grade
    assert ("no proof" in finding.why) is (grade is Grade.WARNING)
    assert "does not answer: Connection refused" in finding.found
    assert "systemctl status coturn" in finding.do


@in_haste
@pytest.mark.parametrize("kind", ["udp", "tcp"])
async def test_a_relay_that_says_nothing(kind: str) -> None:
    with silent(socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as port:
        (finding,) = await examine_turn(f"turn:127.0.0.1:{port}?transport={kind}")
    assert "does not answer: no answer" in finding.found


@in_haste
async def test_something_else_at_the_relays_port() -> None:
    async with answering(200) as port:
        (finding,) = await examine_turn(f"turn:127.0.0.1:{port}?transport=tcp")
    assert finding.grade is Grade.PROBLEM


@in_haste
async def test_a_relay_without_tls(turn: Turn) -> None:
    (finding,) = await examine_turn(f"turns:127.0.0.1:{turn.port}")
    assert finding.grade is Grade.PROBLEM
    # coturn is silent, or closes the connection
    assert f"openssl s_client -connect 127.0.0.1:{turn.port}" in finding.do


async def test_a_relay_whose_certificate_is_not_trusted(tmp_path: Path) -> None:
    cert, key = Identity.make("own", hosts=["localhost"]).write(tmp_path)
    settings = local_settings({"http.tls_cert": cert, "http.tls_key": key})
    async with examined(settings):  # its stand-in speaks TLS
        (finding,) = await examine_turn(f"turns:localhost:{settings.listener.port}")
    assert finding.grade is Grade.PROBLEM
    assert "TLS fails: self-signed certificate" in finding.found


async def test_a_relay_on_loopback_and_one_of_no_name(turn: Turn) -> None:
    settings = local_settings({"turn.server": turn.url("udp"), "turn.static_secret": SECRET})
    async with examined(settings) as seen:
        found = await check_turn(seen)
    assert (found[0].grade, "which is loopback" in found[0].found) == (Grade.PROBLEM, True)
    (finding,) = await examine_turn("turn:gone.test")
    assert "gone.test cannot be looked up" in finding.found


async def test_no_relay_is_noted() -> None:
    assert grades(await check_turn(inspect())) == ["note"]


# The webhook


@contextlib.asynccontextmanager
async def answering(
    head: int,
    post: int = 500,
    *,
    body: bytes = b"",
    seen: Callable[[bytes], object] = lambda head: None,
) -> AsyncIterator[int]:
    """A program that answers every request; ``seen`` gets what came."""

    async def handle(stream: trio.SocketStream) -> None:
        data = b""
        with contextlib.suppress(trio.BrokenResourceError):
            while more := bytes(await stream.receive_some(4096)):
                data += more
                # the probe's body is an object, and other requests have none
                if not data.endswith(b"}" if data.startswith(b"POST") else b"\r\n\r\n"):
                    continue
                seen(data)
                status = post if data.startswith(b"POST") else head
                size = f"Content-Length: {len(body)}\r\nLocation: /elsewhere\r\n"
                data = b""
                await stream.send_all(f"HTTP/1.1 {status} X\r\n{size}\r\n".encode() + body)

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def examine_webhook(url: str) -> Finding:
    (finding,) = await check_webhook(inspect({"webhook.url": url}, real_machine()))
    return finding


@pytest.mark.parametrize(
    ("head", "post", "grade", "found"),
    [
        (200, 0, "ok", "answers 200 to HEAD"),
        # as Kolab does
        (405, 200, "ok", "answers 200 to POST of an unknown event"),
        (405, 403, "problem", "answers 403 to POST of an unknown event: the token is refused"),
        (401, 0, "problem", "the token is refused"),
        (403, 0, "problem", "the token is refused"),
        (404, 404, "problem", "answers 404"),
        (502, 0, "problem", "answers 502"),
        (302, 0, "problem", "answers 302"),
        (418, 0, "ok", "answers 418"),
    ],
)
async def test_webhooks(head: int, post: int, grade: str, found: str) -> None:
    requests: list[bytes] = []
    async with answering(head, post, seen=requests.append) as port:
        finding = await examine_webhook(f"http://localhost:{port}/hook")
    assert finding.grade.value == grade
    assert found in finding.found
    assert all(f"x-auth-token: {TOKEN[::-1]}".encode() in r.lower() for r in requests)
    assert (b"doctor" in b"".join(requests)) is (post != 0)


async def test_secrets_in_a_url_are_not_shown() -> None:
    async with answering(403) as port:
        finding = await examine_webhook(f"http://me:hush@localhost:{port}/hook?token=hush")
    assert f"http://localhost:{port}/hook answers 403" in finding.found
    assert "hush" not in str(finding)


async def test_no_webhook_receiver() -> None:
    finding = await examine_webhook(f"http://127.0.0.1:{free_ports()}/")
    assert finding.grade is Grade.PROBLEM
    assert "does not answer" in finding.found
    finding = await examine_webhook("http://gone.test/")
    assert "gone.test cannot be looked up" in finding.found
    (finding,) = await check_webhook(inspect({"webhook.url": None}))
    assert finding.grade is Grade.WARNING


async def test_a_webhook_receiver_that_is_not_trusted(tmp_path: Path) -> None:
    cert, key = Identity.make("own", hosts=["localhost"]).write(tmp_path)
    settings = local_settings({"http.tls_cert": cert, "http.tls_key": key})
    async with examined(settings):  # its stand-in speaks TLS
        finding = await examine_webhook(f"https://localhost:{settings.listener.port}/")
    assert finding.grade is Grade.PROBLEM
    assert "is not trusted" in finding.found
