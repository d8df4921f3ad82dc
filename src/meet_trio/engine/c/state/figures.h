/* Figures as plain values: the core counts them, Python reads them.
 *
 * A figure is one line in its table here. The line gives the struct's member, its key in Python and its conversion, so Python
 * needs no line of its own. Counters only rise. Transports count datagrams and their bytes. Streams and consumers count RTP
 * packets and the bytes of their payloads.
 */
#ifndef MT_STATE_FIGURES_H
#define MT_STATE_FIGURES_H

#include "state/specs.h"

/* Counters of datagrams and commands, by their outcome: X(name) */
/* clang-format off */
#define MT_COUNTERS(X) \
  X(datagrams_in) \
  X(bytes_in) \
  X(datagrams_out) \
  X(bytes_out) \
  X(datagrams_refused) \
  X(stun_answered) \
  X(dropped_unknown_kind) \
  X(dropped_stun_malformed) \
  X(dropped_stun_unknown_ufrag) \
  X(dropped_stun_unauthentic) \
  X(dropped_stun_no_request) \
  X(dropped_address_taken) \
  X(dropped_unknown_address) \
  X(dropped_path_unconfirmed) \
  X(rebindings_tried) \
  X(rebindings_put_off) \
  X(rebindings_claimed) \
  X(rebindings_moved) \
  X(rebindings_confirmed) \
  X(rebindings_unconfirmed) \
  X(rebindings_taken_back) \
  X(dropped_dtls_rate) \
  X(dropped_dtls_no_path) \
  X(dropped_dtls_events) \
  X(dropped_plain_not_allowed) \
  X(dropped_plain_stranger) \
  X(dropped_rtp_astray) \
  X(tcp_accepted) \
  X(tcp_refused) \
  X(tcp_accept_pauses) \
  X(tcp_bad_frames) \
  X(tcp_strangers_displaced) \
  X(tcp_strangers_timed_out) \
  X(tcp_datagrams_dropped) \
  X(dropped_no_keys) \
  X(dropped_above_bitrate) \
  X(dropped_rtp_malformed) \
  X(dropped_rtp_replayed) \
  X(dropped_rtp_unauthentic) \
  X(dropped_rtp_unknown_stream) \
  X(dropped_rtp_too_many_sources) \
  X(dropped_rtp_duplicate) \
  X(dropped_rtp_too_large) \
  X(dropped_rtp_paused) \
  X(dropped_rtx_unwanted) \
  X(dropped_rtcp_malformed) \
  X(dropped_rtcp_unauthentic) \
  X(dropped_no_memory) \
  X(dropped_no_path) \
  X(dropped_silenced) /* after the time until which it may send */ \
  X(relay_packets_out) \
  X(relay_bytes_out) \
  X(relay_packets_in) \
  X(relay_bytes_in) \
  X(dropped_relay_full) \
  X(dropped_relay_unknown) \
  X(keyframe_requests_in) /* PLIs and FIRs of clients */ \
  X(keyframe_requests_out) /* to clients */ \
  X(keyframe_requests_put_off) \
  X(nacks_in) /* packets that clients asked for */ \
  X(nacks_out) /* packets that clients were asked for */ \
  X(rtp_lost_in) /* RFC 3550: expected less received, the most that each stream had lost at any time */ \
  X(rtp_lost_out) /* that viewers have reported, of those that were sent to them */ \
  X(rtp_forwarded) \
  X(retransmissions) \
  X(retransmissions_missed) \
  X(retransmissions_refused) \
  X(packets_repeated) \
  X(padding_sent) \
  X(dropped_queue_full) \
  X(redundant_packets) \
  X(commands) \
  X(commands_for_unknown_ids) \
  X(commands_refused) \
  X(resumes_refused) \
  X(turns) /* of the thread */ \
  X(busy_us) /* microseconds in these turns, without the waits between them */
/* clang-format on */

typedef struct {
#define X(name) uint64_t name;
  MT_COUNTERS(X)
#undef X
} mt_counters;

/* Kinds of figures: K(kind, type), and the value that Python shows if it is another */
/* clang-format off */
#define MT_FIGURE_KINDS(K) \
  K(U8, uint8_t) \
  K(U16, uint16_t) \
  K(U32, uint32_t) \
  K(U64, uint64_t) \
  K(I8, int8_t) \
  K(I32, int32_t) \
  K(I64, int64_t) \
  K(BOOL, bool) \
  K(SSRC, uint32_t) /* None for 0 */ \
  K(LAYER, int8_t) /* None for -1 */ \
  K(LEVEL, int32_t) /* dBov; None above 0 */ \
  K(US, uint32_t) /* microseconds as milliseconds */ \
  K(AGE, int64_t) /* microseconds since then as seconds; None below 0 */ \
  K(FRACTION, uint8_t) /* 256ths as a fraction of 1 */ \
  K(TEXT, mt_text) /* None for an empty one */ \
  K(PROTOCOL, uint8_t) /* a path's kind as "udp" or "tcp" */ \
  K(ADDRESS, mt_path) /* [ip, port]; None for the kind MT_PATH_NONE */
