"""Settings: sources and their order, defaults that depend on others, what is refused and how."""

import ast
import contextlib
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from meet_trio.config import Entry, Settings, build, entries, load, warnings_about
from meet_trio.config.document import markdown
from meet_trio.config.examples import env as env_example
from meet_trio.config.examples import toml as toml_example
from meet_trio.edge.settings import ListenerSettings
from meet_trio.edge.socket_settings import SOCKET_DEFAULTS, SOCKET_SETTINGS
from meet_trio.engine import EngineSettings
from meet_trio.errors import ConfigError
from meet_trio.media.settings import ENGINE_DEFAULTS, ENGINE_SETTINGS
from meet_trio.rates import Rate
from meet_trio.socketio import Settings as SocketSettings

ROOT = Path(__file__).parents[2]
TOKEN = {"AUTH_TOKEN": "sesame"}


def loaded(
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    file: Path | None = None,
) -> Settings:
    return load(
        flags or {}, TOKEN if environ is None else environ, file, primary_address=lambda: "10.1.2.3"
    )


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "meet.toml"


def test_later_sources_win(toml: Path) -> None:
    environ = {**TOKEN, "LISTENING_PORT": "1001", "PUBLIC_DOMAIN": "env.example"}
    assert loaded(environ).listener.port == 1001
    toml.write_text("[http]\nport = 1002\n")
    assert loaded(environ, {}, toml).listener.port == 1002
    settings = loaded(environ, {"http.port": "1003"}, toml)
    assert (settings.listener.port, settings.listener.public_domain) == (1003, "env.example")
    assert loaded({**environ, "MEET_TRIO_CONFIG": str(toml)}).listener.port == 1002


