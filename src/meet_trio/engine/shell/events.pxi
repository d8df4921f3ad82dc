# Events: those of c/core.h as the records of records.py.


cdef object _record(const mt_event *e):
    cdef bytes data
    kind = e.type
    if kind == MT_EVENT_STATS:
        return records.StatsReady(e.id, _figures(<const mt_stats *>e.data))
    data = (<const char *>e.data)[: e.len] if e.len else b""
    if kind == MT_EVENT_ICE_CONNECTED:
        return records.IceConnected(e.id, _ip(&e.path), e.path.port)
    if kind == MT_EVENT_ICE_MOVED:
        return records.IceMoved(e.id, _ip(&e.path), e.path.port)
    if kind == MT_EVENT_ICE_SILENT:
        return records.IceSilent(e.id)
    if kind == MT_EVENT_PLAIN_CONNECTED:
        return records.PlainConnected(e.id, _ip(&e.path), e.path.port)
    if kind == MT_EVENT_DTLS:
        return records.DtlsDatagram(e.id, data)
    if kind == MT_EVENT_STREAM_STARTED:
        return records.StreamStarted(e.id, e.index, e.number)
    if kind == MT_EVENT_LAYER_CHANGED:
        return records.LayerChanged(e.id, None if e.value < 0 else e.value)
    if kind == MT_EVENT_AUDIO_LEVEL:
        return records.AudioLevel(e.id, e.value)
    if kind == MT_EVENT_PRODUCER_SCORE:
        return records.ProducerScore(e.id, tuple(e.scores[i] for i in range(e.index)))
    if kind == MT_EVENT_CONSUMER_SCORE:
        return records.ConsumerScore(e.id, e.value)
    if kind == MT_EVENT_FAILED:
        return records.EngineFailed(data.decode())
    raise ValueError(f"{kind} is no event's number")
