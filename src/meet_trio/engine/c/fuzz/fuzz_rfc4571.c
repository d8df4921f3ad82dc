/* RFC 4571 framing: a stream gives the same frames and the same end wherever it is cut; queued bytes come out unchanged. */
#include "formats/rfc4571.c"

#include "fuzz.h"

const char *const mt_fuzz_seeds[] = {
    "0001 16 0003 800102 0004 00010000",
    "0800",
    "0801 00",
    "0000",
    "0002 8001 0000",
    "0014 00010000 2112a442 000102030405060708090a0b 0001 16",
    NULL,
};

typedef struct {
  size_t count, bytes, hash;
  mt_rfc4571_result end;
} result;

static void note(result *r, const uint8_t *payload, size_t len) {
  MUST(len >= 1 && len <= MT_DATAGRAM_MAX);
  r->count++;
  r->bytes += len;
  for (size_t i = 0; i < len; i++) r->hash = r->hash * 31 + payload[i];
}

static result whole(const uint8_t *p, size_t n) {
  result r = {0};
  size_t at = 0, len;
  const uint8_t *payload;
  while ((r.end = mt_rfc4571_next_untrusted(p, n, &at, &payload, &len)) == MT_RFC4571_WHOLE) {
    MUST(payload + len == p + at && at <= n);
    note(&r, payload, len);
  }
  MUST(r.end == MT_RFC4571_BAD || n - at < MT_RFC4571_MAX);
  return r;
}

/* Like a connection: the rest of a piece is put before the next one. */
static result by_pieces(const uint8_t *p, size_t n, size_t size) {
  result r = {0};
  uint8_t *in = malloc(MT_RFC4571_MAX + size);
  size_t part = 0;
  MUST(in);
  for (size_t from = 0; from < n && r.end != MT_RFC4571_BAD; from += size) {
    size_t more = n - from < size ? n - from : size, at = 0, len;
    const uint8_t *payload;
    memcpy(in + part, p + from, more);
    while ((r.end = mt_rfc4571_next_untrusted(in, part + more, &at, &payload, &len)) == MT_RFC4571_WHOLE) note(&r, payload, len);
    part = part + more - at;
    MUST(r.end == MT_RFC4571_BAD || part < MT_RFC4571_MAX);
    memmove(in, in + at, r.end == MT_RFC4571_BAD ? 0 : part);
  }
  free(in);
  return r;
}

static void through_queue(const uint8_t *p, size_t n) {
  mt_rfc4571_queue q = {.limit = 4096};
  struct iovec pieces[2];
  size_t at = 0, len, put = 0;
  const uint8_t *payload;
  while (mt_rfc4571_next_untrusted(p, n, &at, &payload, &len) == MT_RFC4571_WHOLE) {
    if (!mt_rfc4571_put(&q, payload, len)) break;
    put += MT_RFC4571_HEADER + len;
    MUST(q.used <= q.limit && q.room <= q.limit);
    if (len % 3 == 0) continue;
    unsigned count = mt_rfc4571_pieces(&q, pieces);
    MUST(count && memcmp(pieces[0].iov_base, p + put - q.used, pieces[0].iov_len) == 0);
    MUST(pieces[0].iov_len + (count > 1 ? pieces[1].iov_len : 0) == q.used);
    mt_rfc4571_sent(&q, q.used - q.used / 3);
  }
  mt_rfc4571_free(&q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *p = fuzz_exact(data, size);
  result r = whole(p, size);
  for (size_t piece = 1; piece < 70; piece += piece / 2 + 1) {
    result other = by_pieces(p, size, piece);
    MUST(other.count == r.count && other.bytes == r.bytes && other.hash == r.hash && (!size || other.end == r.end));
  }
  through_queue(p, size);
  free(p);
  return 0;
}
