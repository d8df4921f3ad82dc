/* A viewed stream: one SSRC that a crowd receives, and the check of each packet of it.
 *
 * A packet is authentic, comes once, and has the label of the stream's feed. A number that does not come is lost until it comes
 * late or as a retransmission. Numbers that have not come are asked for by NACKs, a few times. Without RTX a retransmission is the
 * packet itself, once more (RFC 4585 section 6.2.1). If the first copy was only late, both come: that is no fault of the server's,
 * as long as no more copies come than were asked for.
 *
 * A server may leave packets out and number the others without a gap. Then the distance from a packet's number to its label's
 * number grows, as long as both are of the same feed: these packets are counted too.
 */
#ifndef MT_CROWD_VIEWED_H
#define MT_CROWD_VIEWED_H

#include "base/limits.h"
#include "base/table.h"
#include "crowd/totals.h"
#include "formats/rtcp.h"
#include "formats/rtp.h"
#include "formats/srtp.h"

enum {
  MT_VIEWED_MISSING = 64,    /* numbers that are asked for at a time, and the latest that were */
  MT_VIEWED_NACK_TRIES = 10, /* for a number */
  MT_VIEWED_NACK_US = 60000, /* from one NACK for a number to the next */
  MT_VIEWED_LAYERS = 3,      /* low bits of a feed's number: which encoding of it */
};

typedef struct {
  bool video, nack;
  uint32_t ssrc, rtx_ssrc; /* rtx_ssrc 0: none */
  uint32_t clock_rate;     /* Hz */
  uint32_t feed;           /* the number in its labels, apart from MT_VIEWED_LAYERS */
} mt_viewed_spec;

typedef struct {
  uint64_t index;
  int64_t asked; /* us: the last NACK; 0: none */
  uint8_t tries;
} mt_missing_number;

typedef struct {
  uint64_t index;
  uint8_t copies; /* that were asked for and have not come; 0: the place is free */
} mt_asked_number;

typedef struct { /* the place of an SSRC in a table */
  mt_node node;
  struct mt_viewed *viewed;
} mt_viewed_key;

typedef struct mt_viewed {
  mt_viewed_spec spec;
  mt_viewed_key key, rtx_key;
  mt_srtp_window window, rtx_window;
  uint64_t first, received; /* the first index; packets that came, each once */
  uint32_t labelled_feed;   /* of the packet before */
  bool has_label;
  uint32_t distance; /* from the low bits of an index to its label's number */
  unsigned missing_count;
  mt_missing_number missing[MT_VIEWED_MISSING];
  mt_asked_number asked[MT_VIEWED_MISSING]; /* of a stream without RTX; a ring */
  unsigned next_asked;
  /* for reports */
  uint64_t reported_highest, reported_received;
  double jitter; /* clock units */
  bool has_transit;
  int64_t transit;
  uint32_t last_sr;
  int64_t last_sr_came;
  struct mt_viewed *next; /* of the same endpoint */
} mt_viewed;

typedef enum {
  MT_VIEWED_REFUSED = 0, /* not authentic, or there already */
  MT_VIEWED_TAKEN,
  MT_VIEWED_BEGUN, /* taken, and the stream's first */
} mt_viewed_result;

/* Takes a packet of the stream's SSRC or RTX SSRC: decrypts it in place, and counts it. `h` is its header. `arrived`: us. */
mt_viewed_result mt_viewed_take(mt_viewed *v, mt_srtp *srtp, mt_crowd_totals *totals, uint8_t *p, size_t n, const mt_rtp *h,
                                int64_t arrived);
uint64_t mt_viewed_lost(const mt_viewed *v); /* numbers that have not come so far */
/* The numbers to ask for now, ascending. Returns how many. */
unsigned mt_viewed_nacks(mt_viewed *v, int64_t now, uint16_t out[MT_VIEWED_MISSING]);
void mt_viewed_sender_report(mt_viewed *v, const mt_rtcp_sender_info *info, int64_t now);
/* The report block of the time since the last one. False: nothing has come yet. */
bool mt_viewed_report(mt_viewed *v, int64_t now, mt_rtcp_report *out);

#endif