/* clang-format on */

#define K(kind, type) typedef type mt_figure_##kind;
MT_FIGURE_KINDS(K)
#undef K

typedef enum {
#define K(kind, type) MT_FIGURE_##kind,
  MT_FIGURE_KINDS(K)
#undef K
} mt_figure_kind;

/* The figures of each record in the order of their keys: X(kind, member, key). Bitrates are in bit/s, over the last second. */
/* clang-format off */
#define MT_TRANSPORT_FIGURES(X) \
  X(PROTOCOL, protocol, "protocol") \
  X(ADDRESS, path, "address") \
  X(BOOL, has_srtp, "secure") \
  X(U64, packets_in, "packetsReceived") \
  X(U64, bytes_in, "bytesReceived") \
  X(U64, packets_out, "packetsSent") \
  X(U64, bytes_out, "bytesSent") \
  X(U32, bitrate_in, "recvBitrate") \
  X(U32, bitrate_out, "sendBitrate") \
  X(U64, max_bitrate, "maxIncomingBitrate") /* bit/s; 0: no limit */ \
  X(U64, max_outgoing, "maxOutgoingBitrate") /* bit/s; 0: no limit */ \
  X(U64, remb, "remb") /* bit/s that the client sent; 0: none */ \
  X(US, rtt_us, "roundTripTime") /* 0: not known */ \
  X(U64, estimate, "availableOutgoingBitrate") /* bit/s that the link to the client can carry; 0: not estimated */ \
  X(TEXT, estimate_cause, "estimateCause") /* of its last change */ \
  X(AGE, cause_age, "estimateCauseAge") /* since then this has been the cause */ \
  X(TEXT, probed, "lastProbe") /* "fits", "too much", "unsure" */ \
  X(U64, probe_bitrate, "lastProbeBitrate") /* bit/s */ \
  X(AGE, probe_age, "lastProbeAge") \
  X(U64, wanted_bitrate, "wantedBitrate") /* of the best layers that the client wants */ \
  X(U64, allocated_bitrate, "allocatedBitrate") /* of the layers that it may get */ \
  X(FRACTION, outgoing_loss, "outgoingLoss") \
  X(US, queue_us, "queueDelay") /* on the link to the client */ \
  X(US, reorder_us, "reordering") /* how late packets come that others have overtaken */ \
  X(U32, paced_bytes, "pacerBytes") /* that wait for the pacer */ \
  X(U32, transport_cc_sent, "transportCcSent") \
  X(U32, transport_cc_received, "transportCcReceived")

#define MT_STREAM_FIGURES(X) \
  X(SSRC, ssrc, "ssrc") /* 0: no packet yet */ \
  X(SSRC, rtx_ssrc, "rtxSsrc") \
  X(TEXT, rid, "rid") \
  X(BOOL, active, "active") \
  X(U64, packets, "packetCount") \
  X(U64, bytes, "byteCount") \
  X(U32, bitrate, "bitrate") \
  X(I64, lost, "packetsLost") /* RFC 3550: expected less received; retransmissions do not count as received */ \
  X(U64, recovered, "packetsRecovered") \
  X(U64, duplicates, "packetsDuplicated") \
  X(U32, missing, "packetsMissing") \
  X(US, jitter_us, "jitter") \
  X(U32, nacks, "nackCount") \
  X(U32, plis, "pliCount") \
  X(U32, keyframes, "keyFrameCount") \
  X(U16, width, "width") /* of the last VP8 key frame */ \
  X(U16, height, "height") \
  X(U8, spatial_layers, "spatialLayers") /* in this stream, that have come in the last second */ \
  X(U8, temporal_layers, "temporalLayers") \
  X(U8, score, "score")

/* A mirror's transport and audio level are another engine's. */
#define MT_MIRROR_FIGURES(X) \
  X(BOOL, paused, "paused")

#define MT_PRODUCER_FIGURES(X) \
  X(U32, transport, "transport") \
  MT_MIRROR_FIGURES(X) \
  X(LEVEL, audio_level, "audioLevel")