def test_variables_of_the_original(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.touch()
    key.touch()
    settings = loaded(
        {
            "AUTH_TOKEN": "sesame",
            "TURN_SERVER": "turn:turn.example:3478?transport=udp",
            "TURN_STATIC_SECRET": "north",
            "WEBHOOK_URL": "https://kolab.example/api/webhooks/meet",
            "WEBHOOK_TOKEN": "hook",
            "SSL_CERT": str(cert),
            "SSL_KEY": str(key),
            "FORCE_WSS": "1",
            "LISTENING_HOST": "192.0.2.1",
            "LISTENING_PORT": "443",
            "PUBLIC_DOMAIN": "meet.example:8443",
            "ROUTER_SCALE_SIZE": "20",
            "MEDIASOUP_NUM_WORKERS": "3",
            "WEBRTC_LISTEN_IP": "192.0.2.2",
            "WEBRTC_ANNOUNCED_ADDRESS": "media.example",
            "DEBUG": "kolabmeet-server*",
            # other variables of the original's compose file are ignored
            "NODE_ENV": "production",
        }
    )
    listener, media = settings.listener, settings.media
    assert settings.api.auth_token == "sesame"
    assert (listener.host, listener.port) == ("192.0.2.1", 443)
    assert (listener.tls_cert, listener.tls_key, listener.force_wss) == (cert, key, True)
    assert listener.token_base(443) == "wss://meet.example:8443"
    assert (settings.turn.server, settings.turn.static_secret) == (
        "turn:turn.example:3478?transport=udp",
        "north",
    )
    assert settings.webhook.url == "https://kolab.example/api/webhooks/meet"
    assert settings.webhook.token == "hook"
    assert (settings.rooms.spread_size, media.workers) == (20, 3)
    assert (settings.engine.listen_ips, media.announced_address) == (
        ("192.0.2.2",),
        ("media.example",),
    )
    assert settings.logs.debug == "kolabmeet-server*"
    assert not settings.site.demo
    assert not settings.site.serves_page


def test_what_was_fixed_in_the_original_is_the_default() -> None:
    settings = loaded()
    api, sockets, peers = settings.api, settings.sockets, settings.peers
    rooms, transports = settings.rooms, settings.transports
    assert (settings.listener.host, settings.listener.port) == ("0.0.0.0", 12443)
    assert (api.path_prefix, api.max_body_bytes) == ("/meetmedia", 5 * 1024 * 1024)
    assert (sockets.ping_interval, sockets.ping_timeout) == (25, 20)
    assert sockets.max_payload == 1_000_000
    assert (peers.request_timeout, peers.request_tries) == (20, 3)
    assert peers.reconnect_grace == 10
    assert (rooms.empty_timeout, rooms.spread_size) == (10, 16)
    assert (settings.engine.port, settings.plain.ports) == (44444, (40000, 49999))
    assert settings.engine.initial_outgoing_bitrate == 1_000_000
    assert transports.max_incoming_bitrate == 1_500_000
    assert settings.media.workers == len(os.sched_getaffinity(0))
    assert settings.turn.credential_lifetime == 24 * 3600
    assert settings.webhook.timeout == 5


def test_none_and_empty_mean_without() -> None:
    none = {"TURN_SERVER": "none", "SSL_CERT": "none", "SSL_KEY": "", "WEBHOOK_URL": "none"}
    settings = loaded({**TOKEN, **none, "TURN_STATIC_SECRET": "north", "LISTENING_PORT": " "})
    assert settings.turn.server is None
    assert settings.webhook.url is None
    assert settings.listener.tls_cert is None
    assert settings.listener.port == 12443
    assert settings.listener.token_base(12443) == "ws://127.0.0.1:12443"


def test_no_settings_at_all_is_a_demo_on_loopback() -> None:
    first, second = (
        loaded({"PATH": "/bin", "DEBUG": "*"}),
        loaded({}, {"process.log_level": "debug"}),
    )
    for settings in (first, second):
        assert settings.site.demo
        assert settings.site.serves_page
        assert (settings.listener.host, settings.listener.port) == ("127.0.0.1", 12443)
        # Firefox does not reach media on loopback.
        assert settings.engine.listen_ips == ("127.0.0.1", "10.1.2.3")
        assert settings.media.announced_address == settings.engine.listen_ips
        assert settings.turn.server is None
    assert len(first.api.auth_token) >= 32
    assert first.api.auth_token != second.api.auth_token


@pytest.mark.parametrize(
    "given", [{"LISTENING_PORT": "1"}, {"MEET_TRIO_DEMO_ENABLED": "off"}, {"SSL_CERT": "none"}]
)
def test_settings_without_a_token_are_refused(given: Mapping[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"AUTH_TOKEN.*--demo"):
        loaded(given)


def test_a_file_without_a_token_is_refused(toml: Path) -> None:
    toml.touch()
    with pytest.raises(ConfigError, match="AUTH_TOKEN"):
        loaded({}, {}, toml)


def test_demo_beyond_loopback_wants_to_be_told() -> None:
    flags = {"demo.enabled": True, "http.host": "192.0.2.1"}
    with pytest.raises(ConfigError, match=r"http.host: .*--demo-allow-remote"):
        loaded({}, flags)
    allowed = loaded({}, {**flags, "demo.allow_remote": True})
    assert allowed.listener.host == "192.0.2.1"
    for host in ("127.0.0.9", "::1", "[::1]", "localhost"):
        assert loaded({}, {"demo.enabled": True, "http.host": host}).site.demo


def test_demo_receives_media_where_it_is_told() -> None:
    for address in ("127.0.0.1", "192.0.2.1"):
        settings = loaded({}, {"demo.enabled": True, "media.listen_ip": address})
        assert settings.engine.listen_ips == settings.media.announced_address == (address,)


def test_media_on_loopback_alone_is_warned_about() -> None:
    def warned(environ: Mapping[str, str], address: str = "127.0.0.1") -> bool:
        settings = load({}, environ, primary_address=lambda: address)
        return any("loopback alone" in text for text in warnings_about(settings))

    assert warned({})
    assert load({}, {}, primary_address=lambda: "127.0.0.1").engine.listen_ips == ("127.0.0.1",)
    assert warned({"MEET_TRIO_DEMO_ENABLED": "on", "WEBRTC_LISTEN_IP": "127.0.0.1,::1"}, "10.1.2.3")
    assert warned(TOKEN)
    assert not warned({}, "10.1.2.3")
    assert not warned({}, "2001:db8::7")
    loopback = {**TOKEN, "WEBRTC_LISTEN_IP": "127.0.0.1"}
    assert not warned({**loopback, "WEBRTC_ANNOUNCED_ADDRESS": "192.0.2.1"})
    assert not warned({**loopback, "TURN_STATIC_SECRET": "north"})


def test_demo_keeps_a_token_that_is_given() -> None:
    assert loaded({}, {"demo.enabled": True, "http.auth_token": "mine"}).api.auth_token == "mine"


def test_media_address_is_this_machine_s_unless_said() -> None:
    def addresses(**given: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        settings = loaded({**TOKEN, **given})
        return settings.engine.listen_ips, settings.media.announced_address

    mine = ("10.1.2.3",)
    assert addresses() == (mine, mine)
    assert addresses(WEBRTC_LISTEN_IP="0.0.0.0") == (("0.0.0.0",), mine)
    assert addresses(WEBRTC_ANNOUNCED_ADDRESS="meet.example") == (mine, ("meet.example",))
    both = ("192.0.2.1", "2001:db8::1")
    assert addresses(WEBRTC_LISTEN_IP="192.0.2.1,[2001:db8::1]") == (both, both)
    assert addresses(WEBRTC_LISTEN_IP="0.0.0.0, ::") == (("0.0.0.0", "::"), mine)
    assert addresses(WEBRTC_ANNOUNCED_ADDRESS="meet.example, 192.0.2.1")[1] == (
        "meet.example",
        "192.0.2.1",
    )


@pytest.mark.parametrize("wrong", ["192.0.2.1,", "192.0.2", "one two", ","])
def test_a_wrong_address_among_several_is_named(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"WEBRTC_LISTEN_IP.*(an IP address|IPv4)"):
        loaded({**TOKEN, "WEBRTC_LISTEN_IP": wrong})


def test_turn_without_a_secret_is_refused_only_if_asked_for() -> None:
    assert loaded().turn.server is None
    with pytest.raises(ConfigError, match="TURN_STATIC_SECRET"):
        loaded({**TOKEN, "TURN_SERVER": "turn:turn.example"})
    assert (
        loaded({**TOKEN, "TURN_STATIC_SECRET": "north"}).turn.server
        == "turn:127.0.0.1:3478?transport=tcp"
    )


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"LISTENING_PORT": "abc"}, "LISTENING_PORT: 'abc': a whole number from 0 to 65535"),
        ({"LISTENING_PORT": "65536"}, "LISTENING_PORT: '65536'"),
        ({"LISTENING_PORT": "80.5"}, "LISTENING_PORT: '80.5'"),
        ({"LISTENING_PORT": "inf"}, "LISTENING_PORT: 'inf'"),
        ({"LISTENING_PORT": "1e999"}, "LISTENING_PORT: '1e999'"),
        ({"LISTENING_HOST": "http://here"}, "LISTENING_HOST: "),
        ({"LISTENING_HOST": "10.0.0.300"}, "LISTENING_HOST: "),
        ({"FORCE_WSS": "maybe"}, "FORCE_WSS: 'maybe': on or off"),
        ({"PUBLIC_DOMAIN": "https://meet.example"}, "PUBLIC_DOMAIN: "),
        ({"PUBLIC_DOMAIN": "meet.example:99999"}, "PUBLIC_DOMAIN: "),
        ({"PUBLIC_DOMAIN": "[::1"}, "PUBLIC_DOMAIN: "),
        ({"SSL_CERT": "/nonexistent/cert.pem"}, "SSL_CERT: .*there is no file"),
        ({"TURN_SERVER": "stun:turn.example"}, "TURN_SERVER: "),
        ({"WEBHOOK_URL": "kolab.example/hook"}, "WEBHOOK_URL: "),
        ({"WEBHOOK_URL": "http://[::1"}, "WEBHOOK_URL: "),
        ({"WEBRTC_LISTEN_IP": "eth0"}, "WEBRTC_LISTEN_IP: "),
        ({"MEDIASOUP_NUM_WORKERS": "0"}, "MEDIASOUP_NUM_WORKERS: "),
        ({"MEET_TRIO_MEDIA_PLAIN_PORTS": "5000-4000"}, "MEET_TRIO_MEDIA_PLAIN_PORTS: "),
        ({"MEET_TRIO_HTTP_CORS_ORIGINS": "kolab.example"}, "MEET_TRIO_HTTP_CORS_ORIGINS: "),
        ({"MEET_TRIO_HTTP_TRUSTED_PROXIES": "10.0.0.1/8"}, "MEET_TRIO_HTTP_TRUSTED_PROXIES: "),
        ({"MEET_TRIO_HTTP_TRUSTED_PROXIES": "proxy"}, "MEET_TRIO_HTTP_TRUSTED_PROXIES: "),
        ({"MEET_TRIO_HTTP_FORWARDED_HEADER": "x"}, "MEET_TRIO_HTTP_FORWARDED_HEADER: "),
        ({"MEET_TRIO_LIMITS_REQUESTS_PER_SECOND": "0"}, "MEET_TRIO_LIMITS_REQUESTS_PER_SECOND: "),
        ({"MEET_TRIO_HTTP_PATH_PREFIX": "/a?b"}, "MEET_TRIO_HTTP_PATH_PREFIX: "),
        (
            {"MEET_TRIO_SIGNALING_REQUEST_TRYS": "3"},
            "did you mean MEET_TRIO_SIGNALING_REQUEST_TRIES",
        ),
        ({"MEET_TRIO_CONFIG": "/nonexistent.toml"}, "/nonexistent.toml: No such file"),
    ],
)
def test_a_bad_variable_is_named(environ: Mapping[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        loaded({**TOKEN, **environ})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[http]\nprot = 1\n", r"\[http\] prot: unknown setting; did you mean port"),
        ("[htp]\nport = 1\n", r"\[htp\]: unknown table; did you mean http"),
        ("port = 1\n", "port: a setting stands in a table"),
        ("http = 1\n", "http: a setting stands in a table"),
        ("[http]\nport = true\n", r"\[http\] port: True: a whole number"),
        ("[http]\nport = [1]\n", r"\[http\] port: \[1\]: a whole number"),
        ("[http]\nhost = 1\n", r"\[http\] host: 1: an IP address or a host name"),
        ("[http]\ncors_origins = [1]\n", r"\[http\] cors_origins: "),
        ("[http]\nport = \n", "not TOML"),
        ("[http]\nport = 1\nport = 2\n", "not TOML"),
    ],
)
def test_a_bad_line_of_the_file_is_named(toml: Path, text: str, says: str) -> None:
    toml.write_text(text)
    with pytest.raises(ConfigError, match=rf"meet\.toml: .*{says}"):
        loaded(TOKEN, {}, toml)


