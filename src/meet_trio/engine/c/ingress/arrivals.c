/* See arrivals.h. */
#include "ingress/arrivals.h"

#include "base/sequence.h"
#include "formats/rtcp.h"
#include "paths/outlet.h"
#include "state/marks.h"

#include <stdlib.h>

enum {
  INTERVAL_US = 100 * MT_MS, /* least time between two reports */
  LATE_PACKETS = 64,         /* a packet that comes this many numbers late, or fewer, is still reported */
  MAX_FEEDBACK = 1200,       /* bytes of a feedback packet */
  FIRST_CYCLE = 0x10000,     /* extended numbers begin one roll-over above 0, so that an earlier number is not below 0 */
};

bool mt_twcc_start(mt_transport *t) {
  if (t->twcc) return true;
  t->twcc = calloc(1, sizeof *t->twcc);
  if (!t->twcc) return false;
  t->twcc->transport = t;
  mt_list_init(&t->twcc->in_feeding);
  return true;
}

void mt_twcc_free(mt_transport *t) {
  if (t->twcc) mt_list_remove(&t->twcc->in_feeding);
  free(t->twcc);
  t->twcc = NULL;
}

static int64_t *slot(mt_twcc *w, uint64_t sequence) { return &w->arrivals[sequence % MT_TWCC_WINDOW]; }

/* The window moves on to end at `end`. The numbers that enter it are marked as not received. */
static void advance(mt_twcc *w, uint64_t end) {
  uint64_t oldest = end - MT_TWCC_WINDOW;
  for (uint64_t i = w->end > oldest ? w->end : oldest; i < end; i++) *slot(w, i) = -1;
  w->end = end;
  if (w->next < oldest) w->next = oldest;
}

void mt_twcc_arrived(mt_core *core, mt_transport *t, uint16_t number, uint32_t ssrc, int64_t now) {
  mt_twcc *w = t->twcc;
  uint64_t sequence;
  if (w->started) {
    sequence = mt_sequence_extend(w->end - 1, number);
  } else {
    sequence = FIRST_CYCLE + number;
    for (unsigned i = 0; i < MT_TWCC_WINDOW; i++) w->arrivals[i] = -1;
    w->started = true;
    w->next = w->end = sequence;
  }
  w->media_ssrc = ssrc;
  if (sequence >= w->end) advance(w, sequence + 1);
  if (sequence < w->next) {
    /* It was reported as lost, or is from before the first packet. A report may cover earlier numbers again: libwebrtc
     * believes the newer report. */
    if (w->next - sequence > LATE_PACKETS || w->end - sequence > MT_TWCC_WINDOW) return;
    w->next = sequence; /* the numbers after it are reported again too */
  }
  *slot(w, sequence) = now;
  if (mt_list_empty(&w->in_feeding)) {
    mt_list_append(&core->feeding, &w->in_feeding);
    if (w->due < now) w->due = now + INTERVAL_US / 2;
    mt_due(core, w->due);
  }
}

static void send_feedback(mt_core *core, mt_transport *t, int64_t now) {
  mt_twcc *w = t->twcc;
  int64_t arrivals[MT_TWCC_WINDOW];
  while (w->next < w->end) {
    unsigned count = 0, consumed = 0;
    for (uint64_t i = w->next; i < w->end; i++) arrivals[count++] = *slot(w, i);
    uint8_t *out = mt_reserve(core);
    size_t n = mt_rtcp_write_twcc(out, MAX_FEEDBACK, t->rtcp_ssrc, w->media_ssrc, (uint16_t)w->next, arrivals, count,
                                  w->feedback_count, &consumed);
    if (!n || !consumed) {
      /* The gap is too long for one report to have a reference time: skip to the next packet received. */
      do w->next++;
      while (w->next < w->end && *slot(w, w->next) < 0);
      continue;
    }
    w->feedback_count++;
    w->next += consumed;
    t->stats.transport_cc_sent++;
    mt_send_srtcp(core, t, out, n);
  }
  w->due = now + INTERVAL_US;
  mt_list_remove(&w->in_feeding);
}

int64_t mt_twcc_tick(mt_core *core, int64_t now) {
  int64_t next = INT64_MAX;
  MT_EACH (item, &core->feeding) {
    mt_twcc *w = MT_OF(item, mt_twcc, in_feeding);
    if (w->due > now) {
      if (w->due < next) next = w->due;
      continue;
    }
    send_feedback(core, w->transport, now);
  }
  return next;
}
