/* The core's objects, shared by its files: who owns whom, and the functions that one file offers the others.
 *
 *   core ─▶ transport ─▶ stream (what comes in: one SSRC)      found by (transport, SSRC)
 *                    ├─▶ producer ─▶ up to 4 encodings ─▶ stream
 *                    └─▶ consumer ─▶ its producer (NULL when that has gone)
 *
 * A producer lists its consumers, a transport its producers and consumers. Removing an object unlinks it everywhere first.
 */
#ifndef MT_INTERNAL_H
#define MT_INTERNAL_H

#include "core.h"
#include "map.h"
#include "rtp.h"
#include "vp8.h"

enum {
  MT_MAX_PATHS = 8,
  MT_MAX_MISSING = 512,
  MT_SENT_RING = 1024, /* packets of a consumer that can be asked for again; power of two */
  MT_TWCC_RING = 4096, /* arrivals remembered; power of two */
  MT_MAX_RTCP_SOURCES = 64,
};

#define MT_SECOND 1000000LL

typedef struct mt_transport mt_transport;
typedef struct mt_stream mt_stream;
typedef struct mt_producer mt_producer;
typedef struct mt_consumer mt_consumer;

typedef struct { /* one packet of a stream, decrypted */
  uint64_t index; /* extended sequence number + 1; 0: empty */
  int64_t arrived;
  uint32_t timestamp;
  uint16_t len, payload_offset, payload_len;
  bool marker, keyframe;
  mt_rtp header;
  mt_vp8 vp8;
  uint8_t bytes[1500];
} mt_packet;

typedef struct {
  uint64_t index;
  int64_t since, sent;
  unsigned tries;
} mt_missing;

struct mt_stream {
  mt_transport *transport;
  mt_producer *producer;
  unsigned encoding;
  uint32_t ssrc;
  mt_stream *repairs; /* an RTX stream: the one it repairs (may be NULL until that has come) */
  bool is_rtx;
  mt_srtp_window window;
  mt_packet *history; /* NULL for RTX */
  unsigned history_mask;
  bool started;
  uint64_t first, highest; /* extended sequence numbers */
  uint32_t last_timestamp;
  int64_t last_arrival;
  mt_missing missing[MT_MAX_MISSING];
  unsigned missing_count;
  /* RFC 3550 §6.4.1, A.8 */
  double jitter;
  int64_t transit;
  bool has_transit;
  uint64_t expected_prior, received_prior;
  uint8_t fraction_lost;
  uint64_t received;
  /* the publisher's clock */
  bool has_sr;
  uint64_t sr_ntp;
  uint32_t sr_timestamp;
  int64_t sr_arrived;
  /* key frames */
  bool keyframe_wanted;
  int64_t keyframe_asked;
  uint8_t fir_sequence;
  /* figures */
  uint64_t packets, bytes, recovered, nacks, plis, discarded, keyframes;
  uint64_t rate_bytes;
  uint32_t bitrate;
  uint8_t score;
};

typedef struct {
  mt_stream *stream, *rtx;
} mt_encoding;

struct mt_producer {
  uint32_t id;
  mt_transport *transport;
  mt_producer *next; /* of the transport */
  mt_producer_spec spec;
  mt_encoding encodings[MT_MAX_ENCODINGS];
  mt_consumer *consumers;
  bool paused;
  bool keyframe_wanted; /* before any stream has come */
  uint8_t level;
  int64_t level_told;
  bool level_known;
};

typedef struct { /* how an outgoing packet was made, so that it can be made again */
  uint64_t out; /* index + 1; 0: empty */
  uint64_t in;
  uint32_t timestamp;
  int64_t resent;
  uint16_t picture_id;
  uint8_t encoding, tl0;
} mt_sent;

struct mt_consumer {
  uint32_t id;
  mt_transport *transport;
  mt_producer *producer;
  mt_consumer *next;          /* of the transport */
  mt_consumer *next_of_producer;
  mt_consumer_spec spec;
  bool paused;
  unsigned preferred;
  int current, target;        /* encodings, -1 none */
  unsigned last_encoding;     /* the one that the last packets were of */
  int told;                   /* layer of the last event, -1 none */
  uint64_t next_out;          /* index of the next new packet; RTP sequence in its low 16 bits */
  bool synced;                /* the offsets below hold for `current` */
  uint64_t first_in;          /* packets before are not of ours */
  uint64_t highest_in;
  int64_t offset;             /* out = in - offset */
  uint32_t timestamp_offset, last_timestamp;
  int64_t last_sent;
  uint16_t picture_offset, last_picture;
  uint8_t tl0_offset, last_tl0;
  uint64_t rtx_next;
  mt_sent *sent;
  int64_t sr_sent;
  /* figures */
  uint64_t packets, bytes, retransmitted, nacks, plis, rate_bytes;
  uint32_t bitrate;
  uint8_t fraction_lost;
  int32_t lost;
  uint32_t rtt_us;
  uint8_t score;
};

typedef struct {
  mt_addr addr;
  mt_transport *transport;
} mt_path;

