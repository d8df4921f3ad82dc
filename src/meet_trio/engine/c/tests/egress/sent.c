/* The memory of sent packets: which are found after any order, growth, shrinking, gaps, epochs and resets, and without memory. */
#include <stdbool.h>
#include <sys/mman.h>

static bool no_memory;

static void *map(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
  return no_memory ? MAP_FAILED : mmap(at, size, protection, flags, fd, offset);
}

#define mmap map
#include "base/pool.c"
#undef mmap
#include "egress/sent.c"

#include "../check.h"

enum { RATE_US = 10 * MT_MS }; /* between two packets */

static mt_core core;
static mt_consumer consumer;
static mt_producer producer;
static mt_packet found;
static uint64_t looked_for; /* the stream's number that the history was asked for */
static int64_t now;

/* The history has everything. */
mt_packet *mt_history_find(const mt_history *h, uint64_t sequence) {
  (void)h;
  looked_for = sequence;
  return &found;
}

static void begin(uint32_t most) {
  memset(&consumer, 0, sizeof consumer);
  consumer.producer = &producer;
  consumer.sent_most = (uint16_t)most;
  mt_sent_init(&core);
  core.settings.history_ms = 3000;
  core.counters.dropped_no_memory = 0;
  now = MT_SECOND;
}

static void end(void) {
  mt_sent_free(&core, &consumer);
  for (unsigned i = 0; i < core.sent.count; i++) CHECK(core.sent.pools[i].used == 0);
  mt_pools_free(&core.sent);
}

static uint8_t epoch(uint8_t stream, uint64_t sequence, uint64_t first) {
  return mt_sent_begin(&consumer, &(mt_epoch){.stream = stream, .first = first}, sequence);
}

static void note(uint8_t e, uint64_t sequence, uint64_t stream_sequence) {
  mt_packet p = {.sequence = stream_sequence};
  mt_numbers n = {.sequence = sequence, .picture_id = (uint16_t)(sequence * 3), .marker = sequence & 1};
  mt_stamps v = {.abs_send_time = mt_abs_send_time(now), .twcc = (uint16_t)(sequence * 5)};
  mt_sent_note(&core, &consumer, e, &p, &n, &v, now);
  if (sequence > consumer.newest_sent) consumer.newest_sent = sequence;
}

/* The stream's number that is sent for the consumer's `sequence`; 0: none. */
static uint64_t find(uint64_t sequence) {
  const mt_sent *sent = mt_sent_find(&consumer, sequence);
  if (!sent || !mt_sent_packet(&consumer, sent, sequence)) return 0;
  CHECK(sent->picture_id == (uint16_t)(sequence * 3) && sent->twcc == (uint16_t)(sequence * 5) && sent->marker == (sequence & 1));
  return looked_for;
}

static void test_it_grows_and_shrinks(void) {
  begin(MT_SENT_MOST);
  uint8_t e = epoch(0, 70001, 1001);
  CHECK(consumer.sent_slots == 0);
  for (unsigned i = 1; i <= 300; i++, now += RATE_US) {
    note(e, 70000 + i, 1000 + i);
    CHECK(consumer.sent_slots >= i && consumer.sent_slots < 2 * i + MT_SENT_LEAST);
  }
  for (unsigned i = 1; i <= 300; i++) CHECK(find(70000 + i) == 1000 + i);
  for (unsigned i = 301; i <= 2000; i++, now += RATE_US) note(e, 70000 + i, 1000 + i);
  CHECK(consumer.sent_slots == 512); /* 300 packets in three seconds */
  CHECK(find(71489) == 2489 && !find(71488) && mt_sent_forgotten(&consumer, 71488));
  mt_sent_shrink(&core, &consumer, now);
  CHECK(consumer.sent_slots == 512);
  for (unsigned i = 1; i <= 200; i++, now += 100 * MT_MS) note(e, 72000 + i, 3000 + i);
  for (unsigned slots = 256; slots >= 64; slots /= 2) {
    mt_sent_shrink(&core, &consumer, now);
    CHECK(consumer.sent_slots == slots);
  }
  mt_sent_shrink(&core, &consumer, now);
  CHECK(consumer.sent_slots == 64); /* a quarter would not do: 30 packets in three seconds */
  for (unsigned i = 137; i <= 200; i++) CHECK(find(72000 + i) == 3000 + i);
  end();
}

static void test_it_has_a_bound(void) {
  static const uint32_t most[] = {MT_SENT_MOST, MT_SENT_MOST_AUDIO};
  for (unsigned m = 0; m < 2; m++) {
    begin(most[m]);
    uint8_t e = epoch(0, 1, 1);
    for (unsigned i = 1; i <= 5000; i++) note(e, i, i);
    CHECK(consumer.sent_slots == most[m]);
    CHECK(find(5001 - most[m]) == 5001 - most[m] && !find(5000 - most[m]));
    end();
  }
}

