# The C headers, as far as the shell uses them.

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "stdbool.h":
    ctypedef bint bool_t "bool"


cdef extern from "formats/path.h":
    enum:
        MT_PATH_NONE
        MT_PATH_UDP
        MT_PATH_TCP
        MT_PATH_PLAIN_RTP
        MT_PATH_PLAIN_RTCP

    ctypedef struct mt_path:
        uint8_t kind
        uint8_t family
        uint16_t port
        uint32_t tcp_connection
        uint32_t plain_transport
        uint8_t ip[16]


cdef extern from "formats/ipsec_mb.h":
    ctypedef struct mt_ipsec_mb_state:
        bool_t usable
        const char *text

    const mt_ipsec_mb_state *mt_ipsec_mb_open()


cdef extern from "formats/aead.h":
    ctypedef enum mt_aead_library:
        MT_AEAD_LIBCRYPTO
        MT_AEAD_IPSEC_MB

    mt_aead_library mt_aead_fastest()


cdef extern from "base/region.h":
    ctypedef struct mt_region:
        pass

    mt_region *mt_region_new(int fd, uint64_t layout, uint32_t index)


cdef extern from "core/salvage.h":
    ctypedef struct mt_salvage:
        pass

    ctypedef struct mt_salvaged:
        uint8_t kind
        uint32_t id
        uint8_t *bytes
        size_t len
        const char *damage

    mt_salvage *mt_salvage_new(int fd, const char **why)
    uint32_t mt_salvage_index(const mt_salvage *salvage)
    bool_t mt_salvage_next(mt_salvage *salvage, mt_salvaged *out)
    void mt_salvage_free(mt_salvage *salvage)


cdef extern from "core/values.h":
    enum:
        MT_BLOB_TRANSPORT
        MT_BLOB_PRODUCER
        MT_BLOB_CONSUMER


cdef extern from "core/layout.h":
    uint64_t mt_layout()


