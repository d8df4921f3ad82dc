"""All settings of a server: one record with the settings record of each package.

Only the API's token has no default: ``Settings(api=HttpApiSettings(auth_token="…"))`` is complete.
``load`` fills in the defaults that depend on other settings.
"""

import attrs

from meet_trio.admin.settings import AdminSettings
from meet_trio.console.settings import ConsoleSettings
from meet_trio.edge.settings import (
    FrontDoorSettings,
    HttpApiSettings,
    ListenerSettings,
    SiteSettings,
    WebhookSettings,
)
from meet_trio.edge.socket_settings import SOCKET_DEFAULTS, SOCKET_SETTINGS
from meet_trio.engine import EngineSettings
from meet_trio.journal.settings import StateSettings
from meet_trio.live.settings import PeerSettings, RoomSettings
from meet_trio.logs.settings import LogSettings
from meet_trio.media.settings import (
    ENGINE_DEFAULTS,
    ENGINE_SETTINGS,
    MediaSettings,
    PlainSettings,
    TransportSettings,
    TurnSettings,
)
from meet_trio.operator.settings import (
    DrainSettings,
    HealthSettings,
    MetricsSettings,
    QualitySettings,
)
from meet_trio.redis_state.settings import RedisSettings
from meet_trio.room.limits import RoomLimits
from meet_trio.settings.about import about
from meet_trio.settings.kinds import SWITCH, seconds
from meet_trio.socketio import Settings as SocketSettings
from meet_trio.upgrade.settings import UpgradeSettings

DESCRIPTION = "meet_trio.description"
"""The key of a field's metadata, if another file describes the settings of its record. The value
maps field names to ``about``.
"""


@attrs.frozen(kw_only=True)
class ProcessSettings:
    """Settings that ``app`` itself uses."""

    shutdown_timeout: float = attrs.field(
        default=1.5,
        metadata=about(
            "process.shutdown_timeout",
            seconds(0.1, 60),
            "time for goodbyes after SIGTERM or SIGINT, then the process ends",
            operator=True,
        ),
    )

    supervised: bool = attrs.field(
        default=True,
        metadata=about(
            "process.supervised",
            SWITCH,
            "a small process starts the server, keeps its sockets, and starts it again if it "
            "crashes; without effect under a service manager (NOTIFY_SOCKET), which does that",
            flag="--supervised",
            operator=True,
        ),
    )
    watchdog: float = attrs.field(
        default=30.0,
        metadata=about(
            "process.watchdog",
            seconds(1, 3600),
            "the supervisor ends a server that says nothing for this long, and starts another",
        ),
    )

    @property
    def goodbye_timeout(self) -> float:
        """The part of ``shutdown_timeout`` for the goodbyes of peers. The rest is for webhooks,
        which are posted once the rooms have closed.
        """
        return self.shutdown_timeout * 2 / 3


@attrs.frozen(kw_only=True)
class Settings:
    """The settings record of each part of the server."""

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
    health: HealthSettings = attrs.field(default=HealthSettings())
    drain: DrainSettings = attrs.field(default=DrainSettings())
    metrics: MetricsSettings = attrs.field(default=MetricsSettings())
    logs: LogSettings = attrs.field(default=LogSettings())
    console: ConsoleSettings = attrs.field(default=ConsoleSettings())
    admin: AdminSettings = attrs.field(default=AdminSettings())
    quality: QualitySettings = attrs.field(default=QualitySettings())
    state: StateSettings = attrs.field(default=StateSettings())
    redis: RedisSettings = attrs.field(default=RedisSettings())
    process: ProcessSettings = attrs.field(default=ProcessSettings())
    upgrade: UpgradeSettings = attrs.field(default=UpgradeSettings())