#define MT_CONSUMER_FIGURES(X) \
  X(U32, transport, "transport") \
  X(U32, producer, "producer") \
  X(U32, ssrc, "ssrc") \
  X(BOOL, paused, "paused") \
  X(LAYER, spatial, "spatialLayer") \
  X(LAYER, temporal, "temporalLayer") \
  X(LAYER, target, "targetLayer") \
  X(LAYER, allowed, "allowedLayer") /* that the link to the client has room for */ \
  X(I8, allowed_temporal, "allowedTemporalLayer") \
  X(AGE, allowed_age, "allowedAge") /* since the two changed; None: never */ \
  X(AGE, layer_age, "layerAge") /* since the layers that are sent changed; None: never */ \
  X(LAYER, next, "nextLayer") /* that the link may have room for next */ \
  X(I8, next_temporal, "nextTemporalLayer") \
  X(U64, next_bitrate, "nextLayerBitrate") /* bit/s that it takes */ \
  X(U64, next_needs, "nextLayerNeeds") /* bit/s: the least estimate with which it is allowed */ \
  X(US, next_wait, "nextLayerWait") /* before that it is not allowed: a layer has just changed */ \
  X(I8, preferred, "preferredLayer") \
  X(U8, preferred_temporal, "preferredTemporalLayer") \
  X(U8, priority, "priority") \
  X(U64, packets, "packetCount") \
  X(U64, bytes, "byteCount") \
  X(U32, bitrate, "bitrate") \
  X(U64, retransmissions, "packetsRetransmitted") \
  X(U64, redundant, "packetsRedundant") /* sent twice at once, see redundancy */ \
  X(FRACTION, redundancy, "redundancy") /* bytes of them by bytes of media, in the last second */ \
  X(I32, lost, "packetsLost") \
  X(FRACTION, fraction_lost, "fractionLost") \
  X(US, jitter_us, "jitter") \
  X(US, rtt_us, "roundTripTime") \
  X(US, playout_us, "playoutDelay") /* that the client is asked for; 0: none */ \
  X(U32, nacks, "nackCount") \
  X(U32, plis, "pliCount") \
  X(U32, switches, "layerSwitches") \
  X(U32, freezes, "freezeCount") /* of video: gaps of more than 0.5 s while nobody has paused it */ \
  X(U32, frozen_ms, "freezeDuration") /* milliseconds, of all those gaps */ \
  X(U8, score, "score")

/* The engine's present state, beside its counters */
#define MT_GAUGES(X) \
  X(U64, buffers, "packet_buffers") /* of the history */ \
  X(U64, buffers_used, "packet_buffers_used") \
  X(U64, tcp_connections, "tcp_connections") \
  X(U64, tcp_strangers, "tcp_strangers") \
  X(U64, longest_turn_us, "longest_turn_us") /* since the start */ \
  X(U64, longest_recent_turn_us, "longest_recent_turn_us") /* of the last 10 to 20 seconds */ \
  X(U64, transport_count, "transports") \
  X(U64, producer_count, "producers") \
  X(U64, mirror_count, "mirrors") \
  X(U64, consumer_count, "consumers")
/* clang-format on */

#define X(kind, member, key) mt_figure_##kind member;

/* What a stream carries, for mt_summary */
typedef enum { MT_MEDIA_AUDIO, MT_MEDIA_VIDEO, MT_MEDIA_UNKNOWN, MT_MEDIA_COUNT } mt_media;

typedef struct {
  uint32_t id;
  uint32_t first_consumer, own_consumers; /* the transport's place in mt_stats.consumers */
  MT_TRANSPORT_FIGURES(X)
} mt_transport_stats;

typedef struct {
  MT_STREAM_FIGURES(X)
} mt_stream_stats;

typedef struct {
  uint32_t id;
  mt_media media;
  MT_PRODUCER_FIGURES(X)
  uint8_t stream_count;
  mt_stream_stats streams[MT_MAX_ENCODINGS];
} mt_producer_stats;

typedef struct {
  uint32_t id;
  mt_media media; /* unknown: the producer is gone */
  MT_CONSUMER_FIGURES(X)
} mt_consumer_stats;

typedef struct {
  mt_counters counters;
  MT_GAUGES(X)
  mt_transport_stats *transports;
  mt_producer_stats *producers, *mirrors;
  mt_consumer_stats *consumers;
} mt_stats;

#undef X

typedef struct {
  const char *key; /* NULL: the end of the table */
  mt_figure_kind kind;
  size_t offset;
} mt_figure;

extern const mt_figure mt_transport_figures[], mt_stream_figures[], mt_producer_figures[], mt_mirror_figures[];
extern const mt_figure mt_consumer_figures[], mt_gauges[]; /* the gauges are members of mt_stats */

/* mt_counters as an array */
extern const char *const mt_counter_names[];
extern const uint32_t mt_counter_count;

void mt_stats_free(mt_stats *stats);

#endif
