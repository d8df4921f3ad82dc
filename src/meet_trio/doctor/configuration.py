"""Checks of the settings themselves: their sources, mistyped variables, secrets."""

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence

from meet_trio.config import CONFIG_VARIABLE, Entry, entries, warnings_about
from meet_trio.doctor.findings import Finding, note, ok, problem, warning
from meet_trio.doctor.inspection import Inspection, ServerState

SHORTEST_SECRET = 16  # characters
_LEAST_VARIETY = 6  # different characters
_ALIKE = 0.85  # of difflib: AUTH_TOKN and AUTH_TOKEN are, AUTH_TOKEN and AUTH_USER are not
_SHORTEST_NAME = 6  # characters; DEBUG is alike too many names

# The defaults of Kolab (src/config/meet.php), and the texts of conf/.
KNOWN_SECRETS = {
    "MY_SECRET": "it is Kolab's default",
    "0123456789abcdef0123456789abcdef": "it stands in the example of a file",
    "fedcba9876543210fedcba9876543210": "it stands in the example of a file",
    "a long random text": "it stands in the example of a file",
}
_NEW_SECRET = "openssl rand -hex 32"


async def check_settings(seen: Inspection) -> Sequence[Finding]:
    """The sources, and ``config.warnings_about``."""
    found = [
        warning(text, "the server starts with it, but it is probably not meant", _EXPLAIN)
        for text in warnings_about(seen.settings)
    ]
    return [ok(f"settings can be read: {_sources(seen)}"), *found]


_EXPLAIN = "meet-trio serve --help shows each setting"


def _sources(seen: Inspection) -> str:
    names = {entry.about.env for entry in entries()}
    variables = sum(1 for name in names if seen.machine.environ.get(name, "").strip())
    parts = [f"{variables} variables"] if variables else []
    if seen.config_path is not None:
        parts.append(str(seen.config_path))
    if seen.settings.site.demo:
        parts.append("demo mode")
    return ", ".join(parts) or "flags and defaults"


async def check_variables(seen: Inspection) -> Sequence[Finding]:
    """Variables whose names look like mistyped ones. Those with our prefix end the reading of the
    settings, so they never come here.
    """
    known = [entry.about.env for entry in entries()] + [CONFIG_VARIABLE]
    found = [
        warning(
            f"the variable {name} is no setting; {close} is",
            "a mistyped variable has no effect, and the setting keeps its default",
            f"rename it to {close}, or unset {name}",
        )
        for name, close in _mistyped(seen.machine.environ, known)
    ]
    return found or [ok("no variable has the name of a mistyped setting")]


def _mistyped(environ: Mapping[str, str], known: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in sorted(environ):
        if name in known or len(name) < _SHORTEST_NAME or not name.isupper():
            continue
        if close := difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE):
            yield name, close[0]


async def check_files(seen: Inspection) -> Sequence[Finding]:
    """Files with secrets that others may read."""
    listener = seen.settings.listener
    files = {"the private key": listener.tls_key or listener.tls_cert}
    if seen.config_path is not None and _has_secret(seen):
        files["the file of settings"] = seen.config_path
    found = []
    for name, path in files.items():
        mode = None if path is None else seen.machine.mode(str(path))
        if mode is not None and mode & 0o004:
            found.append(
                warning(
                    f"{name} {path} can be read by every user (mode {mode:04o})",
                    "whoever reads it can open rooms, use the relay, or act as this server",
                    f"chmod o-rwx {path}",
                )
            )
    return found or [ok("no file with a secret can be read by every user")]


def _has_secret(seen: Inspection) -> bool:
    text = seen.machine.read(str(seen.config_path)) or ""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    keys = {
        f"{table}.{name}"
        for table, values in document.items()
        if isinstance(values, dict)
        for name in values
    }
    return any(_is_secret(entry) and entry.key in keys for entry in entries())


def _is_secret(entry: Entry) -> bool:
    return entry.key.endswith(("token", "secret"))


async def check_secrets(seen: Inspection) -> Sequence[Finding]:
    """Tokens and secrets that can be guessed. Their values are not shown."""
    settings = seen.settings
    secrets = {
        "http.auth_token (AUTH_TOKEN)": settings.api.auth_token,
        "webhook.token (WEBHOOK_TOKEN)": settings.webhook.token,
        "turn.static_secret (TURN_STATIC_SECRET)": settings.turn.static_secret,
    }
    found = []
    for name, value in secrets.items():
        if value is not None and (reason := _weakness(value)):
            found.append(
                problem(
                    f"{name} can be guessed: {reason}",
                    "with it anybody opens rooms, sends false events, or uses the relay",
                    f"{_NEW_SECRET} makes a new one; Kolab or coturn needs the same",
                )
            )
    if settings.webhook.token == settings.api.auth_token:
        found.append(
            note(
                "AUTH_TOKEN and WEBHOOK_TOKEN are the same",
                "whoever sees the one may use the other",
                _NEW_SECRET,
            )
        )
    if settings.webhook.url is not None and settings.webhook.token is None:
        found.append(
            problem(
                "WEBHOOK_URL is set, WEBHOOK_TOKEN is not",
                "Kolab refuses events without its token (403): rooms stay open there",
                "set WEBHOOK_TOKEN to Kolab's MEET_WEBHOOK_TOKEN",
            )
        )
    found += _server_token(seen)
    return found or [ok("tokens and secrets are long, and no known examples")]


def _weakness(value: str) -> str:
    if value in KNOWN_SECRETS:
        return KNOWN_SECRETS[value]
    if len(value) < SHORTEST_SECRET:
        return f"it has {len(value)} characters, fewer than {SHORTEST_SECRET}"
    if len(set(value)) < _LEAST_VARIETY:
        return f"it has {len(set(value))} different characters only"
    return ""


def _server_token(seen: Inspection) -> list[Finding]:
    if seen.server is not ServerState.OTHER_TOKEN:
        return []
    why = "what the doctor says here is about other settings than those of the running server"
    if seen.settings.site.demo:
        return [note("a server runs in demo mode, with a random token of its own", why)]
    return [
        problem(
            "the running server refuses this AUTH_TOKEN",
            why,
            "give the doctor the server's own settings: the same --config and environment",
        )
    ]
