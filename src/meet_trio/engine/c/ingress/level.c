/* See level.h. */
#include "ingress/level.h"

#include "state/marks.h"

enum {
  LEVEL_SILENCE_US = 500 * MT_MS, /* a producer without packets for longer is silent */
  LEVEL_STEP = 5,                 /* dB; smaller changes are not worth an event */
  LEVEL_MASK = 0x7f,              /* the level in -dBov; the top bit says "voice activity", which not every client knows */
};

static void announce_level(mt_core *core, mt_producer *p, int32_t level) {
  p->announced_level = level;
  if (p->level_watched) mt_change(core, &p->changes, MT_CHANGED_LEVEL);
}

void mt_level_watch(mt_core *core, mt_producer *p) {
  if (p->level_watched) return;
  p->level_watched = true;
  if (p->announced_level != MT_LEVEL_SILENT) mt_change(core, &p->changes, MT_CHANGED_LEVEL);
}

void mt_level_heard(mt_producer *p, uint8_t extension, int64_t now) {
  p->level_sum -= extension & LEVEL_MASK;
  p->level_count++;
  p->level_heard = now;
}

void mt_level_silent(mt_core *core, mt_producer *p) {
  p->level_sum = p->level_count = 0;
  if (p->announced_level != MT_LEVEL_SILENT) announce_level(core, p, MT_LEVEL_SILENT);
}

void mt_level_round(mt_core *core, mt_producer *p, int64_t now) {
  if (p->level_count) {
    int32_t level = p->level_sum / p->level_count;
    int32_t step = level - p->announced_level;
    p->level_sum = p->level_count = 0;
    if (step >= LEVEL_STEP || step <= -LEVEL_STEP) announce_level(core, p, level);
  } else if (p->level_heard && now - p->level_heard > LEVEL_SILENCE_US) {
    mt_level_silent(core, p);
  }
}
