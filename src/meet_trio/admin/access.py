"""Who may use the admin page.

A request shows the token itself (``Authorization: Bearer``), or the cookie of a session. A session
begins with the token and ends with its time, a logout, or another token.

Guessing: wrong tokens are counted for each address. Above the rate no token of that address is
looked at, not even the right one. The front door's limits for strangers come before that.

Forged requests of other web pages: the cookie is ``SameSite=Strict``. A request that changes
something, or logs in, must come from this origin and have a header that no form can send. A request
with ``Authorization`` needs neither: only a program that knows the token can send it.
"""

import hmac
import logging
from collections.abc import Callable, Mapping

import attrs
import trio
from starlette.exceptions import HTTPException

from meet_trio.admin.sessions import AdminSession, AdminSessions
from meet_trio.admin.settings import AdminSettings
from meet_trio.edge.addresses import AddressRates, address_key
from meet_trio.edge.authenticator import shows_bearer
from meet_trio.edge.doorkeeper import retry_after
from meet_trio.edge.head import RequestHead
from meet_trio.errors import Forbidden

logger = logging.getLogger("meet_trio.admin")

COOKIE = "meet-trio-admin"
PROOF = "x-meet-trio-admin"
"""The header that a form cannot send, nor a page of another origin."""

_CHALLENGE = {"www-authenticate": "Bearer"}


@attrs.frozen
class Who:
    """Who asks. ``session`` None: a program that shows the token."""

    address: str
    session: AdminSession | None = None
    cookie: str = ""

    def __str__(self) -> str:
        return f"{self.address}, {self.session.name if self.session else 'by token'}"


@attrs.define(eq=False)
class Access:
    """``secure()``: whether browsers reach this server by HTTPS. ``revoked``: traces that run now
    have to end.
    """

    settings: AdminSettings = attrs.field(repr=False)
    secure: Callable[[], bool]
    sessions: AdminSessions = attrs.field(factory=AdminSessions)
    revoked: trio.Event = attrs.field(factory=trio.Event)
    _attempts: AddressRates = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._attempts = AddressRates(self.settings.attempts, self.settings.max_addresses)

    def replace(self, settings: AdminSettings) -> None:
        """Other settings. Another token ends all sessions, and all traces."""
        changed = settings.token != self.settings.token
        if changed:
            logger.info("admin: the token has changed; sessions that end: %d", len(self.sessions))
            self.sessions.clear()
        if changed or not settings.trace:
            self.revoked.set()
            self.revoked = trio.Event()
        self.settings = settings

    @property
    def enabled(self) -> bool:
        return self.settings.token is not None

    def authenticates(self, head: RequestHead) -> bool:
        """Whether the head of a request has valid credentials, for the front door's count."""
        if self._session(head.headers)[0] is not None:
            return True
        token = self.settings.token
        return token is not None and shows_bearer(head.headers.get("authorization"), token)

    def log_in(self, address: str, given: str) -> tuple[str, AdminSession]:
        """Begin a session; returns the value of its cookie. Raises HTTPException."""
        self._check_token(address, given)
        settings = self.settings
        cookie, session = self.sessions.open(
            address,
            now=trio.current_time(),
            lasts=settings.session_time,
            most=settings.max_sessions,
        )
        logger.info("admin: %s logged in, %s", address, session.name)
        return cookie, session

    def log_out(self, who: Who) -> None:
        self.sessions.close(who.cookie)
        logger.info("admin: %s logged out", who)

    def identify(self, address: str, headers: Mapping[str, str]) -> Who:
        """Who sends a request with these headers. Raises HTTPException 401 or 429."""
        if (authorization := headers.get("authorization")) is not None:
            scheme, _, given = authorization.partition(" ")
            self._check_token(address, given.strip() if scheme.lower() == "bearer" else "")
            return Who(address)
        session, cookie = self._session(headers)
        if session is None:
            raise HTTPException(401, "not logged in, or the session has ended", _CHALLENGE)
        return Who(address, session, cookie)

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Raises Forbidden for a request that another web page may have caused."""
        if "authorization" in headers:
            return
        if PROOF not in headers:
            raise Forbidden(f"the header {PROOF} is missing")
        schemes = ("https",) if self.secure() else ("http", "https")
        own = {f"{scheme}://{headers.get('host', '')}".lower() for scheme in schemes}
        if headers.get("origin", "").lower() not in own:
            raise Forbidden("Origin: it is not the page of this server")

    def cookie_header(self, value: str, path: str) -> str:
        """``Set-Cookie`` for a session; with an empty ``value`` it removes the cookie."""
        lasts = int(self.settings.session_time) if value else 0
        secure = "; Secure" if self.secure() else ""
        return f"{COOKIE}={value}; Path={path}; Max-Age={lasts}; HttpOnly; SameSite=Strict{secure}"

    def _session(self, headers: Mapping[str, str]) -> tuple[AdminSession | None, str]:
        value = _cookie_untrusted(headers.get("cookie", ""))
        if not value or not self.enabled:
            return None, ""
        return self.sessions.find(value, trio.current_time()), value

    def _check_token(self, address: str, given: str) -> None:
        token, key, now = self.settings.token, address_key(address), trio.current_time()
        if token is None:  # it has been taken away since the request began
            raise HTTPException(404)
        if (wait := self._attempts.wait(key, now)) > 0:
            raise HTTPException(
                429,
                "too many wrong tokens of your address (admin.attempts_per_second)",
                headers={"retry-after": retry_after(wait)},
            )
        if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode()):
            self._attempts.take(key, now)
            logger.warning("admin: a wrong token from %s", address)
            raise HTTPException(401, "the token is wrong", _CHALLENGE)


def _cookie_untrusted(header: str) -> str:
    """The value of the session's cookie (RFC 6265 §4.2.1), "" without one."""
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    return next((value for name, _, value in pairs if name == COOKIE), "")
