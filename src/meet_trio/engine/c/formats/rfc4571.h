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

enum { MT_RFC4571_HEADER = 2, MT_RFC4571_MAX = MT_RFC4571_HEADER + MT_DATAGRAM_MAX };

typedef enum { MT_RFC4571_BAD = -1, MT_RFC4571_PART = 0, MT_RFC4571_WHOLE = 1 } mt_rfc4571_result;

/* The frame at `*at` of `n` bytes. WHOLE: `*payload`, `*len` (1 to MT_DATAGRAM_MAX), and `*at` is behind it. PART: the rest
 * (less than MT_RFC4571_MAX bytes) is the beginning of one. BAD: nothing that follows means anything. */
mt_rfc4571_result mt_rfc4571_next_untrusted(const uint8_t *p, size_t n, size_t *at, const uint8_t **payload, size_t *len);

typedef struct {
  uint8_t *bytes; /* a ring; allocated when it is needed, and grown up to `limit` */
  size_t room, limit, start, used;
} mt_rfc4571_queue;

/* False: it does not fit, nothing was done. `len`: 1 to MT_DATAGRAM_MAX */
bool mt_rfc4571_put(mt_rfc4571_queue *q, const uint8_t *payload, size_t len);
/* What is queued, oldest first, in one or two pieces; returns how many. */
unsigned mt_rfc4571_pieces(const mt_rfc4571_queue *q, struct iovec out[2]);
void mt_rfc4571_sent(mt_rfc4571_queue *q, size_t n); /* the oldest `n` bytes, whole frames or not */
void mt_rfc4571_rest(mt_rfc4571_queue *q);           /* gives memory back when nothing is queued */
void mt_rfc4571_free(mt_rfc4571_queue *q);

#endif
