/* See throughput.h. */
#include "estimate/throughput.h"

#include "base/limits.h"

enum {
  THROUGHPUT_SLOT_US = 20 * MT_MS,
  THROUGHPUT_SLOTS_USED = 25,               /* 500 ms */
  THROUGHPUT_LEAST_US = 150 * MT_MS,        /* before that no rate is known */
  THROUGHPUT_LONGEST_BUSY_US = 400 * MT_MS, /* then the later measurement takes over */
  THROUGHPUT_LINK_US = 150 * MT_MS,         /* before that much of busy time the link's rate is not known, */
  THROUGHPUT_LINK_MOST_US = MT_SECOND,      /* and what is older than that much of it hardly counts */
  THROUGHPUT_LINK_OLD_US = 10 * MT_SECOND,  /* so long after it was busy last, the link's rate is not known any more */
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

static void note_link(mt_throughput *t, int64_t arrival, size_t bytes, int64_t gap) {
  if (arrival - t->link.at > THROUGHPUT_LINK_OLD_US) t->link.us = t->link.bytes = 0;
  double kept = t->link.us + (double)gap > THROUGHPUT_LINK_MOST_US ? 1 - (double)gap / THROUGHPUT_LINK_MOST_US : 1;
  if (kept < 0) kept = 0;
  t->link.us = t->link.us * kept + (double)gap;
  t->link.bytes = t->link.bytes * kept + (double)bytes;
  t->link.at = arrival;
}

void mt_throughput_packet(mt_throughput *t, int64_t arrival, size_t bytes, int64_t delay, bool waited) {
  int64_t slot = arrival / THROUGHPUT_SLOT_US;
  bool begins = !t->started || slot - t->newest >= MT_THROUGHPUT_SLOTS || t->newest - slot >= MT_THROUGHPUT_SLOTS;
  if (begins) *t = (mt_throughput){.newest = slot, .first = arrival, .last = arrival, .started = true};
  for (; t->newest < slot; t->newest++) t->bytes[(t->newest + 1) % MT_THROUGHPUT_SLOTS] = 0;
  t->bytes[slot % MT_THROUGHPUT_SLOTS] += bytes;
  int64_t gap = begins ? -1 : arrival - t->last;
  t->pair.rate = gap >= 0 ? (double)bytes * 8 * MT_SECOND / (double)(gap ? gap : 1) : 0;
  t->pair.waited = gap >= 0 && gap <= delay;
  if (t->pair.waited) note_link(t, arrival, bytes, gap);
  note_busy(t, arrival, bytes, t->pair.waited && waited);
  if (arrival > t->last) t->last = arrival;
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

double mt_throughput_busy(const mt_throughput *t, int64_t least) {
  int64_t elapsed = t->last - t->busy[0].began;
  if (!t->busy[0].began || elapsed < least) return 0;
  return (double)t->busy[0].bytes * 8 * MT_SECOND / (double)elapsed;
}

double mt_throughput_link(const mt_throughput *t) {
  if (t->link.us < THROUGHPUT_LINK_US || t->last - t->link.at > THROUGHPUT_LINK_OLD_US) return 0;
  return t->link.bytes * 8 * MT_SECOND / t->link.us;
}
