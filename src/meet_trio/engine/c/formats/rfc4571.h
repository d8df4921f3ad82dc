/* RFC 4571: datagrams on a stream, each behind its length (16 bits, big endian). Reading them out of what has come, and a bounded
 * queue of those that wait to be sent.
 */
#ifndef MT_FORMATS_RFC4571_H
#define MT_FORMATS_RFC4571_H

#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { MT_FRAME_HEADER = 2, MT_FRAME_MAX = MT_FRAME_HEADER + MT_DATAGRAM_MAX };

typedef enum { MT_FRAME_BAD = -1, MT_FRAME_PART = 0, MT_FRAME_WHOLE = 1 } mt_frame;

/* The frame at `*at` of `n` bytes. WHOLE: `*payload`, `*len` (1 to MT_DATAGRAM_MAX), and `*at` is behind it. PART: the rest
 * (less than MT_FRAME_MAX bytes) is the beginning of one. BAD: nothing that follows means anything. */
mt_frame mt_frame_next_untrusted(const uint8_t *p, size_t n, size_t *at, const uint8_t **payload, size_t *len);

typedef struct {
  uint8_t *bytes; /* a ring; allocated when it is needed, and grown up to `limit` */
  size_t room, limit, start, used;
} mt_frame_queue;

/* False: it does not fit, nothing was done. `len`: 1 to MT_DATAGRAM_MAX */
bool mt_frame_put(mt_frame_queue *q, const uint8_t *payload, size_t len);
/* What is queued, oldest first, in one or two pieces; returns how many. */
unsigned mt_frame_pieces(const mt_frame_queue *q, struct iovec out[2]);
void mt_frame_sent(mt_frame_queue *q, size_t n); /* the oldest `n` bytes, whole frames or not */
void mt_frame_rest(mt_frame_queue *q);           /* gives memory back when nothing is queued */
void mt_frame_free(mt_frame_queue *q);

#endif
