/* The core's insides: what its sources share. Nothing outside of them includes this.
 *
 *   mt_core ─┬─ transports ─┬─ routes       addresses that proved the ICE credentials
 *            │              ├─ sources      SSRCs that the client sends: replay windows, and the stream they belong to
 *            │              ├─ ended        SSRCs that it sent before: below which index all is a replay
 *            │              ├─ producers ── streams (one for each encoding) ── missing packets, history
 *            │              ├─ consumers    by SSRC and RTX SSRC, for RTCP
 *            │              └─ sent         SSRCs that we sent before: the next SRTP index
 *            ├─ producers ── consumers of each (which live in other transports)
 *            ├─ mirrors ───── streams, filled by other engines
 *            ├─ links ─────── relays of producers (this engine is the source), mirrors (it is the sink)
 *            └─ lists of what has something to do: changed (events to offer), nacking, wanting (key frames), feeding (transport-cc)
 *
 * An object that goes takes itself out of every table and list, so that no pointer outlives it.
 */
#ifndef MT_STATE_H
#define MT_STATE_H

#include "core/core.h"
#include "base/ledger.h"
#include "links/link.h"
#include "base/list.h"
#include "state/packet.h"
#include "formats/rtcp.h"
#include "formats/rtp.h"
#include "core/stats.h"

enum {
  MT_MAX_ROUTES = 8,    /* addresses of one transport */
  MT_MAX_IDLE_SOURCES = 64, /* SSRCs of one client that belong to no stream (yet, or any more) and keep a whole replay window */
  MT_MAX_MISSING = 512, /* packets of a stream that are waited for */
  MT_MAX_DROPOUT = 3000, /* packets that may be lost in a row (RFC 3550 appendix A.1); a longer gap is none */
  MT_MAX_WAITING_STATS = 16,
  MT_TWCC_WINDOW = 2048,
  MT_SECOND = 1000000, /* microseconds */
  MT_MS = 1000,
};

typedef struct mt_transport mt_transport;
typedef struct mt_producer mt_producer;
typedef struct mt_stream mt_stream;
typedef struct mt_consumer mt_consumer;

/* ---- events that wait ---- */

typedef enum { MT_KIND_TRANSPORT, MT_KIND_PRODUCER, MT_KIND_CONSUMER } mt_kind;

enum {
  MT_CHANGED_CONNECTED = 1,
  MT_CHANGED_MOVED = 2,
  MT_CHANGED_SILENT = 4,
  MT_CHANGED_LEVEL = 8,
  MT_CHANGED_SCORE = 16,
  MT_CHANGED_LAYER = 32,
  MT_CHANGED_STARTED = 256, /* << encoding index */
};

typedef struct {
  mt_list link; /* in mt_core.changed */
  mt_kind kind;
  uint32_t flags;
} mt_changes;

/* ---- transports ---- */

typedef struct {
  mt_node node;
  mt_transport *transport;
  mt_text ufrag, password;
  bool used;
} mt_credentials;

typedef struct {
  mt_node node; /* in mt_core.routes */
  mt_transport *transport;
  mt_path path;
  int64_t seen; /* last authenticated request */
  bool used;
} mt_route;

typedef struct { /* an SSRC that the client sends */
  mt_node node;  /* in mt_transport.sources */
  mt_transport *transport;
  uint32_t ssrc;
  mt_srtp_window rtp, rtcp;
  mt_stream *stream; /* NULL: of no producer (any more) */
  mt_list idle;      /* in mt_transport.idle while that is so */
  bool rtx;
  bool astray; /* plain RTP: the last packet was far away, */
  uint16_t next_astray; /* and this would follow it */
} mt_source;

typedef struct { /* an SSRC that we send */
  uint32_t ssrc;
  uint64_t next; /* SRTP index; everything from here on is unused */
} mt_sender;

typedef struct { /* arrivals of packets with a transport-wide sequence number */
  mt_transport *transport;
  mt_list link;  /* in mt_core.feeding while there is something to say */
  bool started;
  uint8_t feedback_count;
  uint32_t media_ssrc;
  uint64_t next, end; /* to report next; one past the newest */
  int64_t due;
  int64_t arrivals[MT_TWCC_WINDOW]; /* -1: not come */
} mt_twcc;