def test_a_file_that_is_no_text_is_refused(toml: Path) -> None:
    toml.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not TOML"):
        loaded(TOKEN, {}, toml)


def test_a_secret_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as raised:
        loaded({"AUTH_TOKEN": "open sesame"})
    assert str(raised.value).startswith("AUTH_TOKEN: a token")
    assert "sesame" not in str(raised.value)
    assert "sesame" not in repr(loaded())


def test_names_that_a_cluster_sets_are_not_taken_for_settings() -> None:
    cluster = {"MEET_TRIO_SERVICE_HOST": "10.0.0.1", "MEET_TRIO_PORT_80_TCP": "tcp://…"}
    assert loaded({**TOKEN, **cluster}) == loaded()


def test_values_of_toml_keep_their_type(toml: Path) -> None:
    toml.write_text(
        '[http]\nforce_wss = true\npage = true\ncors_origins = ["https://a.example/", "*"]\n'
        'trusted_proxies = ["10.0.0.0/8", "::1"]\n'
        "[signaling]\nreconnect_grace = 2.5\nrequest_tries = 2\n"
        '[media]\nplain_ports = "5000-5100"\n'
    )
    settings = loaded(TOKEN, {}, toml)
    assert settings.listener.force_wss is True
    assert settings.site.serves_page is True
    assert settings.sockets.origins == frozenset({"https://a.example", "*"})
    assert settings.front_door.trusted_proxies == ("10.0.0.0/8", "::1/128")
    assert settings.peers.reconnect_grace == 2.5
    assert settings.peers.request_tries == 2
    assert settings.plain.ports == (5000, 5100)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("none", ()),
        ("10.0.0.0/8", ("10.0.0.0/8",)),
        ("10.1.2.3, 2001:db8::/32", ("10.1.2.3/32", "2001:db8::/32")),
        (",".join(f"10.0.0.{i}" for i in range(15)), tuple(f"10.0.0.{i}/32" for i in range(15))),
    ],
)
def test_networks_of_plain_rtp(text: str, value: tuple[str, ...]) -> None:
    given = {**TOKEN, "MEET_TRIO_MEDIA_PLAIN_ALLOWED": text}
    assert loaded(given).plain.allowed == value
    assert loaded().plain.allowed == ()


