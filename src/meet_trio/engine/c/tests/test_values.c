/* Blobs of what is kept: what is written is read, and what is cut, longer, of another kind or of a newer version is not. */
#include "core/values.c"

#include "check.h"

static uint64_t state = 1;

static uint8_t any(void) {
  state += UINT64_C(0x9e3779b97f4a7c15);
  return (uint8_t)(mt_hash64(state) >> 32);
}

typedef void (*description)(mt_blob *b, void *record);

static void of_transport(mt_blob *b, void *record) { mt_blob_transport(b, record); }
static void of_producer(mt_blob *b, void *record) { mt_blob_producer(b, record); }
static void of_consumer(mt_blob *b, void *record) { mt_blob_consumer(b, record); }

static bytes written(description describe, void *record) {
  mt_blob measured = mt_blob_measure();
  describe(&measured, record);
  bytes out = {calloc(1, measured.at), measured.at};
  mt_blob b = mt_blob_write(out.p, out.n);
  describe(&b, record);
  CHECK(!b.failed && b.at == out.n);
  return out;
}

/* True: the blob was read, and is written as it was. */
static bool reads(description describe, void *record, size_t size, const uint8_t *p, size_t n) {
  bytes exact = bytes_copy(p, n);
  memset(record, 0, size);
  mt_blob b = mt_blob_read(exact.p, exact.n);
  describe(&b, record);
  bool good = mt_blob_ended(&b);
  if (good) {
    bytes again = written(describe, record);
    CHECK(again.n == n && memcmp(again.p, p, n) == 0);
    free(again.p);
  }
  if (describe == of_transport) mt_kept_transport_free(record);
  free(exact.p);
  return good;
}

static void check(description describe, void *record, size_t size) {
  bytes blob = written(describe, record);
  void *read = calloc(1, size);
  CHECK(reads(describe, read, size, blob.p, blob.n));
  for (size_t n = 0; n < blob.n; n++) CHECK(!reads(describe, read, size, blob.p, n));
  bytes longer = {calloc(1, blob.n + 1), blob.n + 1};
  memcpy(longer.p, blob.p, blob.n);
  CHECK(!reads(describe, read, size, longer.p, longer.n));
  for (unsigned kind = 0; kind < 256; kind++) {
    longer.p[0] = (uint8_t)kind;
    CHECK(reads(describe, read, size, longer.p, blob.n) == (kind == blob.p[0]));
  }
  longer.p[0] = blob.p[0];
  for (unsigned version = 0; version < 256; version++) {
    longer.p[1] = (uint8_t)version;
    CHECK(reads(describe, read, size, longer.p, blob.n) == (version == blob.p[1]));
  }
  free(longer.p);
  free(read);
  free(blob.p);
}

static void test_transports(void) {
  mt_kept_source sources[3] = {{.ssrc = 1, .rtp = {.started = true, .highest = 70000}}, {.ssrc = 2}, {.ssrc = 3}};
  mt_ledger_entry ended[2] = {{.ssrc = 5, .rtp_next = 1}, {.ssrc = 6, .rtcp_next = 9, .rtp_next = UINT64_C(1) << 40}};
  sources[2].rtcp = (mt_srtp_window){.started = true, .highest = 5, .bits = {0x3f}};
  for (unsigned i = 0; i < 16; i++) sources[0].rtp.bits[i] = any();
  mt_kept_transport t = {
      .ended = -1,
      .was_connected = true,
      .heard = 12345678901,
      .has_route = true,
      .route = {.kind = MT_PATH_UDP, .family = 6, .port = 5000, .udp_socket = 1, .ip = {1, 2, 3}},
      .has_before = true,
      .before = {{3, "abc"}, {5, "passw"}},
      .srtcp_next = 77,
      .srtcp_ceiling = 99,
      .twcc_next = 65535,
      .link = 2500000,
      .source_count = 3,
      .sources = sources,
      .ledger_counts = {0, 2, 0},
      .ledgers = {NULL, ended, NULL},
  };
  check(of_transport, &t, sizeof t);
}

static void test_producers(void) {
  mt_kept_producer p = {.ended = 5, .count = 3};
  for (unsigned i = 0; i < 3; i++) {
    mt_kept_stream *s = &p.streams[i];
    *s = (mt_kept_stream){.has_main = true, .main = 1000 + i, .generation = i, .started = true, .highest = 1 << 20, .jitter = 1.5};
    s->structure.template_count = (uint8_t)(i * 3);
    s->structure.target_count = 2;
    for (unsigned k = 0; k < i * 3; k++) s->structure.templates[k] = (mt_dd_template){1, 2, any(), any()};
  }
  check(of_producer, &p, sizeof p);
}

static void test_consumers(void) {
  mt_kept_consumer c = {
      .next = 70001, .highest = 70000, .ceiling = 80000, .target = -1, .has_epoch = true, .open = true, .stream = 2};
  check(of_consumer, &c, sizeof c);
  c.has_numbering = true;
  for (unsigned i = 0; i < MT_NUMBERED_PACKETS; i++) c.numbering.packets_before[i] = any();
  check(of_consumer, &c, sizeof c);
  c.has_epoch = false;
  check(of_consumer, &c, sizeof c);
}

/* What an earlier version has written lacks the members at the end. */
static void test_earlier_versions(void) {
  mt_kept_consumer c = {.next = 70001, .ceiling = 80000, .target = -1}, read = {0};
  bytes b = written(of_consumer, &c);
  b.p[1] = 1;
  mt_blob cut = mt_blob_read(b.p, b.n - 2 * sizeof(uint64_t));
  mt_blob_consumer(&cut, &read);
  CHECK(mt_blob_ended(&cut) && read.next == 70001 && !read.ceiling);
  free(b.p);
  mt_kept_transport t = {.srtcp_next = 77, .srtcp_ceiling = 99}, other = {0};
  b = written(of_transport, &t);
  b.p[1] = 1;
  cut = mt_blob_read(b.p, b.n - sizeof(uint32_t));
  mt_blob_transport(&cut, &other);
  CHECK(mt_blob_ended(&cut) && other.srtcp_next == 77 && !other.srtcp_ceiling);
  mt_kept_transport_free(&other);
  free(b.p);
}

/* Values that would be an index. */
static void test_bounds(void) {
  mt_kept_consumer c = {.has_epoch = true}, read;
  mt_kept_producer p = {.count = 1}, other;
  c.target = MT_MAX_ENCODINGS;
  bytes b = written(of_consumer, &c);
  CHECK(!reads(of_consumer, &read, sizeof read, b.p, b.n));
  free(b.p);
  c.target = 0;
  c.svc.spatial = MT_MAX_SPATIAL;
  b = written(of_consumer, &c);
  CHECK(!reads(of_consumer, &read, sizeof read, b.p, b.n));
  free(b.p);
  c.svc.spatial = 0;
  c.stream = MT_MAX_ENCODINGS;
  b = written(of_consumer, &c);
  CHECK(!reads(of_consumer, &read, sizeof read, b.p, b.n));
  free(b.p);
  p.streams[0].loss_level = MT_LOSS_LEVELS;
  b = written(of_producer, &p);
  CHECK(!reads(of_producer, &other, sizeof other, b.p, b.n));
  free(b.p);
}

int main(void) {
  test_transports();
  test_producers();
  test_consumers();
  test_earlier_versions();
  test_bounds();
  return check_result();
}
