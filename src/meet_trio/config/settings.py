"""All settings of a server: the records of every package that has some, side by side.

The API's token is the only one without a default: ``Settings(api=HttpApiSettings(auth_token="…"))``
is complete. Some defaults depend on other settings; ``load`` fills those in.
"""

import attrs

from meet_trio.edge.settings import (
    FrontDoorSettings,
    HttpApiSettings,
    ListenerSettings,
    SiteSettings,
    WebhookSettings,
)
from meet_trio.edge.socket_settings import SOCKET_DEFAULTS, SOCKET_SETTINGS
from meet_trio.engine import EngineSettings
from meet_trio.live.settings import PeerSettings, RoomSettings
from meet_trio.logs import LogSettings
from meet_trio.media.settings import (
    ENGINE_DEFAULTS,
    ENGINE_SETTINGS,
    MediaSettings,
    PlainSettings,
    TransportSettings,
    TurnSettings,
)
from meet_trio.room.limits import RoomLimits
from meet_trio.settings.about import about
from meet_trio.settings.kinds import seconds
from meet_trio.socketio import Settings as SocketSettings

DESCRIPTION = "meet_trio.description"
"""Metadata of a record that is described from the outside: from field name to ``about``."""


@attrs.frozen(kw_only=True)
class ProcessSettings:
    """Settings that ``app`` itself heeds."""

    shutdown_timeout: float = attrs.field(
        default=1.5,
        metadata=about(
            "process.shutdown_timeout",
            seconds(0.1, 60),
            "time for goodbyes after SIGTERM or SIGINT, then the process ends",
            operator=True,
        ),
    )

    @property
    def goodbye_timeout(self) -> float:
        """Seconds of it for the goodbyes of peers. The rest is for webhooks, which are posted when
        rooms have closed.
        """
        return self.shutdown_timeout * 2 / 3


@attrs.frozen(kw_only=True)
class Settings:
    """The records that ``app`` hands down."""

    listener: ListenerSettings = attrs.field(default=ListenerSettings())
    api: HttpApiSettings
    site: SiteSettings = attrs.field(default=SiteSettings())
    front_door: FrontDoorSettings = attrs.field(default=FrontDoorSettings())
    rooms: RoomSettings = attrs.field(default=RoomSettings())
    limits: RoomLimits = attrs.field(default=RoomLimits())
    peers: PeerSettings = attrs.field(default=PeerSettings())
    sockets: SocketSettings = attrs.field(
        default=SOCKET_DEFAULTS, metadata={DESCRIPTION: SOCKET_SETTINGS}
    )
    engine: EngineSettings = attrs.field(
        default=ENGINE_DEFAULTS, metadata={DESCRIPTION: ENGINE_SETTINGS}
    )
    media: MediaSettings = attrs.field(default=MediaSettings())
    plain: PlainSettings = attrs.field(default=PlainSettings())
    transports: TransportSettings = attrs.field(default=TransportSettings())
    turn: TurnSettings = attrs.field(default=TurnSettings())
    webhook: WebhookSettings = attrs.field(default=WebhookSettings())
    logs: LogSettings = attrs.field(default=LogSettings())
    process: ProcessSettings = attrs.field(default=ProcessSettings())
