/* See level.h. */
#include "ingress/level.h"

#include "state/marks.h"

enum {
  LEVEL_INTERVAL_US = 200 * MT_MS, /* time that an average covers */
  LEVEL_SILENCE_US = 500 * MT_MS,  /* a producer without packets for longer is silent */
  LEVEL_STEP = 5,                  /* dB; smaller changes are not worth an event */
  LEVEL_MASK = 0x7f,               /* the level in -dBov; the top bit says "voice activity", which not every client knows */
};

static void announce_level(mt_core *core, mt_producer *p, int32_t level) {
  int32_t step = level - p->announced_level;
  if (step < 0) step = -step;
  if (step < LEVEL_STEP) return;
  p->announced_level = level;
  mt_change(core, &p->changes, MT_CHANGED_LEVEL);
}

void mt_level_heard(mt_core *core, mt_producer *p, uint8_t extension, int64_t now) {
  p->level_sum -= extension & LEVEL_MASK;
  p->level_count++;
  p->level_heard = now;
  if (now < p->level_due) return;
  int32_t level = p->level_sum / p->level_count;
  p->level_sum = p->level_count = 0;
  p->level_due = now + LEVEL_INTERVAL_US;
  announce_level(core, p, level);
}

void mt_level_silent(mt_core *core, mt_producer *p) {
  if (p->announced_level == MT_LEVEL_SILENT) return;
  p->announced_level = MT_LEVEL_SILENT;
  mt_change(core, &p->changes, MT_CHANGED_LEVEL);
}

void mt_level_round(mt_core *core, mt_producer *p, int64_t now) {
  if (!p->spec.video && p->level_heard && now - p->level_heard > LEVEL_SILENCE_US) announce_level(core, p, MT_LEVEL_SILENT);
}
