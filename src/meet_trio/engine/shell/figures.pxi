# Figures: the C structs of c/state/figures.h as dictionaries. The tables of that header name each
# figure's key, kind and place in the struct; this file converts each kind. A kind that is missing
# here does not compile (-Wswitch-enum, see meson.build).
#
# The figures of all objects stay as C has made them. Those of one object become a dictionary when
# they are read, so a reader decides how much is converted in one turn of the loop.


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


cdef _Figures _SUMS = _table(mt_transport_sum_figures)


cdef dict _producer_figures(_Figures own, const mt_producer_stats *p):
    figures = own.of(p)
    figures["streams"] = [_STREAM.of(&p.streams[0] + <size_t>i) for i in range(p.stream_count)]
    return figures


cdef class _Snapshot:
    """Owns the figures of all objects, as C has made them, and frees them at its own end."""

    cdef mt_stats *stats

    def __dealloc__(self):
        mt_stats_free(self.stats)

    cdef dict engine(self):
        cdef const uint64_t *counters = <const uint64_t *>&self.stats.counters
        cdef size_t i
        figures = {name: counters[i] for i, name in enumerate(_COUNTERS)}
        figures.update(_GAUGES.of(self.stats))
        return figures


cdef enum _Kind:
    _TRANSPORTS
    _PRODUCERS
    _MIRRORS
    _CONSUMERS


cdef class _Rows:
    """The records of one kind."""

    cdef _Snapshot _of
    cdef _Kind _kind
    cdef dict _places  # by the object's number; made at the first search

    cdef size_t count(self):
        cdef const mt_stats *s = self._of.stats
        if self._kind == _TRANSPORTS:
            return s.transport_count
        elif self._kind == _PRODUCERS:
            return s.producer_count
        elif self._kind == _MIRRORS:
            return s.mirror_count
        elif self._kind == _CONSUMERS:
            return s.consumer_count
        return 0

    cdef uint32_t number(self, size_t place):
        cdef const mt_stats *s = self._of.stats
        if self._kind == _TRANSPORTS:
            return s.transports[place].id
        elif self._kind == _PRODUCERS:
            return s.producers[place].id
        elif self._kind == _MIRRORS:
            return s.mirrors[place].id
        elif self._kind == _CONSUMERS:
            return s.consumers[place].id
        return 0

    cdef dict at(self, size_t place):
        cdef const mt_stats *s = self._of.stats
        if self._kind == _TRANSPORTS:
            return _TRANSPORT.of(&s.transports[place])
        elif self._kind == _PRODUCERS:
            return _producer_figures(_PRODUCER, &s.producers[place])
        elif self._kind == _MIRRORS:
            return _producer_figures(_MIRROR, &s.mirrors[place])
        elif self._kind == _CONSUMERS:
            return _CONSUMER.of(&s.consumers[place])
        return None

    cdef object place(self, number):
        cdef size_t i
        if self._places is None:
            self._places = {self.number(i): i for i in range(self.count())}
        return self._places.get(number)

    def length(self):
        return self.count()

    def keys(self):
        cdef size_t i
        for i in range(self.count()):
            yield str(self.number(i))

    def find(self, str key):
        number = int(key)  # as text, so that the figures are those of a JSON object
        place = self.place(number) if str(number) == key else None
        return None if place is None else self.at(place)


cdef _Rows _rows(_Snapshot of, _Kind kind):
    cdef _Rows rows = _Rows.__new__(_Rows)
    rows._of, rows._kind = of, kind
    return rows


class _Objects(Mapping):
    """The figures of one kind of objects, by number as text. Those of one object are made when they
    are read.
    """

    def __init__(self, rows):
        self._rows = rows

    def __len__(self):
        return self._rows.length()

    def __iter__(self):
        return self._rows.keys()

    def __getitem__(self, key):
        try:
            figures = self._rows.find(key)
        except (TypeError, ValueError):  # no number
            figures = None
        if figures is None:
            raise KeyError(key)
        return figures


class _Stats(records.Stats):
    def __init__(self, snapshot):
        cdef _Snapshot of = snapshot
        self._snapshot = of
        self._rows = _rows(of, _TRANSPORTS)
        self._tables = {
            "transports": _Objects(self._rows),
            "producers": _Objects(_rows(of, _PRODUCERS)),
            "mirrors": _Objects(_rows(of, _MIRRORS)),
            "consumers": _Objects(_rows(of, _CONSUMERS)),
        }

    def __len__(self):
        return len(self._tables) + 1

    def __iter__(self):
        yield from self._tables
        yield "engine"

    def __getitem__(self, key):
        cdef _Snapshot of = self._snapshot
        return of.engine() if key == "engine" else self._tables[key]

    def sums_of(self, transport):
        cdef _Snapshot of = self._snapshot
        cdef _Rows rows = self._rows
        cdef mt_transport_sums sums
        place = rows.place(transport)
        if place is None:
            return {}
        sums = mt_sum_transport(of.stats, &of.stats.transports[<size_t>place])
        return _SUMS.of(&sums)

    def summary(self):
        cdef _Snapshot of = self._snapshot
        return _summary(of.stats)


# Takes the figures out of the event, which then owns none.
cdef object _stats(mt_event *e):
    cdef _Snapshot snapshot = _Snapshot.__new__(_Snapshot)
    if not e.data:
        raise ValueError("an event without figures")
    snapshot.stats, e.data = <mt_stats *>e.data, NULL
    return _Stats(snapshot)


cdef tuple _CARRIERS = ("none", "udp", "tcp")  # by mt_carrier
cdef tuple _MEDIA = ("audio", "video", "unknown")  # by mt_media


cdef object _distribution(const mt_distribution *d, const double *bounds):
    return records.Distribution(
        tuple([bounds[i] for i in range(MT_SUMMARY_BOUNDS)]),
        tuple([d.buckets[i] for i in range(MT_SUMMARY_BOUNDS + 1)]),
        d.sum,
    )


cdef object _summary(const mt_stats *stats):
    cdef mt_summary s = mt_summarize(stats)
    carriers, media = range(MT_CARRIER_COUNT), range(MT_MEDIA_COUNT)
    known, encodings = range(MT_MEDIA_UNKNOWN), range(MT_MAX_ENCODINGS)
    return records.Summary(
        transports={(_CARRIERS[i], bool(j)): s.transports[i][j] for i in carriers for j in range(2)},
        producers={(_MEDIA[i], bool(j)): s.producers[i][j] for i in known for j in range(2)},
        active_streams={(_MEDIA[i], j): s.active_streams[i][j] for i in known for j in encodings},
        consumers={
            (_MEDIA[i], None if j == MT_MAX_ENCODINGS else j): s.consumers[i][j]
            for i in media
            for j in range(MT_MAX_ENCODINGS + 1)
        },
        paused_consumers={_MEDIA[i]: s.paused_consumers[i] for i in media},
        estimate=_distribution(&s.estimate, mt_estimate_bounds),
        round_trip=_distribution(&s.round_trip, mt_round_trip_bounds),
        outgoing_loss=_distribution(&s.outgoing_loss, mt_outgoing_loss_bounds),
    )
