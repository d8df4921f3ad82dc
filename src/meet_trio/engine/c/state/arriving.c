/* See arriving.h. */
#include "state/arriving.h"

enum {
  /* A stream has been left behind when both hold since its last packet. */
  LEFT_BEHIND_FRAMES = 8,       /* frames that another encoding of the producer has ended */
  LEFT_BEHIND_US = 400 * MT_MS, /* time that has passed */
};

bool mt_stream_active(const mt_core *core, const mt_stream *s, int64_t now) {
  return s->started && now - s->last_arrival < (int64_t)core->settings.layer_silence_ms * MT_MS;
}

/* A client with too little bandwidth stops its upper encodings, and their viewers freeze. The frames of the other encodings
 * show that early. Silence alone shows it late, because a stream may also be silent when its picture does not change. */
bool mt_stream_arriving(const mt_core *core, const mt_stream *s, int64_t now) {
  if (!mt_stream_active(core, s, now)) return false;
  if (now - s->last_arrival < LEFT_BEHIND_US) return true;
  const mt_producer *p = s->producer;
  for (uint8_t i = 0; i < p->spec.encoding_count; i++)
    if (i != s->index && p->streams[i].frames - s->frames_of_others[i] >= LEFT_BEHIND_FRAMES) return false;
  return true;
}

void mt_stream_note_arrival(mt_stream *s, bool marker, int64_t now) {
  const mt_producer *p = s->producer;
  s->last_arrival = now;
  s->frames += marker;
  for (uint8_t i = 0; i < p->spec.encoding_count; i++) s->frames_of_others[i] = p->streams[i].frames;
}