typedef struct {
  uint64_t at_mark;
  uint32_t bitrate;
} mt_rate; /* bytes counted → bit/s of the last second */

typedef struct { /* one of the two sockets of a plain transport, seen from the core */
  mt_route route; /* never in mt_core.routes; kind MT_PATH_NONE: the far side's address is not known */
  bool fixed;     /* it is the only one that packets are taken from */
} mt_plain_end;

typedef struct {
  mt_plain_end rtp, rtcp;
  bool comedia;
  uint8_t network_count;
  mt_network networks[MT_MAX_NETWORKS];
} mt_plain;

struct mt_transport {
  mt_node node;  /* in mt_core.transports */
  mt_list link;  /* in mt_core.all_transports */
  mt_changes changes;
  uint32_t id;
  mt_credentials credentials[2]; /* those in use; those of before a restart */
  mt_route routes[MT_MAX_ROUTES];
  mt_route *selected;
  mt_plain *plain; /* NULL: ICE and DTLS */
  bool was_connected, silent;
  int64_t heard; /* last authenticated request on any route */

  mt_srtp *srtp;
  uint32_t srtcp_next;
  mt_table sources, consumers_by_ssrc;
  mt_list idle;          /* sources without stream, the longest so first */
  uint32_t idle_count;
  mt_ledger ended;       /* of sources */
  mt_ledger sent, sent_before; /* of senders; when `sent` is full it becomes `sent_before`, and what was that is forgotten */
  mt_list producers, consumers;
  uint8_t twcc_id; /* of its producers; 0: none */
  mt_twcc *twcc;   /* allocated with the first producer that wants it */
  uint16_t twcc_next; /* number of the next packet that we send */
  int32_t resend_bytes; /* that may be sent again to all of its consumers */
  uint32_t rtcp_ssrc; /* what our feedback is sent as */
  uint64_t max_bitrate;
  double allowance; /* bytes that its client may send at once; see receive.c */
  int64_t allowed;  /* when that was counted */
  uint64_t estimate; /* REMB without transport-cc: what we tell the client; 0 = not yet */
  int64_t next_report, reported;
  double dtls_tokens;
  int64_t dtls_filled;
  mt_rate rate_in, rate_out;
  mt_transport_stats stats;
};

/* ---- producers ---- */

typedef struct {
  uint64_t sequence;
  int64_t due, asked; /* asked: the first time, 0 = never */
  uint64_t noticed;   /* the stream's `received` then */
  uint8_t tries;
} mt_missing;

struct mt_stream {
  mt_producer *producer;
  uint8_t index;
  uint64_t generation; /* counts its resets; never the same twice, or what was sent before one would be taken for what came after */
  mt_source *main, *rtx;
  bool started;
  int64_t last_arrival; /* of media, not of padding and retransmissions; 0: never */
  uint32_t frames; /* whole or not */
  uint32_t frames_of_others[MT_MAX_ENCODINGS]; /* the other streams' `frames` at the last arrival */
  uint64_t base, highest; /* extended sequence numbers */
  mt_history history;
  mt_list nacking, wanting;
  mt_missing *missing; /* ascending */
  uint32_t missing_count;
  bool has_keyframe; /* of this SSRC; where the newest begins */
  uint64_t keyframe_first;
  uint32_t keyframe_timestamp;
  bool keyframe_wanted;
  bool keyframe_demanded; /* whether or not a consumer waits for it */
  int64_t keyframe_asked;
  uint8_t fir_sequence;
  uint32_t rtt_us; /* from NACKs to their retransmissions; 0: unknown */

  bool has_sr;
  uint64_t sr_ntp;
  uint32_t sr_timestamp;
  int64_t sr_arrival;
  bool has_transit;
  int64_t transit;
  double jitter; /* clock units */
  uint64_t received; /* without retransmissions */
  uint64_t reported_expected, reported_received;
  mt_rate rate;
  mt_stream_stats stats;
};

