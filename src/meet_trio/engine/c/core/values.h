/* What is kept of a transport, a producer and a consumer, as plain values, and these as blobs.
 *
 * The values are independent of the layout of the objects. A blob begins with its kind and its version. An older version is read, a
 * newer one is not. Each kind of blob has its own version, which rises when a member is added. Members are only added, at the end.
 *
 * Nothing here is trusted: reading checks bounds, flags and counts, so that a value that was read can be used as an index. What a
 * value means in an object is checked when it is used (core/resume.h).
 */
#ifndef MT_CORE_VALUES_H
#define MT_CORE_VALUES_H

#include "base/ledger.h"
#include "egress/numbering.h"
#include "formats/blob.h"
#include "state/core_state.h"

enum { /* first byte of a blob */
       MT_BLOB_TRANSPORT = 1,
       MT_BLOB_PRODUCER,
       MT_BLOB_CONSUMER,
};

enum { /* second byte: the newest version of each */
       MT_TRANSPORT_VERSION = 2,
       MT_PRODUCER_VERSION = 1,
       MT_CONSUMER_VERSION = 2,
};

enum {
  MT_MOST_KEPT_SOURCES = 16384, /* of a transport; more are left out */
  MT_LEDGERS = 3,
};

typedef struct {
  uint32_t ssrc;
  mt_srtp_window rtp, rtcp;
} mt_kept_source;

enum { MT_ENDED, MT_SENT, MT_SENT_BEFORE }; /* ledgers */

typedef struct {
  int64_t ended; /* when the process was known to be alive for the last time */
  bool was_connected;
  int64_t heard;
  bool has_route; /* the next two are of the selected route, which is of UDP */
  mt_path route;
  int64_t route_seen;
  bool has_before; /* there are credentials of before an ICE restart */
  mt_ice_spec before;
  bool plain;      /* the next two are set */
  mt_path ends[2]; /* RTP, RTCP */
  bool fixed[2];
  uint32_t srtcp_next, srtcp_ceiling, rtcp_ssrc;
  uint16_t twcc_next;
  uint64_t max_outgoing; /* bit/s; 0: none */
  uint64_t link;         /* bit/s: last estimate of the link to the client; 0: none */
  uint32_t source_count;
  mt_kept_source *sources;
  uint32_t ledger_counts[MT_LEDGERS];
  mt_ledger_entry *ledgers[MT_LEDGERS]; /* members only */
} mt_kept_transport;

typedef struct {
  bool has_main, has_rtx;
  uint32_t main, rtx; /* SSRCs */
  uint64_t generation;
  bool started;
  int64_t last_arrival;
  uint32_t frames, frames_of_others[MT_MAX_ENCODINGS];
  uint64_t base, highest;
  uint8_t fir_sequence;
  mt_dd_structure structure;
  uint64_t structure_sequence;
  bool has_picture;
  uint64_t picture_first;
  uint32_t picture_timestamp;
  uint16_t picture_frame;
  uint32_t rtt_us;
  uint8_t loss_level;
  double loss_share;
  int64_t reorder_us;
  bool has_sr;
  uint64_t sr_ntp;
  uint32_t sr_timestamp;
  int64_t sr_arrival;
  double jitter;
  uint64_t received, reported_expected, reported_received;
  int64_t lost_counted;
  uint64_t packets, bytes;
  uint16_t width, height;
  mt_layer_rates layers; /* the sums, `alone` and `kept` */
} mt_kept_stream;

typedef struct {
  int64_t ended;
  uint8_t count;
  mt_kept_stream streams[MT_MAX_ENCODINGS];
} mt_kept_producer;

typedef struct {
  int64_t ended;
  uint64_t next, rtx_next; /* SRTP indices; rtx_next 0: there is no RTX */
  uint64_t ceiling, rtx_ceiling;
  bool started;
  uint64_t first, highest, newest_sent, last_keyframe;
  int64_t last_sent, keyframe_sent;
  uint32_t last_timestamp;
  uint16_t last_picture;
  uint8_t last_tl0;
  bool has_picture, last_marker, playout_written;
  uint64_t packets, octets;
  uint64_t packets_reported;
  int64_t lost_reported, lost_counted;
  int64_t keyframes_paid;
  int8_t target;
  uint8_t temporal;
  bool has_epoch; /* the rest is set; the epoch is the current one */
  bool open;
  uint8_t stream;
  uint64_t epoch_first, epoch_last, newest, sequence_delta; /* `newest`: of the stream, sent or left out; of an open epoch */
  mt_timing timing;
  uint16_t picture_delta;
  uint8_t tl0_delta;
  bool frame_known, frame_left_out;
  uint32_t frame_timestamp;
  mt_svc svc;
  bool has_numbering;
  mt_numbering numbering;
} mt_kept_consumer;

/* Each writes, measures or reads its record; see formats/blob.h. Reading a transport allocates its arrays, also if it fails. */
void mt_blob_transport(mt_blob *b, mt_kept_transport *t);
void mt_blob_producer(mt_blob *b, mt_kept_producer *p);
void mt_blob_consumer(mt_blob *b, mt_kept_consumer *c);
void mt_kept_transport_free(mt_kept_transport *t); /* its arrays; wipes the password */

#endif