@pytest.mark.parametrize(("text", "value"), [("on", True), ("off", False)])
def test_plain_rtp_can_be_switched_off(text: str, value: bool) -> None:
    given = {**TOKEN, "MEET_TRIO_MEDIA_PLAIN_TRANSPORTS": text}
    assert loaded(given).plain.enabled is value
    assert loaded().plain.enabled is True


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("10.0.0.1/8", "has host bits set"),
        ("all", "'all' does not appear to be"),
        ("10.0.0.0/33", "does not appear to be"),
        (",".join(f"10.0.0.{i}" for i in range(16)), "at most 15 networks like"),
    ],
)
def test_what_is_no_network_of_plain_rtp(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"^MEET_TRIO_MEDIA_PLAIN_ALLOWED: .*{says}"):
        loaded({**TOKEN, "MEET_TRIO_MEDIA_PLAIN_ALLOWED": text})


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:7/"),
        ("::", "http://[::1]:7/"),
        ("::1", "http://[::1]:7/"),
        ("localhost", "http://localhost:7/"),
    ],
)
def test_page_url(host: str, url: str) -> None:
    assert ListenerSettings(host=host).page_url(7) == url


def test_plain_http_beyond_loopback_is_warned_about() -> None:
    assert any("TLS" in text for text in warnings_about(loaded()))
    for fine in ({"FORCE_WSS": "on"}, {"LISTENING_HOST": "127.0.0.1"}):
        assert not list(warnings_about(loaded({**TOKEN, **fine})))