typedef struct { /* a producer's way to one other engine */
  mt_list in_producer, in_link;
  mt_producer *producer;
  mt_link *link;
  uint32_t id;
  uint8_t listened; /* encodings that somebody listens to over there, as bits */
  uint8_t lost; /* encodings of which packets found the ring full */
  uint8_t stale; /* encodings whose state the mirror is to be told, */
  uint8_t told; /* and those that it was told since the last round */
  bool announced; /* the mirror knows of it */
} mt_relay;

struct mt_producer {
  mt_node node;
  mt_list in_transport; /* or mt_core.mirrors */
  mt_changes changes;
  uint32_t id;
  mt_transport *transport; /* NULL: a mirror */
  mt_producer_spec spec;
  uint8_t ext_kind[256]; /* id → mt_ext_kind + 1 */
  bool paused;
  mt_list consumers;
  mt_stream streams[MT_MAX_ENCODINGS];
  int64_t level_due;
  int32_t level_sum, level_count, level_told;
  int64_t level_heard;
  mt_list relays;

  bool mirror;
  mt_link *link; /* NULL: nothing comes (yet, or any more) */
  mt_list in_link;
  uint32_t relay; /* that fills it, at the source */
  uint8_t listened; /* what that was told */
  int64_t rates_due;
};

/* ---- consumers ---- */

typedef struct { /* a stretch of one stream that is forwarded with constant offsets; a reset of the stream ends its use */
  bool used, open;
  uint8_t stream;
  uint64_t first, last; /* of the stream; last: when closed */
  uint64_t sequence_delta;
  uint32_t timestamp_delta;
  uint16_t picture_delta;
  uint8_t tl0_delta;
} mt_epoch;

typedef struct { /* what was sent under a sequence number */
  uint64_t sequence; /* ours, extended; 0: nothing */
  uint64_t source; /* the stream's, extended, */
  uint64_t generation; /* in this generation of it */
  uint32_t timestamp, abs_send_time;
  int64_t resent;
  uint16_t picture_id, twcc;
  uint8_t tl0picidx, stream;
} mt_sent;

enum { MT_SENT_SLOTS = 512, MT_SR_MEMORY = 4 };

enum {
  MT_SENT_BYTES = MT_SENT_SLOTS * sizeof(mt_sent),
  MT_MISSING_BYTES = MT_MAX_MISSING * sizeof(mt_missing),
  MT_MEMORY_BYTES = MT_SENT_BYTES > MT_MISSING_BYTES ? MT_SENT_BYTES : MT_MISSING_BYTES,
};

typedef struct { /* in mt_transport.consumers_by_ssrc */
  mt_node node;
  mt_consumer *consumer;
} mt_consumer_name;

struct mt_consumer {
  mt_node node;
  mt_consumer_name by_ssrc, by_rtx_ssrc;
  mt_list in_transport, in_producer;
  mt_changes changes;
  uint32_t id;
  mt_transport *transport;
  mt_producer *producer; /* NULL: removed */
  uint32_t producer_id;
  mt_consumer_spec spec;
  mt_sender *sender, *rtx_sender; /* of `senders`; NULL: none */
  mt_sender senders[2];
  bool paused;
  uint8_t preferred, followed; /* followed: the same when the target was last chosen */
  int8_t target; /* the stream to forward; -1: none arrives */
  int8_t told_layer;
  int64_t layer_told;
  mt_epoch epochs[2]; /* the current one; the one before */
  bool switching; /* a key frame of `target` waits for the end of the current frame */
  uint64_t switch_first;
  int64_t switch_since;

  bool started;
  uint64_t highest; /* of ours */
  uint32_t last_timestamp;
  int64_t last_sent;
  bool last_marker;
  bool has_picture;
  uint16_t last_picture;
  uint8_t last_tl0;
  mt_sent *sent; /* MT_SENT_SLOTS; NULL without NACK */
  int32_t resend_bytes; /* that may be sent again */

