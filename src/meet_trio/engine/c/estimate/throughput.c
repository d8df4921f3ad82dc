/* See throughput.h. */
#include "estimate/throughput.h"

#include "base/limits.h"

enum {
  THROUGHPUT_SLOT_US = 20 * MT_MS,
  THROUGHPUT_SLOTS_USED = 25,               /* 500 ms */
  THROUGHPUT_LEAST_US = 150 * MT_MS,        /* before that no rate is known */
  THROUGHPUT_BUSY_US = 120 * MT_MS,         /* before that no busy rate is known */
  THROUGHPUT_LONGEST_BUSY_US = 400 * MT_MS, /* then the later measurement takes over */
};

static void note_busy(mt_throughput *t, int64_t arrival, size_t bytes, bool waited) {
  for (unsigned i = 0; i < 2; i++)
    if (!waited || arrival < t->busy[i].began) t->busy[i].began = 0;
    else t->busy[i].bytes += bytes;
  if (!waited) return;
  if (!t->busy[0].began) {
    t->busy[0].began = arrival;
    t->busy[0].bytes = 0;
  }
  int64_t busy = arrival - t->busy[0].began;
  if (!t->busy[1].began && busy > THROUGHPUT_LONGEST_BUSY_US / 2) {
    t->busy[1].began = arrival;
    t->busy[1].bytes = 0;
  }
  if (busy > THROUGHPUT_LONGEST_BUSY_US && t->busy[1].began) {
    t->busy[0] = t->busy[1];
    t->busy[1].began = 0;
  }
}

void mt_throughput_packet(mt_throughput *t, int64_t arrival, size_t bytes, bool waited) {
  int64_t slot = arrival / THROUGHPUT_SLOT_US;
  if (!t->started || slot - t->newest >= MT_THROUGHPUT_SLOTS || t->newest - slot >= MT_THROUGHPUT_SLOTS) {
    *t = (mt_throughput){.newest = slot, .first = arrival, .last = arrival, .started = true};
  }
  for (; t->newest < slot; t->newest++) t->bytes[(t->newest + 1) % MT_THROUGHPUT_SLOTS] = 0;
  t->bytes[slot % MT_THROUGHPUT_SLOTS] += bytes;
  if (arrival > t->last) t->last = arrival;
  note_busy(t, arrival, bytes, waited);
}

double mt_throughput_rate(const mt_throughput *t) {
  uint64_t bytes = 0;
  int64_t from = (t->newest - THROUGHPUT_SLOTS_USED + 1) * THROUGHPUT_SLOT_US;
  if (!t->started) return 0;
  if (from < t->first) from = t->first;
  int64_t elapsed = (t->newest + 1) * THROUGHPUT_SLOT_US - from;
  if (elapsed < THROUGHPUT_LEAST_US) return 0;
  for (unsigned i = 0; i < THROUGHPUT_SLOTS_USED; i++)
    if (t->newest >= i) bytes += t->bytes[(t->newest - i) % MT_THROUGHPUT_SLOTS];
  return (double)bytes * 8 * MT_SECOND / (double)elapsed;
}

double mt_throughput_busy(const mt_throughput *t) {
  int64_t elapsed = t->last - t->busy[0].began;
  if (!t->busy[0].began || elapsed < THROUGHPUT_BUSY_US) return 0;
  return (double)t->busy[0].bytes * 8 * MT_SECOND / (double)elapsed;
}
