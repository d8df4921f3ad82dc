/* Blobs of any bytes: what is read is written as the same bytes, with what its version lacks behind them, and every value that is used as an index is in its bounds. */
#include "core/values.c"

#include "fuzz.h"

const char *const mt_fuzz_seeds[] = {
    "01 02 0500000000000000 01 0600000000000000 00 00 00 0000 00000000 00000000000000000000000000000000 0000000000000000 00 00 00 "
    "00"
    " 00 00 0000 00000000 00000000000000000000000000000000 00 00 00 0000 00000000 00000000000000000000000000000000 00"
    " 01000000 02000000 0300 0000000000000000 0000000000000000 01000000 05000000 00 00 00000000 00000000 00000000 63000000",
    "02 01 0500000000000000 00",
    "03 01 0500000000000000 0200000000000000 0000000000000000 00 0100000000000000 0100000000000000",
    NULL,
};

enum { ADDED = 16 }; /* bytes that are written behind what an earlier version has */

static void rewrite(const uint8_t *p, size_t size, void (*describe)(mt_blob *, void *), void *record) {
  mt_blob read = mt_blob_read(p, size);
  describe(&read, record);
  if (!mt_blob_ended(&read)) return;
  uint8_t *out = malloc(size + ADDED);
  MUST(out);
  mt_blob b = mt_blob_write(out, size + ADDED);
  describe(&b, record);
  MUST(!b.failed && b.at >= size && out[0] == p[0] && memcmp(out + 2, p + 2, size - 2) == 0);
  MUST(out[1] == p[1] ? b.at == size : out[1] > p[1]);
  free(out);
}

static void of_transport(mt_blob *b, void *record) { mt_blob_transport(b, record); }
static void of_producer(mt_blob *b, void *record) { mt_blob_producer(b, record); }
static void of_consumer(mt_blob *b, void *record) { mt_blob_consumer(b, record); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *p = fuzz_exact(data, size);
  mt_kept_transport t = {0};
  mt_kept_producer producer = {0};
  mt_kept_consumer c = {0};
  rewrite(p, size, of_transport, &t);
  MUST(t.before.ufrag.len <= MT_MAX_TEXT || !t.has_before || !t.source_count);
  MUST(t.source_count <= MT_MOST_KEPT_SOURCES);
  mt_kept_transport_free(&t);
  rewrite(p, size, of_producer, &producer);
  for (unsigned i = 0; i < MT_MAX_ENCODINGS; i++) MUST(producer.count > MT_MAX_ENCODINGS || producer.streams[i].loss_level < 255);
  rewrite(p, size, of_consumer, &c);
  free(p);
  return 0;
}
