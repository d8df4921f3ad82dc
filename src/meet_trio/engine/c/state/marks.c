/* See marks.h. */
#include "state/marks.h"

#include "state/arriving.h"

enum {
  SILENT_FACTOR = 2, /* key frames of a stream that is not active are requested this much less often */
};

uint64_t mt_random(mt_core *core) {
  core->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
  return mt_hash64(core->random);
}

void mt_mark_busy(mt_core *core, mt_transport *t) {
  if (!t->quiet) return; /* its place stays, because a round may be going through the list */
  t->quiet = false;
  mt_list_append(&core->busy, &t->in_visits);
}

void mt_due(mt_core *core, int64_t at) {
  if (at < core->next_tick) core->next_tick = at;
}

void mt_change(mt_core *core, mt_changes *changes, uint32_t flags) {
  if (!changes->flags) mt_list_append(&core->changed, &changes->in_changed);
  changes->flags |= flags;
  core->next_tick = 0;
}

void mt_want_keyframe(mt_core *core, mt_stream *s, int64_t now) {
  if (core->resuming || s->producer->spec.codec == MT_CODEC_OTHER) return;
  s->keyframe_wanted = true;
  mt_list_append(&core->wanting, &s->wanting);
  mt_due(core, now);
}

int64_t mt_keyframe_due(const mt_core *core, const mt_stream *s, int64_t now) {
  int64_t interval = (int64_t)core->settings.pli_interval_ms * MT_MS, rtt = (int64_t)s->rtt_us * 2;
  if (!s->keyframe_asked) return 0;
  /* Such a stream may be a picture that does not change, or a camera that is off. */
  if (!mt_stream_active(core, s, now)) interval *= SILENT_FACTOR;
  return s->keyframe_asked + (rtt > interval ? rtt : interval);
}

void mt_keyframe_came(mt_stream *s) {
  s->keyframe_wanted = s->keyframe_demanded = false;
  mt_list_remove(&s->wanting);
}

void mt_mark_allocation(mt_core *core, mt_transport *t) {
  if (!t->downlink) return;
  mt_list_append(&core->allocating, &t->downlink->in_allocating);
  core->next_tick = 0;
}
