"""The front door on a real loopback socket: the clients that get a connection, and the limits that
keep them from holding it.
"""

import contextlib
import json
import os
import resource
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from support.doors import GET, KEY, POST, UPGRADE, Door, Reader, open_door, read_all, with_field

from meet_trio.edge.allowed_hosts import AllowedHosts
from meet_trio.edge.head import RequestHead, parse_head_untrusted
from meet_trio.edge.settings import FrontDoorSettings
from meet_trio.edge.stream import PeekedStream
from meet_trio.rates import Rate


async def gone(door: Door) -> None:
    with trio.fail_after(5):
        while door.door.connections:
            await trio.testing.wait_all_tasks_blocked(0.01)
    assert door.door.strangers.total == 0


async def test_http_goes_to_the_app() -> None:
    async with open_door() as door, await door.connect() as stream:
        # two pieces; the end of the head is split
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r")
        await trio.testing.wait_all_tasks_blocked(0.01)
        await stream.send_all(b"\n")
        answer = await read_all(stream)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"hello")


async def test_websocket_gets_its_head_and_what_follows() -> None:
    async with open_door() as door, await door.connect() as stream:
        await stream.send_all(UPGRADE + b"more")
        assert await read_all(stream) == b"bye"
        assert door.websockets == [b"more"]
        assert [head.target for head in door.heads] == ["/signaling/?EIO=4"]


# One connection, several requests


async def test_a_websocket_may_come_after_requests_on_the_same_connection() -> None:
    """A reverse proxy that keeps its connections sends it so."""
    async with open_door() as door, await door.connect() as stream:
        reader = Reader(stream)
        for _ in range(3):
            await stream.send_all(GET)
            assert await reader.response() == (200, b"hello")
        await stream.send_all(UPGRADE + b"more")
        assert await read_all(stream) == b"bye"
        assert door.websockets == [b"more"]
        assert [head.target for head in door.heads] == ["/signaling/?EIO=4"]


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with open_door() as door, await door.connect() as stream:
        reader = Reader(stream)
        await stream.send_all(GET + POST + b"12345" + GET)
        wanted = [(200, b"hello"), (200, b"5"), (200, b"hello")]
        assert [await reader.response() for _ in range(3)] == wanted
        await stream.send_all(UPGRADE)
        assert await reader.rest() == b"bye"


async def test_a_websocket_must_wait_for_the_answer_before_it() -> None:
    """No proxy sends one earlier; an earlier one is refused, and does not stay open."""
    async with open_door() as door, await door.connect() as stream:
        reader = Reader(stream)
        await stream.send_all(GET + UPGRADE.replace(b"\r\n\r\n", b"\r\n" + KEY))
        assert await reader.response() == (200, b"hello")
        assert (await reader.head()).startswith(b"HTTP/1.1 403")
        assert door.websockets == []
    await gone(door)


async def test_a_body_that_nobody_reads() -> None:
    """A body that has come already is dropped; the end of an unfinished body is not waited for."""
    async with open_door() as door, await door.connect() as stream:
        reader = Reader(stream)
        ignored = POST.replace(b"/count", b"/")
        await stream.send_all(ignored + b"12345")
        assert (await reader.response())[0] == 405
        await stream.send_all(ignored)
        assert (await reader.response())[0] == 405
        assert await reader.rest() == b""


async def test_a_client_that_is_still_sending_reads_the_answer() -> None:
    """The body is larger than the sockets' buffers, so that the answer comes while it is being
    sent.
    """
    size = 20_000_000
    early = POST.replace(b"/count", b"/").replace(b"Length: 5", b"Length: %d" % size)
    async with open_door() as door, await door.connect() as stream:
        reader = Reader(stream)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, early + b"x" * size)
            assert (await reader.response())[0] == 405
        # The whole body was taken in the end, and the connection still works.
        await stream.send_all(GET)
        assert await reader.response() == (200, b"hello")