def written(value: object) -> str:
    """As a variable or a flag has it."""
    return ",".join(value) if isinstance(value, tuple) else str(value)


def test_every_default_is_a_value_that_could_be_given() -> None:
    for entry in entries():
        default = entry.default
        if default not in (attrs.NOTHING, None, ()) and entry.key != "media.plain_ports":
            assert entry.about.kind(written(default)) == default, entry.key


def test_every_name_is_given_once() -> None:
    table = entries()
    for names in (
        [e.key for e in table],
        [e.about.env for e in table],
        [e.about.flag for e in table],
        [(e.record, e.field, e.number) for e in table],
    ):
        assert len(set(names)) == len(names)


def value_of(settings: Settings, entry: Entry) -> object:
    value = getattr(getattr(settings, entry.record), entry.field)
    return getattr(value, entry.number) if entry.number else value


def defaults_of_the_sources() -> Iterator[tuple[str, object]]:
    """Name and value of each default of a field or a parameter in the package."""
    for path in (ROOT / "src" / "meet_trio").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            given: list[tuple[str, ast.expr | None]] = []
            match node:
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(keywords=keywords)):
                    given = [(name, word.value) for word in keywords if word.arg == "default"]
                    given.append((name, node.value))
                case ast.AnnAssign(target=ast.Name(id=name), value=value):
                    given = [(name, value)]
                case ast.arguments():
                    names = [*node.posonlyargs, *node.args][::-1]
                    defaults = node.defaults[::-1]
                    given = [(a.arg, v) for a, v in zip(names, defaults, strict=False)]
                    given += [
                        (a.arg, v) for a, v in zip(node.kwonlyargs, node.kw_defaults, strict=True)
                    ]
            for name, value in given:
                with contextlib.suppress(NameError, AttributeError, TypeError):
                    yield name, eval(ast.unparse(value), {"Rate": Rate}) if value else None


