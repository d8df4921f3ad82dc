# Events: each type of c/state/sink.h becomes one record of records.py. A type without a record does
# not compile (-Wswitch-enum, see meson.build). With a record without a type the import fails.


cdef object _layers(const mt_event *e):
    if e.value < 0:
        return records.LayerChanged(e.id, None, None)
    return records.LayerChanged(e.id, e.value, e.index)


# The record takes over the figures of MT_EVENT_STATS, and copies all else.
cdef object _record(mt_event *e):
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
    elif kind == MT_EVENT_CONSUMER_STARTED:
        return records.ConsumerStarted(e.id)
    elif kind == MT_EVENT_TRACED:
        return records.PacketsTraced(e.id, e.number, (<const char *>e.data)[: e.len])
    elif kind == MT_EVENT_STATS:
        return records.StatsReady(e.id, _stats(e))
    elif kind == MT_EVENT_HELD:
        return records.EngineHeld(e.id)
    elif kind == MT_EVENT_SNAPSHOT:
        return records.SnapshotReady(e.id, (<const char *>e.data)[: e.len])
    elif kind == MT_EVENT_FAILED:
        return records.EngineFailed((<const char *>e.data)[: e.len].decode())
    raise ValueError(f"{<int>kind} is no event's number")


# Makes one event of each type. The types are numbered from 1, without gaps.
cdef int _check_records() except -1:
    cdef mt_event e
    memset(&e, 0, sizeof(e))
    made = set()
    for number in itertools.count(1):
        e.type = <mt_event_type><int>number
        # for MT_EVENT_STATS, which takes it over; other events read e.len bytes of it, that is none
        e.data = calloc(1, sizeof(mt_stats))
        try:
            made.add(type(_record(&e)))
        except ValueError:
            break
        finally:
            free(<void *>e.data)
    alone = made ^ set(get_args(records.EngineEvent))
    if alone:
        raise ImportError(f"events and records differ: {sorted([each.__name__ for each in alone])}")
    return 0


_check_records()