cdef extern from "core/core.h":
    enum:
        MT_DATAGRAM_MAX
        MT_MAX_ENCODINGS
        MT_MAX_TEMPORAL
        MT_MAX_TEXT
        MT_MAX_NETWORKS
        MT_EXT_COUNT

    ctypedef struct mt_settings:
        uint32_t history_packets
        uint32_t history_ms
        uint32_t dtls_per_second
        uint32_t consent_ms
        uint32_t pli_interval_ms
        uint32_t nack_delay_ms
        uint32_t nack_interval_ms
        uint32_t nack_tries
        uint32_t layer_silence_ms
        mt_aead_library aead
        bool_t equal_lengths
        uint64_t start_bitrate
        uint32_t excess_percent
        uint32_t excess_ms
        uint64_t seed
        uint32_t udp_sockets

    ctypedef struct mt_text:
        uint8_t len
        char text[1]  # longer in C; only its address is used

    ctypedef enum mt_codec:
        MT_CODEC_OTHER
        MT_CODEC_VP8
        MT_CODEC_VP9
        MT_CODEC_H264
        MT_CODEC_AV1

    const char *const mt_extension_uris[1]

    ctypedef struct mt_encoding_spec:
        uint32_t ssrc
        uint32_t rtx_ssrc
        mt_text rid

    ctypedef struct mt_producer_spec:
        bool_t video
        mt_codec codec
        uint8_t payload_type
        int16_t rtx_payload_type
        uint32_t clock_rate
        mt_text mid
        uint8_t encoding_count
        mt_encoding_spec encodings[1]
        uint8_t ext_ids[1]
        bool_t nack
        bool_t pli
        bool_t fir
        bool_t transport_cc
        bool_t remb
        bool_t paused

    ctypedef struct mt_consumer_spec:
        uint32_t ssrc
        uint32_t rtx_ssrc
        uint8_t payload_type
        int16_t rtx_payload_type
        mt_text mid
        mt_text cname
        uint8_t ext_ids[1]
        bool_t nack
        bool_t pli
        bool_t fir
        bool_t paused

    ctypedef enum mt_command_type:
        MT_ADD_TRANSPORT
        MT_RESTART_ICE
        MT_SET_SRTP
        MT_SEND_DTLS
        MT_REMOVE_TRANSPORT
        MT_SET_MAX_BITRATE
        MT_SET_TRANSPORT_MAX_OUTGOING
        MT_ADD_PRODUCER
        MT_PAUSE_PRODUCER
        MT_REMOVE_PRODUCER
        MT_ADD_MIRROR
        MT_ADD_LINK
        MT_RELAY_PRODUCER
        MT_STOP_RELAYING
        MT_ADD_CONSUMER
        MT_PAUSE_CONSUMER
        MT_SET_PREFERRED_LAYERS
        MT_SET_CONSUMER_PRIORITY
        MT_REQUEST_CONSUMER_KEYFRAME
        MT_REMOVE_CONSUMER
        MT_REQUEST_KEYFRAME
        MT_REQUEST_STATS
        MT_ADD_PLAIN_TRANSPORT
        MT_CONNECT_PLAIN
        MT_WATCH_LEVEL
        MT_TRACE_TRANSPORT
        MT_RESUME_TRANSPORT
        MT_RESUME_PRODUCER
        MT_RESUME_CONSUMER
        MT_REQUEST_SNAPSHOT
        MT_SNAPSHOT_STORED
        MT_SEND_UNTIL
        MT_BEGIN
        MT_HOLD

    ctypedef struct mt_layers:
        uint32_t spatial
        uint32_t temporal

    ctypedef struct mt_ice_spec:
        mt_text ufrag
        mt_text password

    ctypedef struct mt_srtp_spec:
        uint32_t profile
        uint8_t tx[1]
        uint8_t rx[1]

    ctypedef struct mt_data:
        uint8_t *bytes
        size_t len

    ctypedef struct mt_resume_spec:
        mt_data blob
        bool_t exact

    ctypedef struct mt_network:
        uint8_t family
        uint8_t prefix
        uint8_t ip[16]

    ctypedef struct mt_plain_spec:
        int rtp_fd
        int rtcp_fd
        bool_t comedia
        uint8_t network_count
        mt_network networks[1]

    ctypedef struct mt_remote_spec:
        mt_path rtp
        uint16_t rtcp_port

    ctypedef struct mt_link:
        pass

    ctypedef union command_union:
        mt_ice_spec ice
        mt_srtp_spec srtp
        mt_data data
        mt_resume_spec resume
        mt_plain_spec plain
        mt_remote_spec remote
        mt_producer_spec producer_spec
        mt_consumer_spec consumer_spec
        mt_link *link
        mt_layers layers
        uint64_t number

    ctypedef struct mt_command:
        mt_command_type type
        uint32_t id
        uint32_t transport
        uint32_t producer
        command_union u

    ctypedef enum mt_event_type:
        MT_EVENT_ICE_CONNECTED
        MT_EVENT_ICE_MOVED
        MT_EVENT_ICE_SILENT
        MT_EVENT_PLAIN_CONNECTED
        MT_EVENT_DTLS
        MT_EVENT_STREAM_STARTED
        MT_EVENT_LAYER_CHANGED
        MT_EVENT_AUDIO_LEVEL
        MT_EVENT_PRODUCER_SCORE
        MT_EVENT_CONSUMER_SCORE
        MT_EVENT_CONSUMER_STARTED
        MT_EVENT_TRACED
        MT_EVENT_STATS
        MT_EVENT_HELD
        MT_EVENT_SNAPSHOT
        MT_EVENT_FAILED

    ctypedef struct mt_event:
        mt_event_type type
        uint32_t id
        uint32_t number
        int32_t value
        uint8_t index
        uint8_t scores[4]
        mt_path path
        const void *data
        size_t len

    ctypedef struct mt_sink:
        void *context
        uint8_t *(*reserve)(void *context) noexcept
        void (*send)(void *context, const mt_path *to, size_t len) noexcept
        bool_t (*event)(void *context, const mt_event *event) noexcept

    ctypedef struct mt_core:
        pass

    mt_core *mt_core_new_in(mt_region *region, const mt_settings *settings, const mt_sink *sink)
    void mt_core_leave(mt_core *core, bint died)
    void mt_core_free(mt_core *core)
    void mt_core_datagram(
        mt_core *core, int64_t now, const mt_path *path, uint8_t *data, size_t len
    )
    void mt_core_gather(mt_core *core)
    void mt_core_forward(mt_core *core, int64_t now)
    void mt_core_path_closed(mt_core *core, int64_t now, const mt_path *path)
    void mt_core_command(mt_core *core, int64_t now, const mt_command *command)
    int64_t mt_core_tick(mt_core *core, int64_t now)
    void mt_command_release(mt_command *command)
    void mt_command_discard(mt_command *command)


cdef extern from "core/begin.h":
    void mt_core_hold_at_first(mt_core *core)
    bool_t mt_hold_answer(mt_core *core)


cdef extern from "core/exchange.h":
    void mt_exchange_count(mt_core *core)
    bool_t mt_exchange_take(mt_core *core, int64_t now)
    void mt_exchange_flush(mt_core *core)

cdef extern from "links/link.h":
    ctypedef struct mt_waker:
        pass

    ctypedef struct mt_links:
        pass

    mt_waker *mt_waker_new(int fd)
    void mt_waker_drop(mt_waker *waker)
    mt_link *mt_link_hold(mt_link *link)
    mt_link *mt_links_get(mt_links *links, mt_waker *source, mt_waker *sink, uint32_t slots)
    mt_link *mt_links_find(const mt_links *links, const mt_waker *sink)
    void mt_links_prune(mt_links *links)
    void mt_links_free(mt_links *links)


cdef extern from "formats/srtp.h":
    size_t mt_srtp_keying_length(int profile)