def test_a_default_stands_once() -> None:
    """No other record and no parameter repeats it under the same name."""
    fields = {
        (part.name, field.name): field.default
        for part in attrs.fields(Settings)
        for field in attrs.fields(part.type)
        if type(field.default) in (int, float, str, tuple, Rate) and field.default
    }
    stand = list(defaults_of_the_sources())
    for (record, name), default in fields.items():
        # two records may each have a setting of the same name and default
        wanted = sum((other, value) == (name, default) for (_, other), value in fields.items())
        assert stand.count((name, default)) == wanted, f"{record}.{name}"


def differing(one: object, other: object) -> set[str]:
    fields, others = attrs.asdict(one), attrs.asdict(other)  # type: ignore[arg-type]
    return {name for name, value in fields.items() if others[name] != value}


def test_a_default_of_a_library_is_changed_for_a_reason() -> None:
    """The reason stands beside the changed default."""
    assert differing(SOCKET_DEFAULTS, SocketSettings()) == {
        "connect_timeout",
        "max_stranger_payload",
        "stranger_read_burst",
        "stranger_read_rate",
    }
    assert differing(ENGINE_DEFAULTS, EngineSettings()) == {"port"}


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.key)
def test_each_setting_is_one_value(entry: Entry) -> None:
    """Set to something else, it changes where it is heeded, and no other setting follows."""
    changed = build({"http.auth_token": "sesame", entry.key: object()})
    for other in entries():
        known = "sesame" if other.key == "http.auth_token" else other.default
        assert (value_of(changed, other) == known) is (other.key != entry.key), other.key


def test_a_setting_that_is_not_there_cannot_be_built() -> None:
    with pytest.raises(KeyError, match=r"http\.prot"):
        build({"http.auth_token": "x", "http.prot": 1})


def test_libraries_are_described_field_by_field() -> None:
    """Of a library's settings some are of no use to an operator. A new one has to be put here, or
    described.
    """
    idle = {
        SocketSettings: {
            "close_timeout",
            "max_attachments",
            "max_namespaces",
            "max_payload_packets",
            "message_cost",
            "upgrade_timeout",
        },
        EngineSettings: {
            "dtls_per_second",
            "free_bind",
            "history",
            "history_packets",
            "keyframe_interval",
            "layer_silence",
            "nack_delay",
            "nack_interval",
            "nack_tries",
            "relay_packets",
        },
    }
    for record, described in (
        (SocketSettings, SOCKET_SETTINGS),
        (EngineSettings, ENGINE_SETTINGS),
    ):
        fields = set(attrs.fields_dict(record))  # type: ignore[arg-type]
        assert set(described) == fields - idle[record]
        assert idle[record] < fields


