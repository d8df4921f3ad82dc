# Events: each type of c/state/sink.h becomes one record of records.py. A type without a record does
# not compile (-Wswitch-enum, see meson.build). With a record without a type the import fails.


cdef object _layers(const mt_event *e):
    if e.value < 0:
        return records.LayerChanged(e.id, None, None)
    return records.LayerChanged(e.id, e.value, e.index)


cdef object _record(const mt_event *e):
    kind = e.type
    if kind == MT_EVENT_ICE_CONNECTED:
        return records.IceConnected(e.id, _ip(&e.path), e.path.port)
    elif kind == MT_EVENT_ICE_MOVED:
        return records.IceMoved(e.id, _ip(&e.path), e.path.port)
    elif kind == MT_EVENT_ICE_SILENT:
        return records.IceSilent(e.id)
    elif kind == MT_EVENT_PLAIN_CONNECTED:
        return records.PlainConnected(e.id, _ip(&e.path), e.path.port)
    elif kind == MT_EVENT_DTLS:
        return records.DtlsDatagram(e.id, (<const char *>e.data)[: e.len])
    elif kind == MT_EVENT_STREAM_STARTED:
        return records.StreamStarted(e.id, e.index, e.number)
    elif kind == MT_EVENT_LAYER_CHANGED:
        return _layers(e)
    elif kind == MT_EVENT_AUDIO_LEVEL:
        return records.AudioLevel(e.id, e.value)
    elif kind == MT_EVENT_PRODUCER_SCORE:
        return records.ProducerScore(e.id, tuple([e.scores[i] for i in range(e.index)]))
    elif kind == MT_EVENT_CONSUMER_SCORE:
        return records.ConsumerScore(e.id, e.value)
    elif kind == MT_EVENT_TRACED:
        return records.PacketsTraced(e.id, e.number, (<const char *>e.data)[: e.len])
    elif kind == MT_EVENT_STATS:
        return records.StatsReady(e.id, _figures(<const mt_stats *>e.data))
    elif kind == MT_EVENT_FAILED:
        return records.EngineFailed((<const char *>e.data)[: e.len].decode())
    raise ValueError(f"{<int>kind} is no event's number")


# Makes one event of each type. The types are numbered from 1, without gaps.
cdef int _check_records() except -1:
    cdef mt_event e
    cdef mt_stats nothing
    memset(&e, 0, sizeof(e))
    memset(&nothing, 0, sizeof(nothing))
    e.data = &nothing  # for MT_EVENT_STATS; other events read e.len bytes of it, and that is 0
    made = set()
    for number in itertools.count(1):
        e.type = <mt_event_type><int>number
        try:
            made.add(type(_record(&e)))
        except ValueError:
            break
    alone = made ^ set(get_args(records.EngineEvent))
    if alone:
        raise ImportError(f"events and records differ: {sorted([each.__name__ for each in alone])}")
    return 0


_check_records()
