"""The tokens of the HTTP API. Two are valid while Kolab changes from one to the other.

The API and the front door share one ``ApiTokens``, so that both take a new token at the same time.
"""

import hmac
from collections.abc import Mapping
from typing import ClassVar, Self

import attrs

from meet_trio.edge.settings import HttpApiSettings
from meet_trio.ortc.fields import Fields, Json
from meet_trio.records import Key, Record, RecordStore, key_text


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


@attrs.frozen
class ApiTokenRecord(Record):
    """The token of the API that a server has drawn, because nobody has set one."""

    KIND: ClassVar[str] = "api_token"
    VERSION: ClassVar[int] = 1

    token: str = attrs.field(repr=False)

    @property
    def key(self) -> Key:
        return (self.KIND,)

    def fields(self) -> Mapping[str, Json]:
        return {"token": self.token}

    @classmethod
    def read(cls, fields: Fields, version: int) -> Self:
        token = fields.name("token", 256)
        if len(token) < 16:  # so a damaged one opens nothing
            fields.fail("token", "expected 16 characters or more")
        return cls(token)


def keep_drawn_token(
    settings: HttpApiSettings, before: ApiTokenRecord | None, store: RecordStore | None
) -> HttpApiSettings:
    """The settings with the token of the process ``before``, if both have drawn theirs: what that
    one has printed stays valid. The token is put into ``store``.
    """
    if not settings.token_drawn:
        return settings
    record = before or ApiTokenRecord(settings.auth_token)
    if store is not None:
        store.put(key_text(record.key), record.to_json())
    return attrs.evolve(settings, auth_token=record.token)