cdef extern from "state/figures.h":
    ctypedef enum mt_figure_kind:
        MT_FIGURE_U8
        MT_FIGURE_U16
        MT_FIGURE_U32
        MT_FIGURE_U64
        MT_FIGURE_I8
        MT_FIGURE_I32
        MT_FIGURE_I64
        MT_FIGURE_BOOL
        MT_FIGURE_SSRC
        MT_FIGURE_LAYER
        MT_FIGURE_LEVEL
        MT_FIGURE_US
        MT_FIGURE_AGE
        MT_FIGURE_FRACTION
        MT_FIGURE_TEXT
        MT_FIGURE_PROTOCOL
        MT_FIGURE_ADDRESS

    ctypedef struct mt_figure:
        const char *key
        mt_figure_kind kind
        size_t offset

    const mt_figure mt_transport_figures[1]
    const mt_figure mt_stream_figures[1]
    const mt_figure mt_producer_figures[1]
    const mt_figure mt_mirror_figures[1]
    const mt_figure mt_consumer_figures[1]
    const mt_figure mt_gauges[1]

    ctypedef struct mt_transport_stats:
        uint32_t id

    ctypedef struct mt_stream_stats:
        pass

    ctypedef struct mt_producer_stats:
        uint32_t id
        uint8_t stream_count
        mt_stream_stats streams[1]

    ctypedef struct mt_consumer_stats:
        uint32_t id

    ctypedef struct mt_counters:
        pass

    ctypedef struct mt_stats:
        mt_counters counters
        uint64_t transport_count
        uint64_t producer_count
        uint64_t mirror_count
        uint64_t consumer_count
        mt_transport_stats *transports
        mt_producer_stats *producers
        mt_producer_stats *mirrors
        mt_consumer_stats *consumers

    const char *const mt_counter_names[1]
    const uint32_t mt_counter_count
    void mt_stats_free(mt_stats *stats)

    enum:
        MT_MEDIA_UNKNOWN
        MT_MEDIA_COUNT


cdef extern from "state/summary.h":
    enum:
        MT_SUMMARY_BOUNDS
        MT_CARRIER_COUNT

    ctypedef struct mt_distribution:
        uint64_t buckets[1]
        double sum

    ctypedef struct mt_summary:
        uint64_t transports[1][2]  # more in C, like all arrays here
        uint64_t producers[1][2]
        uint64_t active_streams[1][MT_MAX_ENCODINGS]
        uint64_t consumers[1][MT_MAX_ENCODINGS]
        uint64_t paused_consumers[1]
        mt_distribution estimate
        mt_distribution round_trip
        mt_distribution outgoing_loss

    ctypedef struct mt_transport_sums:
        pass

    const double mt_estimate_bounds[1]
    const double mt_round_trip_bounds[1]
    const double mt_outgoing_loss_bounds[1]
    const mt_figure mt_transport_sum_figures[1]
    mt_summary mt_summarize(const mt_stats *stats)
    mt_transport_sums mt_sum_transport(const mt_stats *stats, const mt_transport_stats *transport)


cdef extern from "io/listen.h":
    enum:
        MT_MAX_ADDRESSES

    ctypedef struct mt_addresses:
        unsigned int count
        char ips[1][46]  # more in C; only their addresses are used
        uint16_t port
        bool_t free_bind
        unsigned int refused
        bool_t refused_tcp
        bool_t adopted
        int sockets[1][2]  # more in C

    ctypedef struct mt_socket:
        int fd

    ctypedef struct mt_listen:
        unsigned int count
        mt_socket udp[1]  # more in C, like the next
        mt_socket tcp[1]


cdef extern from "io/tcp.h":
    ctypedef struct mt_tcp_settings:
        uint32_t max_connections
        uint32_t max_strangers
        uint32_t max_strangers_per_address
        uint32_t stranger_ms
        uint32_t send_buffer


cdef extern from "thread.h":
    ctypedef struct mt_engine:
        pass

    ctypedef struct mt_udp_settings:
        bool_t gso

    mt_engine *mt_engine_open(
        const mt_settings *settings,
        const mt_udp_settings *udp,
        const mt_tcp_settings *tcp,
        mt_addresses *addresses,
        mt_region *region,
    )
    void mt_engine_join(mt_engine *engine) nogil
    void mt_engine_close(mt_engine *engine) nogil
    uint16_t mt_engine_port(const mt_engine *engine)
    const mt_listen *mt_engine_listen(const mt_engine *engine)
    mt_waker *mt_engine_waker(mt_engine *engine)
    int mt_engine_event_fd(const mt_engine *engine)
    bool_t mt_engine_command(mt_engine *engine, const mt_command *command)
    void mt_engine_give_up(mt_engine *engine)
    void mt_engine_reset_events(mt_engine *engine)
    bool_t mt_engine_next_event(mt_engine *engine, mt_event *event)
    void mt_event_release(mt_event *event)
