/* A feed: the packets of one encoding, as a browser would send them. It has no socket, keys or clock.
 *
 * A video feed makes frames at a steady rate. A frame's packets are of near-equal length and leave at once; the last ones are one
 * byte longer, as libwebrtc's are. The payloads have a VP8 descriptor with picture id and TL0PICIDX and the header of a frame; the
 * rest is no picture. A key frame is made at the beginning, when one was asked for, and now and then. An audio feed's frames are
 * one packet.
 *
 * The last packets of a video feed are kept for retransmission (RFC 4588).
 */
#ifndef MT_CROWD_FEED_H
#define MT_CROWD_FEED_H

#include "crowd/label.h"
#include "state/specs.h"

enum {
  MT_FEED_MAX_PAYLOAD = 1400, /* bytes: with header and tag below an MTU of 1500 */
  MT_FEED_MAX_PACKETS = 256,  /* of a frame */
  MT_FEED_KEPT = 256,         /* packets, for retransmission */
  MT_FEED_HEADER = 96,        /* bytes that a header has at most */
};

typedef struct {
  bool video;
  uint32_t number;         /* in its labels */
  uint32_t ssrc, rtx_ssrc; /* rtx_ssrc 0: none */
  uint8_t payload_type, rtx_payload_type;
  uint32_t clock_rate;                  /* Hz */
  uint32_t interval_us;                 /* from frame to frame */
  uint32_t frame_bytes, keyframe_bytes; /* of payload */
  uint32_t packet_bytes;                /* of a packet's payload at most */
  uint32_t keyframe_interval;           /* frames; 0: only when asked for */
  uint8_t ext_ids[MT_EXT_COUNT];        /* by mt_ext_kind; 0: not negotiated. Others than those of a browser are not sent */
  mt_text mid, rid, cname;              /* empty: none */
} mt_feed_spec;

typedef struct {
  uint64_t index;
  uint16_t len, header_len; /* bytes; len 0: none */
  uint8_t bytes[MT_FEED_HEADER + MT_FEED_MAX_PAYLOAD];
} mt_feed_packet;

typedef struct mt_feed {
  mt_feed_spec spec;
  int64_t due;        /* when the next frame leaves, in us */
  int64_t report_due; /* the next SR */
  bool keyframe_wanted;
  uint64_t index, rtx_index; /* SRTP's, of the next packet */
  uint32_t next_number;
  uint64_t frames, since_keyframe;
  uint32_t timestamp;      /* of the present frame */
  uint32_t octets;         /* of payload, sent so far */
  bool is_keyframe;        /* the present frame */
  uint32_t bytes, packets; /* of the present frame */
  mt_feed_packet *kept;    /* NULL: an audio feed */
  struct mt_feed *next;    /* of the same endpoint */
  void *owner;
} mt_feed;

/* `first_index`: below 2^15. NULL: no memory, or impossible lengths. */
mt_feed *mt_feed_new(const mt_feed_spec *spec, uint64_t first_index, int64_t first_due);
void mt_feed_free(mt_feed *s);

/* Begins the frame that is due and returns the number of its packets. */
unsigned mt_feed_begin(mt_feed *s);
/* Writes the `i`-th packet of the frame and keeps it; the caller takes them in order. `out` has room for MT_DATAGRAM_MAX bytes.
 * Returns its length in bytes, without a tag of SRTP. `transport_number`: its transport-wide number. */
size_t mt_feed_write(mt_feed *s, unsigned i, int64_t now, uint16_t transport_number, uint8_t *out, size_t *header_len,
                     uint64_t *index);
/* Writes the retransmission of the packet with this RTP sequence number. Returns its length in bytes; 0: it is not kept. */
size_t mt_feed_repeat(mt_feed *s, uint16_t sequence, int64_t now, uint16_t transport_number, uint8_t *out, size_t *header_len,
                      uint64_t *index);

#endif
