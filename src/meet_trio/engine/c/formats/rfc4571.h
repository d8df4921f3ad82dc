/* RFC 4571 section 2: datagrams on a byte stream, each after its length (16 bits, big endian).
 *
 * The reader finds frames in bytes that have come and copies nothing. The queue keeps frames that wait to be sent, in a bounded
 * ring of bytes. Neither of them reads or writes a socket. A frame of 0 bytes or of more than MT_DATAGRAM_MAX is an
 * error.
 */
#ifndef MT_FORMATS_RFC4571_H
#define MT_FORMATS_RFC4571_H

#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { MT_RFC4571_HEADER = 2, MT_RFC4571_MAX = MT_RFC4571_HEADER + MT_DATAGRAM_MAX }; /* bytes: the length, and the largest frame */

typedef enum { MT_RFC4571_BAD = -1, MT_RFC4571_PART = 0, MT_RFC4571_WHOLE = 1 } mt_rfc4571_result;

/* Reads the frame at offset `*at` of the `n` bytes at `p`.
 * WHOLE: `*payload` and `*len` (1 to MT_DATAGRAM_MAX bytes) are the datagram, and `*at` is the offset after the frame.
 * PART: the remaining bytes, fewer than MT_RFC4571_MAX, are the beginning of a frame.
 * BAD: the length is not allowed, and the boundaries of all later frames are lost. */
mt_rfc4571_result mt_rfc4571_next_untrusted(const uint8_t *p, size_t n, size_t *at, const uint8_t **payload, size_t *len);

typedef struct {
  uint8_t *bytes;     /* a ring of `room` bytes; NULL: none is allocated */
  size_t room, limit; /* bytes; `room` grows up to `limit`, which the owner sets */
  size_t start, used; /* bytes: offset of the oldest one, and how many are queued */
} mt_rfc4571_queue;   /* zeros: empty, with a limit of 0 */

/* Queues a frame. `len`: 1 to MT_DATAGRAM_MAX bytes. False: `limit` is reached or there is no memory, and the queue is
 * unchanged. */
bool mt_rfc4571_put(mt_rfc4571_queue *q, const uint8_t *payload, size_t len);
/* The queued bytes, oldest first, in at most two pieces. Returns the number of pieces. */
unsigned mt_rfc4571_pieces(const mt_rfc4571_queue *q, struct iovec out[2]);
void mt_rfc4571_sent(mt_rfc4571_queue *q, size_t n); /* removes the oldest `n` bytes, which may end inside a frame */
void mt_rfc4571_trim(mt_rfc4571_queue *q);           /* frees the memory of an empty queue */
void mt_rfc4571_free(mt_rfc4571_queue *q);           /* frees the memory and drops all that is queued; the limit stays */

#endif