  uint64_t packets, octets; /* for sender reports */
  struct {
    uint32_t ntp_middle;
    int64_t sent;
  } reports[MT_SR_MEMORY];
  uint8_t report_next;
  uint8_t told_score; /* what an event said, or is about to */
  bool score_known;
  mt_list scored; /* in mt_core.scored for a second after */
  mt_list owed; /* in mt_core.owed while a key frame is put off */
  uint8_t owed_streams; /* of which streams, as bits, */
  uint32_t owed_since[MT_MAX_ENCODINGS]; /* and how many they had had then */
  int64_t keyframes_paid; /* until when; see consumer.c */
  int64_t score_told;
  mt_rate rate;
  mt_consumer_stats stats;
};

/* ---- the core ---- */

struct mt_core {
  mt_settings settings;
  mt_sink sink;
  uint64_t random;
  mt_table transports, producers, consumers, ufrags, routes;
  mt_list all_transports, mirrors, links;
  int64_t last_now; /* for what ends with a link */
  uint32_t last_relay;
  mt_list changed, nacking, wanting, feeding;
  mt_list owed; /* consumers that a key frame is put off for */
  mt_list scored; /* consumers whose score was told just now, the longest ago first */
  int64_t next_tick, next_round;
  mt_pool pool; /* packets */
  mt_pool memories; /* of streams what is missing, of consumers what was sent; the two are about as large */
  mt_counters counters;
  uint32_t stats_waiting[MT_MAX_WAITING_STATS];
  unsigned stats_count;
};

/* core.c */
uint64_t mt_random(mt_core *core);
void mt_change(mt_core *core, mt_changes *changes, uint32_t flags);
void mt_due(mt_core *core, int64_t at); /* tick no later than that */
void mt_send(mt_core *core, mt_transport *t, size_t len); /* what was reserved; drops it without a path */
void mt_send_srtcp(mt_core *core, mt_transport *t, uint8_t *packet, size_t len); /* `packet` was reserved */
mt_transport *mt_find_transport(mt_core *core, uint32_t id);
mt_producer *mt_find_producer(mt_core *core, uint32_t id);
mt_consumer *mt_find_consumer(mt_core *core, uint32_t id);
uint32_t mt_rate_update(mt_rate *rate, uint64_t bytes, int64_t elapsed);

/* transport.c */
void mt_transport_add(mt_core *core, int64_t now, const mt_command *c);
mt_transport *mt_transport_new(mt_core *core, int64_t now, uint32_t id); /* without credentials; NULL: refused or no memory */
void mt_transport_restart(mt_core *core, mt_transport *t, const mt_command *c);
void mt_transport_keys(mt_core *core, mt_transport *t, const mt_command *c, int64_t now);
void mt_transport_remove(mt_core *core, mt_transport *t);
mt_route *mt_route_find(mt_core *core, const mt_path *path);
void mt_route_drop(mt_core *core, mt_route *route);
void mt_ice_datagram(mt_core *core, int64_t now, const mt_path *from, const uint8_t *data, size_t len);
void mt_transport_check_consent(mt_core *core, mt_transport *t, int64_t now);
void mt_dtls_datagram(mt_core *core, int64_t now, const mt_path *from, const uint8_t *data, size_t len);
bool mt_sender_take(mt_core *core, mt_transport *t, uint32_t ssrc, mt_sender *out); /* false: a consumer has it, or no memory */
void mt_sender_leave(mt_core *core, mt_transport *t, const mt_sender *s);

/* plain.c */
void mt_plain_add(mt_core *core, int64_t now, const mt_command *c);
void mt_plain_connect(mt_core *core, mt_transport *t, const mt_command *c, int64_t now);
void mt_plain_datagram(mt_core *core, int64_t now, const mt_path *from, uint8_t *data, size_t len);

/* receive.c */
void mt_rtp_datagram(mt_core *core, int64_t now, mt_transport *t, uint8_t *data, size_t len);
bool mt_transport_takes(mt_core *core, mt_transport *t, int64_t now); /* media, at the rate that it comes */
void mt_transport_charge(mt_transport *t, size_t len); /* for an authentic datagram */

