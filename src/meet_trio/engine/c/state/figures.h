/* Figures as plain values: counted by the core, read by Python. Counters only rise; packets and bytes are those of whole datagrams for
 * transports, of RTP packets and their payloads for streams and consumers.
 */
#ifndef MT_STATE_FIGURES_H
#define MT_STATE_FIGURES_H

#include "state/specs.h"

/* What became of datagrams and commands: X(name) */
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
  X(relay_packets_out) \
  X(relay_bytes_out) \
  X(relay_packets_in) \
  X(relay_bytes_in) \
  X(dropped_relay_full) \
  X(dropped_relay_unknown) \
  X(keyframe_requests_put_off) \
  X(rtp_forwarded) \
  X(retransmissions) \
  X(retransmissions_missed) \
  X(retransmissions_refused) \
  X(commands) \
  X(commands_for_unknown_ids) \
  X(commands_refused)
/* clang-format on */

typedef struct {
#define X(name) uint64_t name;
  MT_COUNTERS(X)
#undef X
} mt_counters;

typedef struct {
  uint32_t id;
  mt_path path; /* kind MT_PATH_NONE: none */
  bool has_srtp;
  uint64_t packets_in, bytes_in, packets_out, bytes_out;
  uint64_t max_bitrate, remb; /* bit/s; remb: what the client said, 0 = nothing */
  uint32_t bitrate_in, bitrate_out; /* bit/s, of the last second */
  uint32_t rtt_us; /* 0: unknown */
  uint32_t transport_cc_sent, transport_cc_received;
} mt_transport_stats;

typedef struct {
  uint32_t ssrc, rtx_ssrc; /* 0: not come yet */
  mt_text rid;
  uint64_t packets, bytes, recovered, duplicates;
  int64_t lost; /* RFC 3550: expected less received; retransmissions do not count as received */
  uint32_t jitter_us, nacks, plis, keyframes, bitrate, missing;
  uint16_t width, height; /* of the last VP8 key frame */
  uint8_t score;
  bool active;
} mt_stream_stats;

typedef struct {
  uint32_t id, transport; /* a mirror's transport is another engine's, and 0 */
  bool video, paused;
  int32_t audio_level;
  uint8_t stream_count;
  mt_stream_stats streams[MT_MAX_ENCODINGS];
} mt_producer_stats;

typedef struct {
  uint32_t id, transport, producer, ssrc;
  bool paused;
  int8_t spatial, target, preferred; /* -1: none */
  uint64_t packets, bytes, retransmissions;
  uint32_t bitrate, nacks, plis, switches, jitter_us, rtt_us;
  int32_t lost;
  uint8_t fraction_lost, score;
} mt_consumer_stats;

typedef struct {
  mt_counters counters;
  uint64_t buffers, buffers_used; /* packet buffers of the history */
  uint64_t tcp_connections, tcp_strangers; /* now */
  size_t transport_count, producer_count, mirror_count, consumer_count;
  mt_transport_stats *transports;
  mt_producer_stats *producers, *mirrors;
  mt_consumer_stats *consumers;
} mt_stats;

/* mt_counters as an array */
extern const char *const mt_counter_names[];
extern const uint32_t mt_counter_count;

void mt_stats_free(mt_stats *stats);

#endif
