/* See playout.h. */
#include "egress/playout.h"

#include "base/bytes.h"
#include "egress/viewer.h"
#include "state/listening.h"

enum {
  NOTICE_US = 40 * MT_MS, /* until a loss is noticed, and the answer is handled */
  /* Until a NACK is repeated. Chromium takes 100 ms for the round trip if it sends no media by the same connection. */
  REPEAT_US = 100 * MT_MS,
  MARGIN_US = 10 * MT_MS,
  MAX_DELAY_US = 400 * MT_MS,   /* a longer delay disturbs a conversation more than missing frames do */
  STEP_US = 10 * MT_MS,         /* the unit of the extension */
  RISE_US = 200 * MT_MS,        /* time for each step up: a picture slows down by 5 % */
  NEAR_US = 80 * MT_MS,         /* up to this delay a picture is at most 50 ms behind sound, which clients buffer too */
  FAR_RISE_US = 10 * MT_SECOND, /* time for each step above: clients delay sound slowly */
  FALL_US = 3 * MT_SECOND,      /* time for each step down */
  LAST_US = 10 * MT_SECOND,     /* the delay 0 is written for so long, so that the client gets it */
  LONGEST = 0xfff,              /* the greatest value of 12 bits: no upper bound */
  DELAY_BITS = 12,
};

/* The time in which `level` retransmissions can be sent one after the other. */
static int64_t recovery(uint8_t level, int64_t rtt, int64_t repeat) {
  if (!level) return 0;
  if (repeat < rtt) repeat = rtt;
  return rtt + NOTICE_US + (level - 1) * (repeat + MARGIN_US);
}

static int64_t wanted_delay(const mt_consumer *c) {
  const mt_transport *t = c->transport;
  int64_t delay = recovery(mt_viewer_loss_level(t), mt_viewer_rtt_us(t), REPEAT_US);
  const mt_stream *s = mt_consumer_current_stream(c);
  /* The engine repeats a NACK after the round trip, and has time for one more. */
  if (s && s->loss.level) delay += recovery(s->loss.level + 1, s->rtt_us, 0);
  return delay < MAX_DELAY_US ? delay : MAX_DELAY_US;
}

static void move(mt_consumer *c, int64_t now) {
  int64_t wanted = wanted_delay(c), at = c->stats.playout_us, since = now - c->playout_moved;
  if (wanted >= at + STEP_US && since >= (at < NEAR_US ? RISE_US : FAR_RISE_US)) at += STEP_US;
  else if (wanted < at && since >= FALL_US) at -= STEP_US;
  else return;
  c->stats.playout_us = (uint32_t)at;
  c->playout_moved = now;
}

void mt_playout_round(mt_transport *t, int64_t now) {
  MT_EACH (item, &t->consumers) {
    mt_consumer *c = MT_OF(item, mt_consumer, in_transport);
    /* Without RTX the same bytes must be sent again, so no value may change. */
    if (!c->spec.ext_ids[MT_EXT_PLAYOUT_DELAY] || !c->rtx_sender) continue;
    move(c, now);
    c->playout_written = c->stats.playout_us || (c->playout_moved && now - c->playout_moved < LAST_US);
  }
}

bool mt_playout_written(const mt_consumer *c) { return c->playout_written; }

void mt_playout_write(const mt_consumer *c, uint8_t *out) {
  mt_store24(out, c->stats.playout_us / STEP_US << DELAY_BITS | LONGEST);
}