/* source.c */
mt_source *mt_source_find(mt_transport *t, uint32_t ssrc); /* of those that have a whole window */
/* The windows that its next packet must pass: those of a source that has ended, or fresh ones. */
void mt_source_recall(const mt_core *core, const mt_transport *t, uint32_t ssrc, mt_srtp_window *rtp, mt_srtp_window *rtcp);
mt_source *mt_source_add(mt_core *core, mt_transport *t, uint32_t ssrc); /* with what is recalled; NULL: too many, or no memory */
void mt_source_attach(mt_source *source, mt_stream *s);
void mt_source_detach(mt_source *source);
void mt_sources_free(mt_transport *t);

/* rtcp_in.c */
void mt_rtcp_datagram(mt_core *core, int64_t now, mt_transport *t, uint8_t *data, size_t len);
void mt_scores_round(mt_core *core, int64_t now); /* tell what has changed since it was told */

/* rtcp_out.c */
void mt_transport_report(mt_core *core, mt_transport *t, int64_t now);

/* twcc.c */
bool mt_twcc_start(mt_transport *t);
void mt_twcc_arrived(mt_core *core, mt_transport *t, uint16_t sequence, uint32_t ssrc, int64_t now);
int64_t mt_twcc_tick(mt_core *core, int64_t now); /* when to come again */
void mt_twcc_free(mt_transport *t);

/* stream.c */
bool mt_stream_init(mt_core *core, mt_stream *s, mt_producer *p, uint8_t index);
void mt_stream_free(mt_core *core, mt_stream *s);
void mt_stream_reset(mt_core *core, mt_stream *s, int64_t now); /* another SSRC begins, or this one has ended */
void mt_stream_cut(mt_stream *s); /* what comes does not go on from what went before: viewers begin anew */
bool mt_stream_active(const mt_core *core, const mt_stream *s, int64_t now);
bool mt_stream_arriving(const mt_core *core, const mt_stream *s, int64_t now); /* and the others have not left it behind */
/* One packet, decrypted, `from` its datagram. `recovered`: unwrapped from RTX. */
void mt_stream_receive(mt_core *core, mt_stream *s, const mt_rtp *h, const uint8_t *from, const uint8_t *payload,
                       size_t payload_len, uint64_t sequence, bool recovered, int64_t now);
void mt_stream_report(mt_stream *s, mt_rtcp_report *out, int64_t now);
uint64_t mt_stream_extend(const mt_stream *s, uint16_t sequence);
bool mt_stream_listened(const mt_stream *s); /* by a consumer, or by another engine */
void mt_stream_mirror(mt_core *core, mt_stream *s, const mt_packet *from, bool arrived, int64_t now);
void mt_stream_note(mt_core *core, mt_stream *s, bool marker, int64_t now); /* a mirror's encoding arrives */

/* nack.c */
bool mt_missing_add(mt_core *core, mt_stream *s, uint64_t first, uint64_t end, int64_t now); /* false: too many */
void mt_missing_overtaken(mt_core *core, mt_stream *s, int64_t now); /* a new packet has come */
bool mt_missing_take(mt_stream *s, uint64_t sequence, bool recovered, int64_t now); /* was it missing? */
bool mt_missing_has(const mt_stream *s, uint64_t sequence);
void mt_missing_clear(mt_stream *s);
int64_t mt_nack_tick(mt_core *core, int64_t now);
void mt_want_keyframe(mt_core *core, mt_stream *s, int64_t now);
void mt_keyframe_came(mt_stream *s);
int64_t mt_keyframe_tick(mt_core *core, int64_t now);

/* producer.c */
void mt_producer_add(mt_core *core, const mt_command *c);
void mt_producer_remove(mt_core *core, mt_producer *p);
void mt_producer_pause(mt_core *core, mt_producer *p, bool paused, int64_t now);
void mt_producer_want_keyframe(mt_core *core, mt_producer *p, int64_t now);
void mt_producer_forward(mt_core *core, mt_stream *s, mt_packet *packet, int64_t now);
void mt_producer_choose_layers(mt_core *core, mt_producer *p, bool may_fall, int64_t now);
void mt_producer_round(mt_core *core, mt_producer *p, int64_t now);
void mt_producer_level(mt_core *core, mt_producer *p, uint8_t extension, int64_t now);

