"""The forwarder: a C thread that owns its sockets and all packets that pass through them.

``Engine`` takes commands and gives events; ``c/core/commands.h`` describes the commands. ``Core``
is the same state machine without thread, sockets and clock, for tests.
"""

from meet_trio.engine._engine import Core, Engine
from meet_trio.engine.records import (
    AudioLevel,
    ConsumerScore,
    ConsumerSpec,
    ConsumerStarted,
    Distribution,
    DtlsDatagram,
    EncodingSpec,
    EngineEvent,
    EngineFailed,
    EngineSettings,
    IceConnected,
    IceMoved,
    IceSilent,
    LayerChanged,
    PacketsTraced,
    PlainConnected,
    ProducerScore,
    ProducerSpec,
    Stats,
    StatsReady,
    StreamStarted,
    Summary,
    TracedPacket,
)

__all__ = [
    "AudioLevel",
    "ConsumerScore",
    "ConsumerSpec",
    "ConsumerStarted",
    "Core",
    "Distribution",
    "DtlsDatagram",
    "EncodingSpec",
    "Engine",
    "EngineEvent",
    "EngineFailed",
    "EngineSettings",
    "IceConnected",
    "IceMoved",
    "IceSilent",
    "LayerChanged",
    "PacketsTraced",
    "PlainConnected",
    "ProducerScore",
    "ProducerSpec",
    "Stats",
    "StatsReady",
    "StreamStarted",
    "Summary",
    "TracedPacket",
]
