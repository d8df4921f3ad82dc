/* See rfc4571.h. */
#include "formats/rfc4571.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 8192 }; /* bytes */

mt_rfc4571_result mt_rfc4571_next_untrusted(const uint8_t *p, size_t n, size_t *at, const uint8_t **payload, size_t *len) {
  size_t left = n - *at;
  if (left < MT_RFC4571_HEADER) return MT_RFC4571_PART;
  *len = (size_t)p[*at] << 8 | p[*at + 1];
  if (*len == 0 || *len > MT_DATAGRAM_MAX) return MT_RFC4571_BAD;
  if (left - MT_RFC4571_HEADER < *len) return MT_RFC4571_PART;
  *payload = p + *at + MT_RFC4571_HEADER;
  *at += MT_RFC4571_HEADER + *len;
  return MT_RFC4571_WHOLE;
}

static bool grow(mt_rfc4571_queue *q, size_t needed) {
  size_t room = q->room ? q->room : FIRST_ROOM;
  struct iovec pieces[2];
  while (room < needed) room *= 2;
  if (room > q->limit) room = q->limit;
  uint8_t *bytes = malloc(room);
  if (!bytes) return false;
  size_t at = 0;
  unsigned count = mt_rfc4571_pieces(q, pieces);
  for (unsigned i = 0; i < count; i++) {
    memcpy(bytes + at, pieces[i].iov_base, pieces[i].iov_len);
    at += pieces[i].iov_len;
  }
  free(q->bytes);
  q->bytes = bytes;
  q->room = room;
  q->start = 0;
  return true;
}

static void append(mt_rfc4571_queue *q, const uint8_t *p, size_t n) {
  size_t at = (q->start + q->used) % q->room;
  size_t first = n < q->room - at ? n : q->room - at;
  memcpy(q->bytes + at, p, first);
  memcpy(q->bytes, p + first, n - first);
  q->used += n;
}

bool mt_rfc4571_put(mt_rfc4571_queue *q, const uint8_t *payload, size_t len) {
  const uint8_t header[MT_RFC4571_HEADER] = {(uint8_t)(len >> 8), (uint8_t)len};
  size_t needed = q->used + MT_RFC4571_HEADER + len;
  if (needed > q->limit || (needed > q->room && !grow(q, needed))) return false;
  append(q, header, sizeof header);
  append(q, payload, len);
  return true;
}

unsigned mt_rfc4571_pieces(const mt_rfc4571_queue *q, struct iovec out[2]) {
  if (!q->used) return 0;
  size_t first = q->used < q->room - q->start ? q->used : q->room - q->start;
  out[0] = (struct iovec){q->bytes + q->start, first};
  out[1] = (struct iovec){q->bytes, q->used - first};
  return first < q->used ? 2 : 1;
}

void mt_rfc4571_sent(mt_rfc4571_queue *q, size_t n) {
  q->used -= n;
  q->start = q->used ? (q->start + n) % q->room : 0;
}

void mt_rfc4571_trim(mt_rfc4571_queue *q) {
  if (!q->used) mt_rfc4571_free(q);
}

void mt_rfc4571_free(mt_rfc4571_queue *q) {
  free(q->bytes);
  q->bytes = NULL;
  q->room = q->start = q->used = 0;
}