struct mt_transport {
  mt_core *core;
  uint32_t id;
  char ufrag[MT_MAX_UFRAG + 1], pwd[MT_MAX_PWD + 1];
  char old_ufrag[MT_MAX_UFRAG + 1], old_pwd[MT_MAX_PWD + 1]; /* "" none */
  mt_path *paths[MT_MAX_PATHS];
  unsigned path_count;
  mt_path *selected;
  int64_t last_check;
  bool connected_pending, moved_pending, silent, silent_told;
  mt_srtp *srtp;
  uint32_t srtcp_index;
  struct {
    uint32_t ssrc;
    mt_srtp_window window;
  } *rtcp_sources;
  unsigned rtcp_source_count;
  mt_producer *producers;
  mt_consumer *consumers;
  uint32_t own_ssrc; /* sender of our RTCP */
  uint8_t ext_ids[MT_EXT_COUNT]; /* of the publisher's session */
  /* transport-cc */
  bool twcc, twcc_started;
  int64_t *arrivals; /* MT_TWCC_RING, -1: not come */
  uint64_t twcc_base, twcc_next; /* extended; [base, next) is not reported yet */
  uint8_t twcc_count;
  int64_t twcc_sent;
  /* REMB */
  bool remb;
  uint64_t max_incoming;
  int64_t remb_sent, rr_sent;
  /* DTLS datagrams that may go up: a bucket */
  double dtls_tokens;
  int64_t dtls_refilled;
  /* figures */
  uint64_t packets_in, bytes_in, packets_out, bytes_out;
};

typedef struct {
  uint64_t unknown_address, unknown_ssrc, malformed, stun_bad, stun_errors, srtp_refused, srtp_replayed, no_srtp, dtls_limited,
      dtls_lost, events_lost, probes, no_memory;
} mt_drops;

struct mt_core {
  mt_core_settings settings;
  mt_sink sink;
  uint64_t seed, random;
  int64_t now;
  uint64_t ntp;
  mt_map transports, producers, consumers; /* by id */
  mt_map by_ufrag;                         /* hash of the fragment → transport */
  mt_map by_address;                       /* hash of the address → mt_path */
  mt_map streams;                          /* transport << 32 | ssrc */
  mt_drops drops;
  int64_t consumers_ticked;
};

/* core.c */
uint64_t mt_core_random(mt_core *core);
bool mt_core_event(mt_core *core, mt_event_type type, uint32_t id, uint32_t a, uint32_t b);
bool mt_core_event_data(mt_core *core, mt_event_type type, uint32_t id, const uint8_t *data, size_t len);

/* transport.c: ICE, DTLS datagrams, SRTCP out */
void mt_transport_add(mt_core *core, uint32_t id, const char *ufrag, const char *pwd);
void mt_transport_restart_ice(mt_transport *t, const char *ufrag, const char *pwd);
void mt_transport_remove(mt_transport *t);
void mt_transport_stun(mt_core *core, const mt_addr *from, const uint8_t *data, size_t len);
void mt_transport_dtls(mt_transport *t, const uint8_t *data, size_t len);
void mt_transport_tick(mt_transport *t);
mt_transport *mt_transport_of(mt_core *core, const mt_addr *from);
void mt_transport_send(mt_transport *t, size_t len); /* what stands in sink.buffer */
void mt_transport_send_rtcp(mt_transport *t, const uint8_t *rtcp, size_t len);

/* receive.c: incoming RTP, producers */
void mt_receive_rtp(mt_transport *t, uint8_t *data, size_t len);
void mt_producer_add(mt_transport *t, uint32_t id, const mt_producer_spec *spec);
void mt_producer_remove(mt_producer *p);
void mt_stream_remove(mt_stream *s);
bool mt_stream_is_live(const mt_stream *s); /* packets within the last second */

/* feedback.c: what is said to publishers, and what their RTCP says */
void mt_receive_rtcp(mt_transport *t, uint8_t *data, size_t len);
void mt_stream_gap(mt_stream *s, uint64_t from, uint64_t to); /* these are missing */
bool mt_stream_found(mt_stream *s, uint64_t index);           /* was it missing? */
void mt_twcc_arrived(mt_transport *t, uint16_t sequence);
void mt_want_keyframe(mt_producer *p, unsigned encoding);
void mt_ask_keyframe(mt_stream *s);
void mt_feedback_tick(mt_transport *t);

/* forward.c: consumers */
void mt_consumer_add(mt_transport *t, uint32_t id, mt_producer *p, const mt_consumer_spec *spec);
void mt_consumer_remove(mt_consumer *c);
void mt_consumer_pause(mt_consumer *c, bool paused);
void mt_consumer_tick(mt_consumer *c);
void mt_consumer_lost_producer(mt_consumer *c);
void mt_consumer_lost_stream(mt_consumer *c, unsigned encoding);
void mt_forward(mt_producer *p, mt_stream *s, const mt_packet *packet);
void mt_consumer_nack(mt_consumer *c, uint16_t pid, uint16_t blp);
void mt_consumer_choose(mt_consumer *c);

/* stats.c */
void mt_stats(mt_core *core, uint32_t token);

#endif
