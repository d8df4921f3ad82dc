"""The forwarder: a C thread that owns a UDP port and everything that flows through it.

``Engine`` takes commands and gives events; see ``c/core.h`` for what happens in between. ``Core``
is the same machine without thread, socket and clock, for tests.
"""

from meet_trio.engine._engine import Core, Engine
from meet_trio.engine.records import (
    AudioLevel,
    ConsumerScore,
    ConsumerSpec,
    DtlsDatagram,
    EncodingSpec,
    EngineFailed,
    EngineSettings,
    Event,
    IceConnected,
    IceMoved,
    IceSilent,
    LayerChanged,
    PlainConnected,
    ProducerScore,
    ProducerSpec,
    StatsReady,
    StreamStarted,
)

__all__ = [
    "AudioLevel",
    "ConsumerScore",
    "ConsumerSpec",
    "Core",
    "DtlsDatagram",
    "EncodingSpec",
    "Engine",
    "EngineFailed",
    "EngineSettings",
    "Event",
    "IceConnected",
    "IceMoved",
    "IceSilent",
    "LayerChanged",
    "PlainConnected",
    "ProducerScore",
    "ProducerSpec",
    "StatsReady",
    "StreamStarted",
]