/* cross.c */
void mt_link_join(mt_core *core, mt_link *link, mt_side side);
void mt_links_round(mt_core *core);

/* relay.c */
void mt_relay_start(mt_core *core, const mt_command *c, int64_t now);
void mt_relay_stop(mt_core *core, const mt_command *c);
void mt_relay_end(mt_relay *r);
void mt_relay_round(mt_core *core, mt_producer *p, int64_t now);
void mt_relay_packet(mt_core *core, mt_stream *s, const mt_packet *p, bool arrived);
void mt_relay_state(mt_core *core, mt_stream *s, int64_t now);
bool mt_relay_listens(const mt_stream *s);
void mt_relay_wish(mt_core *core, mt_link_end *end, const mt_wish *w, int64_t now);
void mt_producer_end_relays(mt_core *core, mt_producer *p);
void mt_relays_end(mt_link_end *end);

/* mirror.c */
void mt_mirror_listen(const mt_core *core, const mt_consumer *c, int64_t now); /* it may listen to more than before */
bool mt_mirror_wish_keyframe(mt_producer *m, const mt_stream *s, bool listened); /* false: not now */
void mt_mirror_leave(mt_producer *m);
void mt_mirrors_lose(mt_core *core, mt_link_end *end, int64_t now);
void mt_mirror_round(mt_core *core, mt_producer *m, int64_t now);
void mt_mirror_take(mt_core *core, mt_link_end *end, const mt_crossing *m, int64_t now);

/* consumer.c */
void mt_consumer_add(mt_core *core, int64_t now, const mt_command *c);
void mt_consumer_remove(mt_core *core, mt_consumer *c);
void mt_consumer_pause(mt_core *core, mt_consumer *c, bool paused, int64_t now);
void mt_consumer_halt(mt_core *core, mt_consumer *c); /* nothing flows until a new stretch begins */
void mt_consumer_close_epoch(mt_consumer *c);
void mt_consumer_cut(mt_consumer *c, const mt_stream *s, bool reset);
/* `may_fall`: to a lower one too */
void mt_consumer_choose_layer(mt_core *core, mt_consumer *c, bool may_fall, int64_t now);
bool mt_consumer_listens(const mt_consumer *c, const mt_stream *s); /* forwards it, or wants to */
void mt_consumer_want_keyframe(mt_core *core, mt_consumer *c, int64_t now);
/* Its client asks for one, of `s` or (NULL) of what it waits for; now, or put off. */
void mt_consumer_ask_keyframe(mt_core *core, mt_consumer *c, mt_stream *s, int64_t now);
void mt_owed_round(mt_core *core, int64_t now); /* key frames that were put off */
void mt_consumer_begin(mt_core *core, mt_consumer *c,
                       int64_t now); /* it can be sent to: begin with a key frame, from the history or wanted */

/* forward.c */
void mt_consumer_forward(mt_core *core, mt_consumer *c, mt_stream *s, mt_packet *packet, int64_t now);
bool mt_consumer_catch_up(mt_core *core, mt_consumer *c, int64_t now); /* begin with a key frame of the history */

/* send.c */
typedef struct {
  uint64_t sequence;
  uint32_t timestamp;
  uint16_t picture_id;
  uint8_t tl0picidx;
} mt_numbers; /* what a packet is rewritten to */
void mt_consumer_send(mt_core *core, mt_consumer *c, const mt_epoch *e, const mt_packet *p, const mt_numbers *n, int64_t now);
void mt_consumer_resend(mt_core *core, mt_consumer *c, uint16_t sequence, int64_t now);

/* stats.c */
mt_stats *mt_stats_take(mt_core *core, int64_t now); /* NULL: no memory */

#endif