def test_every_setting_is_heeded() -> None:
    """Somebody reads the field from a record of settings, beside ``config``, which reads none."""
    sources = [
        path.read_text()
        for path in (ROOT / "src" / "meet_trio").rglob("*.p*")
        if path.parent.name != "config" and path.suffix in (".py", ".pyx", ".pxi")
    ]
    text = "\n".join(sources)
    idle = {
        entry.key
        for entry in entries()
        if not re.search(rf"(settings|limits|self|s|{entry.record})\.{entry.field}\b", text)
    }
    assert idle == set()


def test_the_page_of_settings_is_current() -> None:
    made = "make it anew with: python -m meet_trio.config.document > docs/settings.md"
    assert (ROOT / "docs" / "settings.md").read_text() == markdown(), made


@pytest.fixture
def uncommented() -> Callable[[str], list[str]]:
    """The lines of an example file, in which all settings are set, and the files exist."""

    def read(name: str) -> list[str]:
        text = (ROOT / "conf" / name).read_text()
        for path in ("/etc/ssl/private/meet.key", "/etc/ssl/certs/meet.pem"):
            assert path in text
            text = text.replace(path, str(ROOT / "LICENSE"))
        text = text.replace("/var/log/meet-trio/", f"{ROOT}/build/")
        return re.sub(r"^#(?=\w+ ?=)", "", text, flags=re.MULTILINE).splitlines()

    return read


def test_the_example_files_are_current() -> None:
    for name, text in (("meet-trio.toml", toml_example()), ("meet-trio.env", env_example())):
        kind = name.rpartition(".")[2]
        made = f"make it anew with: python -m meet_trio.config.examples {kind} > conf/{name}"
        assert (ROOT / "conf" / name).read_text() == text, made


def test_the_example_of_a_file_can_be_used(
    toml: Path, uncommented: Callable[[str], list[str]]
) -> None:
    toml.write_text((ROOT / "conf" / "meet-trio.toml").read_text())
    assert load({}, TOKEN, toml).api.auth_token
    toml.write_text("\n".join(uncommented("meet-trio.toml")))
    assert load({}, {}, toml).listener.public_domain == "meet.example.org:12443"
    with toml.open("rb") as file:
        document = tomllib.load(file)
    assert {f"{table}.{name}" for table, names in document.items() for name in names} == {
        entry.key for entry in entries() if entry.about.operator
    }


def test_the_example_of_an_environment_can_be_used(
    uncommented: Callable[[str], list[str]],
) -> None:
    environ = dict(
        line.split("=", 1) for line in uncommented("meet-trio.env") if line[:1] not in "#"
    )
    assert loaded(environ).listener.public_domain == "meet.example.org:12443"
    assert set(environ) == {entry.about.env for entry in entries() if entry.about.operator}


@pytest.mark.parametrize(
    ("listen", "read"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_metrics_on_loopback_need_no_token(listen: str, read: tuple[str, int]) -> None:
    assert loaded(TOKEN | {"MEET_TRIO_METRICS_LISTEN": listen}).metrics.listen == read


def test_metrics_beyond_loopback_need_a_token() -> None:
    environ = TOKEN | {"MEET_TRIO_METRICS_LISTEN": "0.0.0.0:9464"}
    with pytest.raises(ConfigError, match=r"metrics\.listen: .* set metrics\.token"):
        loaded(environ)
    settings = loaded(environ | {"MEET_TRIO_METRICS_TOKEN": "t0ken"})
    assert settings.metrics.served
    assert "t0ken" not in repr(settings)
    assert not loaded().metrics.served


@pytest.mark.parametrize(
    "listen", ["9464", ":9464", "a:b", "h:70000", "::1:9464", "u@h:1", "h:1/x"]
)
def test_where_metrics_cannot_be(listen: str) -> None:
    with pytest.raises(ConfigError, match="MEET_TRIO_METRICS_LISTEN"):
        loaded(TOKEN | {"MEET_TRIO_METRICS_LISTEN": listen})
