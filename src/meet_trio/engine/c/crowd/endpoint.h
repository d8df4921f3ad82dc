/* An endpoint: the client's end of one transport, as a browser is it towards an SFU: ICE's controlling side, SRTP, the feeds that
 * it sends and the streams that it views, and RTCP. It has no socket and no clock.
 *
 * ICE: the caller brings one signed connectivity check, which is sent again and again until it is answered, and then every 2.5 s
 * for consent (RFC 7675). DTLS goes up to the caller, which brings the keys. A plain transport has neither.
 *
 * RTCP: SR for feeds each second, RR for viewed streams each second, NACKs, and transport-wide feedback ten times a second. It
 * answers NACKs by retransmissions, and PLI and FIR by a key frame.
 */
#ifndef MT_CROWD_ENDPOINT_H
#define MT_CROWD_ENDPOINT_H

#include "crowd/feed.h"
#include "crowd/totals.h"
#include "crowd/viewed.h"

enum {
  MT_CHECK_BYTES = 256,      /* of a connectivity check at most */
  MT_ARRIVALS = 1024,        /* packets that wait for feedback at most */
  MT_UNKNOWN = 64,           /* SSRCs of no known stream that are remembered */
  MT_ENDPOINT_ROUND = 20000, /* us: mt_endpoint_round is called this often */
};

typedef enum {
  MT_ENDPOINT_ANSWERED = 1, /* its check was answered for the first time */
  MT_ENDPOINT_DTLS,         /* data: a datagram */
  MT_ENDPOINT_FIRST,        /* a viewed stream has begun; number: its SSRC */
} mt_endpoint_event;

typedef struct {
  void *context;
  /* Sends a datagram, by the RTCP socket of a plain transport if `rtcp`. */
  void (*send)(void *context, uint32_t endpoint, bool rtcp, const uint8_t *p, size_t n);
  void (*event)(void *context, mt_endpoint_event event, uint32_t endpoint, uint32_t number, int64_t at, const uint8_t *p, size_t n);
} mt_endpoint_sink;

typedef struct {
  uint32_t id;
  uint32_t ssrc;           /* of its RTCP, if it sends nothing else */
  uint8_t transport_cc_id; /* of the header extension in viewed streams; 0: no feedback */
  uint16_t check_len;      /* 0: a plain transport */
  uint8_t check[MT_CHECK_BYTES];
} mt_endpoint_spec;

typedef struct mt_endpoint {
  mt_endpoint_spec spec;
  const mt_endpoint_sink *sink;
  mt_crowd_totals *totals;
  mt_srtp *srtp; /* NULL: no keys yet */
  bool answered;
  int64_t check_due, check_wait;
  uint32_t rtcp_index;
  uint16_t transport_number; /* of the next packet that is sent */
  mt_feed *feeds;
  mt_viewed *viewed;
  mt_table by_ssrc;
  /* Media may come before signaling has told of its stream. */
  struct {
    uint32_t ssrc, packets;
  } unknown[MT_UNKNOWN];
  unsigned unknown_count;
  mt_srtp_window probing_window;
  int64_t report_due, feedback_due;
  /* transport-wide numbers that came and were not reported yet */
  bool has_arrivals;
  uint64_t arrivals_next, arrivals_end;
  uint8_t feedback_count;
  uint32_t feedback_ssrc;
  int64_t *arrivals; /* MT_ARRIVALS, or NULL */
} mt_endpoint;

/* NULL: no memory. `totals` outlives it. */
mt_endpoint *mt_endpoint_new(const mt_endpoint_spec *spec, const mt_endpoint_sink *sink, mt_crowd_totals *totals, int64_t now);
void mt_endpoint_free(mt_endpoint *e); /* with its feeds and viewed streams */
/* False: no memory, or unknown profile. Media flows from then on. */
bool mt_endpoint_set_keys(mt_endpoint *e, uint32_t profile, const uint8_t *tx, const uint8_t *rx);
void mt_endpoint_add_feed(mt_endpoint *e, mt_feed *s);
bool mt_endpoint_add_viewed(mt_endpoint *e, const mt_viewed_spec *spec); /* false: no memory */

/* Takes a datagram, which is changed. `now`: when it came. */
void mt_endpoint_take(mt_endpoint *e, int64_t now, uint8_t *p, size_t n);
void mt_endpoint_send_frame(mt_endpoint *e, mt_feed *s, int64_t now); /* the frame that is due */
void mt_endpoint_round(mt_endpoint *e, int64_t now);                  /* checks and RTCP that are due */

#endif