static void test_gaps_and_late_packets(void) {
  begin(MT_SENT_MOST);
  uint8_t e = epoch(0, 1, 1);
  for (unsigned i = 1; i <= 20; i++) note(e, i, i);
  note(e, 30, 30);
  for (unsigned i = 21; i < 30; i++) CHECK(!find(i) && !mt_sent_forgotten(&consumer, i));
  CHECK(find(20) == 20 && find(30) == 30 && !find(31));
  note(e, 25, 25);
  CHECK(find(25) == 25 && !find(24));
  note(e, 10000, 10000); /* over the whole ring */
  for (unsigned i = 1; i < 10000; i++) CHECK(!find(i));
  note(e, 5, 5); /* too late */
  CHECK(!find(5) && find(10000) == 10000);
  end();
}

/* Two packets of the stream never pass for one, whatever lies between them. */
static void test_16_bits_are_enough(void) {
  begin(MT_SENT_MOST);
  static const uint64_t steps[] = {1, 100, NEAR - 1, NEAR, 2 * NEAR - 1, 2 * NEAR, 1 << 16, (1 << 16) + 5, UINT64_C(1) << 32};
  for (unsigned s = 0; s < sizeof steps / sizeof *steps; s++) {
    uint64_t base = consumer.newest_sent + 1, stream = 1 << 20;
    uint8_t e = epoch(0, base, stream);
    for (unsigned i = 0; i < 600; i++) {
      note(e, base + i, stream + i * steps[s]); /* those between were left out */
      for (unsigned j = i > 10 ? i - 10 : 0; j <= i; j++) {
        uint64_t is = find(base + j);
        CHECK(is == stream + j * steps[s] || (is == 0 && i > j && steps[s] * (i - j) >= NEAR));
      }
      CHECK(find(base + i));
      if (i % 50 == 0) CHECK(find(base) == stream || (i && steps[s] * i >= NEAR && !find(base)));
    }
  }
  end();
}

static void test_epochs(void) {
  begin(MT_SENT_MOST);
  for (unsigned i = 0; i < 20; i++) note(epoch(i % 2, 1 + 10 * i, 500 * (i + 1)), 1 + 10 * i, 500 * (i + 1));
  for (unsigned i = 0; i < 20; i++) CHECK(find(1 + 10 * i) == (i < 20 - MT_SENT_EPOCHS ? 0 : 500 * (i + 1)));
  mt_sent_void(&consumer, 1); /* a reset: the numbers begin anew */
  for (unsigned i = 12; i < 20; i++) CHECK(find(1 + 10 * i) == (i % 2 ? 0 : 500 * (i + 1)));
  note(epoch(1, 300, 7), 300, 7);
  CHECK(find(300) == 7 && !find(191));
  note(0, 299, 1234); /* of an epoch that began later in that place: its number is of an older one */
  CHECK(!find(299) || consumer.sent_epochs[0].first <= 299);
  end();
}

static void test_times_of_retransmissions(void) {
  mt_sent sent = {0};
  static const int64_t times[] = {1, 65536 * MT_MS, 65535 * MT_MS, INT64_C(1) << 40};
  for (unsigned i = 0; i < 4; i++) {
    mt_sent_again(&sent, times[i]);
    CHECK(sent.again);
    int64_t since = mt_sent_since_again(&sent, times[i] + 20 * MT_MS);
    CHECK(since >= 19 * MT_MS && since <= 20 * MT_MS);
  }
}

static void test_without_memory(void) {
  begin(MT_SENT_MOST);
  uint8_t e = epoch(0, 1, 1);
  for (unsigned i = 1; i <= MT_SENT_LEAST; i++) note(e, i, i);
  CHECK(consumer.sent_slots == MT_SENT_LEAST);
  no_memory = true;
  for (unsigned i = MT_SENT_LEAST + 1; i <= 10 * MT_SENT_LEAST; i++) note(e, i, i);
  CHECK(consumer.sent_slots == MT_SENT_LEAST);
  CHECK(core.counters.dropped_no_memory == 10); /* once for each time that the ring was used */
  CHECK(find(10 * MT_SENT_LEAST) && find(9 * MT_SENT_LEAST + 1) && !find(9 * MT_SENT_LEAST));
  no_memory = false;
  for (unsigned i = 10 * MT_SENT_LEAST + 1; i <= 12 * MT_SENT_LEAST; i++) note(e, i, i);
  CHECK(consumer.sent_slots > MT_SENT_LEAST);
  end();
}

static void test_without_a_first_ring(void) {
  begin(MT_SENT_MOST);
  uint8_t e = epoch(0, 1, 1);
  no_memory = true;
  for (unsigned i = 1; i <= MT_SENT_LEAST; i++) note(e, i, i);
  CHECK(!consumer.sent_slots && !find(1) && mt_sent_forgotten(&consumer, 1));
  CHECK(core.counters.dropped_no_memory == 2); /* the first packet, and after as many as a ring would have */
  no_memory = false;
  for (unsigned i = MT_SENT_LEAST + 1; i <= 2 * MT_SENT_LEAST; i++) note(e, i, i);
  CHECK(find(2 * MT_SENT_LEAST) && !find(2 * MT_SENT_LEAST - 1));
  end();
}

int main(void) {
  test_it_grows_and_shrinks();
  test_it_has_a_bound();
  test_gaps_and_late_packets();
  test_16_bits_are_enough();
  test_epochs();
  test_times_of_retransmissions();
  test_without_memory();
  test_without_a_first_ring();
  return check_result();
}