async def test_chunked_body_and_100_continue() -> None:
    async with open_door() as door, await door.connect() as stream:
        reader = Reader(stream)
        await stream.send_all(
            b"POST /count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        assert (await reader.head()).startswith(b"HTTP/1.1 100 ")
        for piece in (b"3\r\nabc", b"\r\n2\r\nde\r\n0", b"\r\n\r\n"):
            await stream.send_all(piece)
            await trio.testing.wait_all_tasks_blocked(0.005)
        assert await reader.response() == (200, b"5")
        await stream.send_all(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.head()
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"content-length: 5" in head.lower()
        await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")  # this ends the connection
        assert (await reader.response())[0] == 200
        assert await reader.rest() == b""


# Only HTTP/1.1, read in one way

H2C = with_field(GET, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS_FRAME = bytes(3) + b"\x04" + bytes(5)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    names = ("-subj", "/CN=localhost", "-keyout", str(file), "-out", f"{file}.crt")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", *curve, *names], check=True, capture_output=True
    )
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


@contextlib.asynccontextmanager
async def open_streams(certificate: Path, *, tls: bool) -> AsyncIterator[trio.abc.Stream]:
    """A client's connection to a door that offers all protocols of TLS, or has no TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with open_door(tls=context if tls else None) as door, await door.connect() as stream:
        if tls:
            trust = ssl.create_default_context(cafile=f"{certificate}.crt")
            trust.check_hostname = False
            trust.set_alpn_protocols(["h2"])
            yield trio.SSLStream(stream, trust, https_compatible=True)
        else:
            yield stream


@pytest.mark.parametrize("tls", [False, True])
async def test_the_last_bytes_of_a_response_are_sent_before_the_application_hears_of_its_end(
    tls: bool, certificate: Path
) -> None:
    async with open_streams(certificate, tls=tls) as stream:
        reader = Reader(stream)
        for _ in range(20):
            await stream.send_all(GET.replace(b"GET /", b"GET /parts"))
            await reader.head()
            with trio.fail_after(10):
                while not reader.buffer.endswith(b"0\r\n\r\n"):
                    reader.buffer += await stream.receive_some()
            assert reader.buffer == b"5\r\nhello\r\n0\r\n\r\n"
            reader.buffer = b""


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("before", [b"", GET, GET + GET])
async def test_h2c_is_answered_as_if_it_had_not_been_asked_for(
    before: bytes, tls: bool, certificate: Path
) -> None:
    """It is the first request, a later one on a kept connection, and one of several
    sent at once.
    """
    async with open_streams(certificate, tls=tls) as stream:
        reader = Reader(stream)
        for request in (before + H2C, before, H2C):
            await stream.send_all(request)
            for _ in range(request.count(b"GET")):
                assert await reader.response() == (200, b"hello")
        await stream.send_all(GET)
        assert await reader.response() == (200, b"hello")


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("before", [b"", GET])
@pytest.mark.parametrize("at_once", [False, True])
async def test_the_preface_of_http2_is_refused(
    at_once: bool, before: bytes, tls: bool, certificate: Path
) -> None:
    async with open_streams(certificate, tls=tls) as stream:
        reader = Reader(stream)
        pieces = [before + PREFACE + SETTINGS_FRAME] if at_once else [before, PREFACE]
        for piece in pieces:
            await stream.send_all(piece)
            if GET in piece:
                assert await reader.response() == (200, b"hello")
        assert (await reader.head()).startswith(b"HTTP/1.1 505 ")
        assert json.loads(await reader.rest()) == {"error": "this is not HTTP/1.1"}


@pytest.mark.parametrize("upgrade", ["TLS/1.0", "h2", "websocket", "h2c, websocket"])
async def test_no_other_upgrade_is_done(upgrade: str) -> None:
    """Except websockets on signaling paths; on other paths a websocket is refused."""
    fields = f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\n{KEY.decode().rstrip()}"
    async with open_door() as door, await door.connect() as stream:
        await stream.send_all(with_field(GET, fields))
        head = await Reader(stream).head()
        assert head.startswith(b"HTTP/1.1 403 " if upgrade == "websocket" else b"HTTP/1.1 200 ")


CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("fields", "body", "status"),
    [
        # A proxy that goes by the length takes a second request to this server for the body.
        ("Content-Length: 100\r\nTransfer-Encoding: chunked", CHUNKED, 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3", CHUNKED, 400),
        ("Content-Length: 3\r\nContent-Length: 5", b"hello", 400),
        ("Content-Length: 5, 3", b"hello", 400),
        ("Content-Length: +5", b"hello", 400),
        ("Content-Length : 5", b"hello", 400),
        ("Transfer-Encoding : chunked", CHUNKED, 400),
        ("Transfer-Encoding: xchunked", CHUNKED, 501),
        ("Transfer-Encoding: chunked, identity", CHUNKED, 501),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", CHUNKED, 501),
        ("Transfer-Encoding:\x0bchunked", CHUNKED, 400),
        ("Transfer-Encoding: chunked", b"5\r\nhelloXX0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked", b"0x5\r\nhello\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked", b"5\nhello\r\n0\r\n\r\n", 400),
    ],
)
@pytest.mark.parametrize("before", [b"", GET])
async def test_a_body_that_may_end_in_two_places_ends_the_connection(
    before: bytes, fields: str, body: bytes, status: int
) -> None:
    """Bytes that a proxy may have taken for the body are not read as a request."""
    post = POST.replace(b"Content-Length: 5", fields.encode())
    async with open_door() as door, await door.connect() as stream:
        await stream.send_all(before + post + body + with_field(GET, "X-Proof: 1"))
        reader = Reader(stream)
        if before:
            assert await reader.response() == (200, b"hello")
        head = await reader.head()
        assert int(head.split()[1]) == status
        assert b"HTTP/1.1" not in await reader.rest()


@pytest.mark.parametrize(
    "fields",
    [
        "X-Any: a\r\n X-Forwarded-For: 192.0.2.66",  # a folded line: a part of X-Any
        "X-Any: a\nX-Forwarded-For: 192.0.2.66",
        "X-Any: a\rX-Forwarded-For: 192.0.2.66",
        "X-Forwarded-For : 192.0.2.66",
        "\xa0X-Forwarded-For: 192.0.2.66",
        "X-Forwarded-For\x1f: 192.0.2.66",
        "X-Any: \0\r\nX-Forwarded-For: 192.0.2.66",
    ],
)
async def test_a_websocket_whose_headers_can_be_read_in_two_ways_is_refused(fields: str) -> None:
    """A proxy that does not recognise the header passes it on."""
    shaky = UPGRADE.replace(b"Host", fields.encode("latin-1") + b"\r\nHost")
    async with open_door(FrontDoorSettings(trusted_proxies=("127.0.0.0/8",))) as door:
        async with await door.connect() as stream:
            await stream.send_all(shaky.replace(b"\r\n\r\n", b"\r\n" + KEY))
            assert (await Reader(stream).head()).split()[1] in (b"400", b"403")
        assert door.clients == []


async def test_absolute_form_of_a_target() -> None:
    async with open_door() as door, await door.connect() as stream:
        await stream.send_all(b"GET http://x/?a=b HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await Reader(stream).response() == (200, b"hello")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
        b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: a\r\n\r\n",
        b"POST /count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
async def test_malformed_requests_are_told_so(
    request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_door() as door, await door.connect() as stream:
        await stream.send_all(request_bytes)
        assert (await Reader(stream).head()).startswith(b"HTTP/1.1 400 ")
    assert caplog.records == []


async def test_an_application_that_fails_is_a_500_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_door() as door, await door.connect() as stream:
        await stream.send_all(GET.replace(b"/ ", b"/fail ", 1))
        assert (await Reader(stream).response())[0] == 500
        await stream.aclose()
        await gone(door)
    assert "the application's fault" in caplog.text


# Deadlines


async def test_head_too_long_is_told_so() -> None:
    async with open_door(FrontDoorSettings(max_head_bytes=1000)) as door:
        async with await door.connect() as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nX: " + b"a" * 2000)
            assert (await read_all(stream)).startswith(b"HTTP/1.1 431 ")
        async with await door.connect() as stream:
            await stream.send_all(GET)
            reader = Reader(stream)
            assert (await reader.response())[0] == 200
            await stream.send_all(b"GET / HTTP/1.1\r\nX: " + b"a" * 2000 + b"\r\n\r\n")
            assert (await reader.response())[0] == 431


async def test_who_speaks_tls_to_a_plain_port_is_told_at_once() -> None:
    """A browser with https: in place of http: would wait for ``head_timeout``, and so would the
    doctor, which takes any answer but TLS for "no TLS".
    """
    async with open_door(FrontDoorSettings(head_timeout=1000)) as door:
        async with await door.connect() as tcp:
            stream = trio.SSLStream(tcp, ssl.create_default_context(), server_hostname="localhost")
            with pytest.raises(trio.BrokenResourceError) as refused, trio.fail_after(10):
                await stream.do_handshake()
            assert isinstance(refused.value.__cause__, ssl.SSLError)
        async with await door.connect() as stream:
            await stream.send_all(b"\x16\x03\x01")
            assert (await read_all(stream)).startswith(b"HTTP/1.1 400 ")
        async with await door.connect() as stream:
            reader = Reader(stream)
            await stream.send_all(GET)
            assert (await reader.response())[0] == 200
            await stream.send_all(b"\x16\x03\x01")
            assert (await reader.response())[0] == 400


async def test_slow_head_is_cut_off() -> None:
    async with open_door(FrontDoorSettings(head_timeout=0.2)) as door:
        async with await door.connect() as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\n")
            assert await read_all(stream) == b""
        await gone(door)


async def test_slow_body_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    async with open_door(FrontDoorSettings(body_timeout=0.2)) as door:
        async with await door.connect() as stream:
            await stream.send_all(POST + b"12")
            reader = Reader(stream)
            status, body = await reader.response()
            assert (status, json.loads(body)) == (
                408,
                {"error": "the body took longer than 0.2 s (http.body_timeout)"},
            )
            assert await reader.rest() == b""
    assert caplog.records == []


async def test_later_heads_and_idleness_have_deadlines() -> None:
    settings = FrontDoorSettings(head_timeout=0.2, keep_alive_timeout=0.4)
    async with open_door(settings) as door:
        for then in (b"", b"GET / HT"):
            async with await door.connect() as stream:
                reader = Reader(stream)
                await stream.send_all(GET)
                assert (await reader.response())[0] == 200
                await stream.send_all(then)
                assert await reader.rest() == b""


async def test_slow_tls_handshake_is_cut_off() -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    async with open_door(FrontDoorSettings(head_timeout=0.2), tls=tls) as door:
        async with await door.connect() as stream:
            await stream.send_all(b"\x16\x03\x01\x02\x00")
            assert await read_all(stream) == b""
        await gone(door)


@pytest.mark.parametrize("deadline", [0.3, 60])
async def test_a_client_that_stops_reading_is_given_up(deadline: float) -> None:
    """The server gives up at the send's deadline, or at once when the door is closed."""
    async with open_door(FrontDoorSettings(send_timeout=deadline)) as door:
        async with await door.connect() as stream:
            await stream.send_all(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
            await stream.receive_some(1)
            with trio.fail_after(5):
                if deadline > 5:
                    await trio.testing.wait_all_tasks_blocked(0.1)
                    door.nursery.cancel_scope.cancel()
                    with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
                        while door.door.connections:
                            await trio.sleep(0.01)
                while door.door.connections:
                    await trio.sleep(0.01)


# The host that a request names


@pytest.mark.parametrize(
    ("host", "known", "remote"),
    [
        ("localhost", True, True),
        ("LocalHost.:12443", True, True),
        ("room.localhost:1", True, True),
        ("127.0.0.1:12443", True, True),
        ("127.9.9.9", True, True),
        ("[::1]:12443", True, True),
        ("[::1]", True, True),
        ("Meet.Example:8443", True, True),
        ("192.0.2.7:12443", False, True),
        ("[2001:db8::7]", False, True),
        ("evil.example", False, False),
        ("evil.example:12443", False, False),
        ("127.0.0.1.evil.example", False, False),
        ("evil-localhost", False, False),
        ("localhost, evil.example", False, False),
        ("meet.example.evil.example", False, False),
        ("[::1", True, True),
        ("", False, False),
    ],
)
async def test_other_hosts_are_told_that_they_are_not_here(
    host: str, known: bool, remote: bool
) -> None:
    for hosts, wanted in (
        (AllowedHosts(frozenset({"meet.example"})), known),
        (AllowedHosts(frozenset({"meet.example"}), remote=True), remote),
        (None, True),
    ):
        async with open_door(allowed_hosts=hosts) as door:
            for request in (GET, UPGRADE):
                async with await door.connect() as stream:
                    await stream.send_all(request.replace(b"Host: x", f"Host: {host}".encode()))
                    said = await stream.receive_some()
                    if wanted:
                        assert said == b"bye" if request == UPGRADE else b" 200 " in said
                    else:
                        assert b" 421 " in said
                        assert b'"error"' in said + await read_all(stream)
            # not a browser
            async with await door.connect() as stream:
                await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")
                assert (await Reader(stream).response())[0] == 200


# Limits for one address


@pytest.mark.parametrize("limit", ["max_strangers", "max_strangers_per_address", "max_connections"])
async def test_of_too_many_strangers_the_oldest_goes(limit: str) -> None:
    """A client with the right token is served, however many others say nothing."""
    async with open_door(FrontDoorSettings(**{limit: 3})) as door, contextlib.AsyncExitStack() as s:
        idle = [await s.enter_async_context(await door.connect()) for _ in range(3)]
        await idle[0].send_all(b"GET / HT")
        await settled(door, 3)
        for _ in range(5):
            async with await door.connect() as honest:
                await honest.send_all(with_field(GET, "X-Proof: 1\r\nConnection: close"))
                assert (await Reader(honest).response())[0] == 200
            with trio.fail_after(5):
                while door.door.connections > door.door.strangers.total:
                    await trio.testing.wait_all_tasks_blocked(0.01)
        assert await read_all(idle[0]) == b""
        for stream in idle[1:]:
            await stream.send_all(GET)
            assert (await Reader(stream).response())[0] == 200


async def test_who_has_said_something_whole_is_newer_than_who_has_not() -> None:
    async with open_door(FrontDoorSettings(max_connections=3)) as door:
        async with await door.connect() as said, await door.connect() as idle:
            await settled(door, 2)
            await said.send_all(GET)
            reader = Reader(said)
            assert (await reader.response())[0] == 200
            async with await door.connect() as third, await door.connect() as fourth:
                assert await read_all(idle) == b""
                for stream in (said, third, fourth):
                    await stream.send_all(GET)
                    assert (await Reader(stream).response())[0] == 200


async def settled(door: Door, strangers: int) -> None:
    with trio.fail_after(5):
        while door.door.strangers.total < strangers:
            await trio.testing.wait_all_tasks_blocked(0.01)
    await trio.testing.wait_all_tasks_blocked(0.01)


async def test_who_has_proven_something_is_not_displaced() -> None:
    async with open_door(FrontDoorSettings(max_connections=2)) as door:
        async with await door.connect() as known, await door.connect() as websocket:
            for stream in (known, websocket):
                await stream.send_all(with_field(GET, "X-Proof: 1"))
                assert (await Reader(stream).response())[0] == 200
            for _ in range(3):
                async with await door.connect() as third:
                    with contextlib.suppress(trio.BrokenResourceError):
                        assert await read_all(third) == b""
            for stream in (known, websocket):
                await stream.send_all(GET)
                assert (await Reader(stream).response())[0] == 200


async def test_strangers_of_one_address() -> None:
    async with open_door(FrontDoorSettings(max_strangers_per_address=2)) as door:
        async with await door.connect() as known, await door.connect() as first:
            # A client that has authenticated itself no longer counts as a stranger.
            await known.send_all(with_field(GET, "X-Proof: 1"))
            assert (await Reader(known).response())[0] == 200
            await first.send_all(b"G")
            async with await door.connect() as second:
                await settled(door, 2)
                async with await door.connect() as third:
                    assert await read_all(first) == b""
                    # In a crowd their connections are not kept.
                    for stream in (third, second):
                        await stream.send_all(GET)
                        reader = Reader(stream)
                        assert (await reader.response())[0] == 200
                        assert await reader.rest() == b""
            await known.send_all(GET)
            assert (await Reader(known).response())[0] == 200
        await gone(door)


async def test_without_descriptors_strangers_make_room(caplog: pytest.LogCaptureFixture) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with open_door() as door, contextlib.AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(await door.connect()) for _ in range(10)]
        await settled(door, 10)
        honest = trio.socket.socket()
        stack.callback(honest.close)
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
        await honest.connect(("127.0.0.1", door.port))
        stream = trio.SocketStream(honest)
        await stream.send_all(with_field(GET, "X-Proof: 1"))
        assert (await Reader(stream).response())[0] == 200
        assert await read_all(idle[0]) == b""
        assert door.door.strangers.total >= 5
    assert "ERROR" not in caplog.text


async def test_handshakes_of_tls_have_the_rate_of_the_address(certificate: Path) -> None:
    """A handshake also pays for the first request on its connection. It does not count if that
    request has valid credentials.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    trust = ssl.create_default_context(cafile=f"{certificate}.crt")
    trust.check_hostname = False
    settings = FrontDoorSettings(requests=Rate(per_second=0.01, burst=4))
    async with open_door(settings, tls=context) as door:

        async def ask(*requests: bytes) -> list[int]:
            async with await door.connect() as tcp:
                stream = trio.SSLStream(tcp, trust, https_compatible=True)
                reader, statuses = Reader(stream), []
                for request in requests:
                    await stream.send_all(request)
                    statuses.append((await reader.response())[0])
                return statuses

        for _ in range(6):
            assert await ask(with_field(GET, "X-Proof: 1")) == [200]
        assert await ask(GET) == [200]
        for _ in range(2):
            async with await door.connect():  # the client does not even start the handshake
                await settled(door, 1)
            await gone(door)
        assert await ask(GET, GET) == [200, 429]
        with pytest.raises(trio.BrokenResourceError):
            await ask(with_field(GET, "X-Proof: 1"))


# Turns


async def test_strangers_are_served_in_turns_and_the_known_between_them() -> None:
    """The number of strangers does not matter."""
    steps: list[str] = []

    def authenticates(head: RequestHead) -> bool:
        steps.append(head.headers.get("x-proof", "stranger"))
        return "x-proof" in head.headers

    async with open_door(authenticates=authenticates) as door, contextlib.AsyncExitStack() as stack:
        known = Reader(await stack.enter_async_context(await door.connect()))
        await known.stream.send_all(with_field(GET, "X-Proof: 1"))
        assert (await known.response())[0] == 200
        crowd = [await stack.enter_async_context(await door.connect()) for _ in range(200)]
        await settled(door, 200)
        steps.clear()
        for stream in crowd:
            stream.socket._sock.send(UPGRADE)  # type: ignore[attr-defined]  # in this very turn
        known.stream.socket._sock.send(with_field(GET, "X-Proof: 2"))  # type: ignore[attr-defined]
        assert (await known.response())[0] == 200
        assert len(door.websockets) < 40
        assert steps.index("2") < 80
        for stream in crowd:
            assert await read_all(stream) == b"bye"


async def test_a_refused_websocket_stays_a_stranger_until_its_end() -> None:
    async def refuse(stream: PeekedStream) -> None:
        assert await stream.receive_some() == b"40"
        await stream.send_all(b"no")

    async with open_door() as door:
        door.door.refusal = lambda head: refuse if "bad" in head.query else None
        async with await door.connect() as stream:
            await stream.send_all(UPGRADE.replace(b"EIO", b"bad&EIO"))
            await settled(door, 1)
            assert door.door.strangers.total == 1
            await stream.send_all(b"40")
            assert await read_all(stream) == b"no"
        assert door.websockets == []
        await gone(door)
        async with await door.connect() as stream:
            await stream.send_all(with_field(UPGRADE.replace(b"EIO", b"bad&EIO"), "X-Proof: 1"))
            assert await read_all(stream) == b"bye"


async def test_requests_of_one_address_have_a_rate() -> None:
    async with open_door(FrontDoorSettings(requests=Rate(per_second=0.5, burst=3))) as door:
        for _ in range(3):
            async with await door.connect() as stream:
                await stream.send_all(GET)
                assert (await Reader(stream).response())[0] == 200
        for request in (GET, UPGRADE, b"nonsense\r\n\r\n"):
            async with await door.connect() as stream:
                await stream.send_all(request)
                reader = Reader(stream)
                head = (await reader.head()).lower()
                assert head.startswith(b"http/1.1 429 ")
                assert 1 < int(head.partition(b"retry-after: ")[2].split(b"\r\n")[0]) <= 9
                assert "too many requests" in json.loads(await reader.rest())["error"]
        async with await door.connect() as stream:
            await stream.send_all(with_field(GET, "X-Proof: 1"))
            assert (await Reader(stream).response())[0] == 200
        assert door.websockets == []


async def test_behind_a_trusted_proxy_the_client_counts() -> None:
    settings = FrontDoorSettings(
        requests=Rate(per_second=0.01, burst=1), trusted_proxies=("127.0.0.0/8",)
    )
    async with open_door(settings) as door:
        async with await door.connect() as stream:
            reader = Reader(stream)
            for hops in ("192.0.2.1", "192.0.2.2"):
                await stream.send_all(with_field(GET, f"X-Forwarded-For: {hops}"))
                assert (await reader.response())[0] == 200
            await stream.send_all(with_field(GET, "X-Forwarded-For: 192.0.2.7, 192.0.2.1"))
            assert (await reader.response())[0] == 429
        async with await door.connect() as stream:
            await stream.send_all(with_field(UPGRADE, "X-Forwarded-For: 192.0.2.9"))
            assert await read_all(stream) == b"bye"
        assert door.clients == ["192.0.2.9"]


@pytest.mark.parametrize(
    ("head", "wanted"),
    [
        (UPGRADE, True),
        (UPGRADE.replace(b"Upgrade: websocket", b"UPGRADE:WebSocket"), True),
        (UPGRADE.replace(b"GET", b"POST"), False),
        (UPGRADE.replace(b"websocket", b"h2c"), False),
    ],
)
def test_websocket_requests_are_recognised(head: bytes, wanted: bool) -> None:
    parsed = parse_head_untrusted(head)
    assert parsed is not None
    assert (parsed.path, parsed.query) == ("/signaling/", "EIO=4")
    assert parsed.asks_for_websocket is wanted


@pytest.mark.parametrize("head", [b"\r\n\r\n", b"GET\r\n\r\n", b"\xff\x00 \r\n\r\n"])
def test_what_is_no_request(head: bytes) -> None:
    assert parse_head_untrusted(head) is None
