/* RFC 4571 framing: streams cut anywhere, impossible lengths, and the queue around its ring and at its limit. */
#include "formats/rfc4571.c"

#include "check.h"

static mt_rfc4571_result next(bytes b, size_t *at, const uint8_t **payload, size_t *len) {
  return mt_rfc4571_next_untrusted(b.p, b.n, at, payload, len);
}

static void test_frames(void) {
  bytes b = bytes_hex("0001 16 0003 800102 0002 00");
  const uint8_t *payload;
  size_t at = 0, len;
  CHECK(next(b, &at, &payload, &len) == MT_RFC4571_WHOLE && len == 1 && payload == b.p + 2 && at == 3);
  CHECK(next(b, &at, &payload, &len) == MT_RFC4571_WHOLE && len == 3 && payload == b.p + 5 && at == 8);
  CHECK(next(b, &at, &payload, &len) == MT_RFC4571_PART && at == 8);
  free(b.p);
}

static mt_rfc4571_result first_of(const char *hex) {
  bytes b = bytes_hex(hex);
  const uint8_t *payload;
  size_t at = 0, len;
  mt_rfc4571_result found = next(b, &at, &payload, &len);
  free(b.p);
  return found;
}

static void test_lengths(void) {
  CHECK(first_of("") == MT_RFC4571_PART);
  CHECK(first_of("00") == MT_RFC4571_PART);
  CHECK(first_of("0800") == MT_RFC4571_PART); /* the longest */
  CHECK(first_of("0801") == MT_RFC4571_BAD);
  CHECK(first_of("ffff 00") == MT_RFC4571_BAD);
  CHECK(first_of("0000") == MT_RFC4571_BAD);
  bytes b = {calloc(1, MT_RFC4571_MAX), MT_RFC4571_MAX};
  const uint8_t *payload;
  size_t at = 0, len;
  b.p[0] = 8;
  CHECK(next(b, &at, &payload, &len) == MT_RFC4571_WHOLE && len == MT_DATAGRAM_MAX && at == MT_RFC4571_MAX);
  free(b.p);
}

/* The queued bytes, in one piece. */
static bytes all(const mt_rfc4571_queue *q) {
  struct iovec pieces[2];
  bytes b = {malloc(q->used + 1), 0};
  unsigned count = mt_rfc4571_pieces(q, pieces);
  for (unsigned i = 0; i < count; i++) {
    memcpy(b.p + b.n, pieces[i].iov_base, pieces[i].iov_len);
    b.n += pieces[i].iov_len;
  }
  return b;
}

static void test_queue_limit(void) {
  mt_rfc4571_queue q = {.limit = 5000};
  uint8_t data[MT_DATAGRAM_MAX] = {1};
  CHECK(mt_rfc4571_put(&q, data, 2048) && mt_rfc4571_put(&q, data, 2048));
  CHECK(!mt_rfc4571_put(&q, data, 2048) && q.used == 4100); /* no part of it is queued */
  CHECK(mt_rfc4571_put(&q, data, 898) && q.used == 5000 && !mt_rfc4571_put(&q, data, 1));
  mt_rfc4571_trim(&q);
  CHECK(q.bytes && q.used == 5000);
  mt_rfc4571_sent(&q, 4999);
  CHECK(mt_rfc4571_put(&q, data, 2048) && q.room == 5000);
  mt_rfc4571_sent(&q, q.used);
  mt_rfc4571_trim(&q);
  CHECK(!q.bytes && !q.room);
  CHECK(mt_rfc4571_put(&q, data, 1));
  mt_rfc4571_free(&q);
}

/* Frames of any size go in, bytes in portions of any size come out: the output is the input, in order. */
static void test_queue_order(unsigned seed) {
  mt_rfc4571_queue q = {.limit = 40000};
  uint8_t data[MT_DATAGRAM_MAX], in = 0, out = 0;
  unsigned put = 0, refused = 0, taken = 0;
  bytes stream = {malloc(1 << 16), 0};
  srand(seed);
  for (unsigned i = 0; i < 20000; i++) {
    size_t len = 1 + (size_t)rand() % (rand() % 4 ? 100 : MT_DATAGRAM_MAX);
    memset(data, in, len);
    if (mt_rfc4571_put(&q, data, len)) in++, put++;
    else refused++;
    if (rand() % 12) continue;
    bytes waiting = all(&q);
    size_t n = waiting.n ? (size_t)rand() % (waiting.n < 6000 ? waiting.n + 1 : 6000) : 0;
    memcpy(stream.p + stream.n, waiting.p, n);
    stream.n += n;
    mt_rfc4571_sent(&q, n);
    free(waiting.p);
    const uint8_t *payload;
    size_t at = 0;
    while (next(stream, &at, &payload, &len) == MT_RFC4571_WHOLE) {
      taken++;
      bool same = payload[0] == out && payload[len - 1] == out;
      CHECK(same);
      out++;
    }
    memmove(stream.p, stream.p + at, stream.n - at);
    stream.n -= at;
  }
  CHECK(put > taken && taken > 1000 && refused > 10);
  free(stream.p);
  mt_rfc4571_free(&q);
}

int main(void) {
  test_frames();
  test_lengths();
  test_queue_limit();
  for (unsigned seed = 1; seed <= 5; seed++) test_queue_order(seed);
  return check_result();
}
