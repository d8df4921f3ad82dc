"""The tokens of the HTTP API. Two are valid while Kolab changes from one to the other.

The API and the front door share one ``ApiTokens``, so that both take a new token at the same time.
"""

import hmac

import attrs

from meet_trio.edge.settings import HttpApiSettings


@attrs.define(eq=False)
class ApiTokens:
    """The tokens of ``settings``, which may be replaced by others at any time."""

    settings: HttpApiSettings = attrs.field(repr=False)

    def accept(self, given: bytes) -> bool:
        """Whether ``given`` is a valid token. The time that this takes tells nothing about the
        tokens.
        """
        accepted = hmac.compare_digest(given, self.settings.auth_token.encode())
        if self.settings.old_auth_token is not None:
            accepted |= hmac.compare_digest(given, self.settings.old_auth_token.encode())
        return accepted
