# Figures: the C structs of c/state/figures.h as dictionaries. The tables of that header name each
# figure's key, kind and place in the struct; this file converts each kind. A kind that is missing
# here does not compile (-Wswitch-enum, see meson.build).


cdef object _figure(mt_figure_kind kind, const void *value):
    if kind == MT_FIGURE_U8:
        return (<const uint8_t *>value)[0]
    elif kind == MT_FIGURE_U16:
        return (<const uint16_t *>value)[0]
    elif kind == MT_FIGURE_U32:
        return (<const uint32_t *>value)[0]
    elif kind == MT_FIGURE_U64:
        return (<const uint64_t *>value)[0]
    elif kind == MT_FIGURE_I8:
        return (<const int8_t *>value)[0]
    elif kind == MT_FIGURE_I32:
        return (<const int32_t *>value)[0]
    elif kind == MT_FIGURE_I64:
        return (<const int64_t *>value)[0]
    elif kind == MT_FIGURE_BOOL:
        return bool((<const bool_t *>value)[0])
    elif kind == MT_FIGURE_SSRC:
        return (<const uint32_t *>value)[0] or None
    elif kind == MT_FIGURE_LAYER:
        layer = (<const int8_t *>value)[0]
        return None if layer < 0 else layer
    elif kind == MT_FIGURE_LEVEL:
        level = (<const int32_t *>value)[0]
        return None if level > 0 else level
    elif kind == MT_FIGURE_US:
        return (<const uint32_t *>value)[0] / 1000
    elif kind == MT_FIGURE_AGE:
        age = (<const int64_t *>value)[0]
        return None if age < 0 else age / 1_000_000
    elif kind == MT_FIGURE_FRACTION:
        return (<const uint8_t *>value)[0] / 256
    elif kind == MT_FIGURE_TEXT:
        text = <const mt_text *>value
        return (<const char *>&text.text[0])[: text.len].decode() or None
    elif kind == MT_FIGURE_PROTOCOL:
        return "tcp" if (<const uint8_t *>value)[0] == MT_PATH_TCP else "udp"
    elif kind == MT_FIGURE_ADDRESS:
        path = <const mt_path *>value
        return None if path.kind == MT_PATH_NONE else [_ip(path), path.port]
    raise ValueError(f"{<int>kind} is no figure's kind")


cdef class _Figures:
    """One table of c/state/figures.h. Its keys are made once and shared by all dictionaries."""

    cdef const mt_figure *_table
    cdef tuple _keys

    cdef dict of(self, const void *record):
        cdef const mt_figure *figure = self._table
        cdef dict out = {}
        for key in self._keys:
            out[key] = _figure(figure.kind, <const char *>record + figure.offset)
            figure += 1
        return out


cdef _Figures _table(const mt_figure *table):
    cdef _Figures figures = _Figures.__new__(_Figures)
    cdef list keys = []
    figures._table = table
    while table.key:
        keys.append(table.key.decode())
        table += 1
    figures._keys = tuple(keys)
    return figures


cdef _Figures _TRANSPORT = _table(mt_transport_figures)
cdef _Figures _STREAM = _table(mt_stream_figures)
cdef _Figures _PRODUCER = _table(mt_producer_figures)
cdef _Figures _MIRROR = _table(mt_mirror_figures)
cdef _Figures _CONSUMER = _table(mt_consumer_figures)
cdef _Figures _GAUGES = _table(mt_gauges)
cdef tuple _COUNTERS = tuple([mt_counter_names[i].decode() for i in range(mt_counter_count)])


cdef dict _producer_figures(_Figures own, const mt_producer_stats *p):
    figures = own.of(p)
    figures["streams"] = [_STREAM.of(&p.streams[0] + <size_t>i) for i in range(p.stream_count)]
    return figures


cdef dict _figures(const mt_stats *s):
    cdef const uint64_t *counters = <const uint64_t *>&s.counters
    cdef size_t i
    engine = {name: counters[i] for i, name in enumerate(_COUNTERS)}
    engine.update(_GAUGES.of(s))
    return {
        "transports": {
            str(s.transports[i].id): _TRANSPORT.of(&s.transports[i])
            for i in range(s.transport_count)
        },
        "producers": {
            str(s.producers[i].id): _producer_figures(_PRODUCER, &s.producers[i])
            for i in range(s.producer_count)
        },
        "mirrors": {
            str(s.mirrors[i].id): _producer_figures(_MIRROR, &s.mirrors[i])
            for i in range(s.mirror_count)
        },
        "consumers": {
            str(s.consumers[i].id): _CONSUMER.of(&s.consumers[i])
            for i in range(s.consumer_count)
        },
        "engine": engine,
    }
