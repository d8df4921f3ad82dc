/* See wish.h. */
#include "links/wish.h"

#include "base/ring.h"
#include "links/link.h"
#include "state/arriving.h"
#include "state/listening.h"

static bool send_wish(mt_producer *m, mt_wish_type type, uint8_t index, uint8_t number) {
  mt_wish w = {.producer = m->id, .relay = m->relay, .type = (uint8_t)type, .index = index, .number = number};
  if (!m->link || !mt_ring_put(&m->link->wishes, &w)) return false;
  m->link->sides[MT_SINK].end.to_wake = true;
  return true;
}

/* `listened`: encodings as bits. If the ring is full, the wish is tried again ten times a second. */
static void wish_listened(mt_producer *m, uint8_t listened, int64_t now) {
  if (listened == m->wished || !send_wish(m, MT_WISH_LISTEN, 0, listened)) return;
  for (uint8_t i = 0; i < m->spec.encoding_count; i++)
    if (listened >> i & ~m->wished >> i & 1) m->streams[i].listened_since = now;
  m->wished = listened;
}

/* The consumer would use the encoding if it arrived. Asking for an encoding that does not arrive costs nothing, and its first
 * packets are a key frame. */
static bool awaits(const mt_core *core, const mt_consumer *c, const mt_stream *s, int64_t now) {
  return !c->paused && s->index <= c->preferred && !mt_stream_arriving(core, s, now);
}

/* Encodings as bits */
static uint8_t listened_by(const mt_core *core, const mt_consumer *c, int64_t now) {
  const mt_producer *m = c->producer;
  uint8_t bits = 0;
  for (uint8_t i = 0; i < m->spec.encoding_count; i++)
    if (mt_consumer_listens(c, &m->streams[i]) || awaits(core, c, &m->streams[i], now)) bits |= (uint8_t)(1u << i);
  return bits;
}

void mt_wish_listen_all(const mt_core *core, mt_producer *m, int64_t now) {
  uint8_t bits = 0, all = (uint8_t)((1u << m->spec.encoding_count) - 1);
  MT_EACH (item, &m->consumers) {
    if (bits == all) break; /* in a large room the first few consumers listen to all encodings */
    bits |= listened_by(core, MT_OF(item, mt_consumer, in_producer), now);
  }
  wish_listened(m, bits, now);
}

void mt_wish_listen(const mt_core *core, const mt_consumer *c, int64_t now) {
  mt_producer *m = c->producer;
  if (m && m->mirror) wish_listened(m, m->wished | listened_by(core, c, now), now);
}

bool mt_wish_keyframe(mt_producer *m, const mt_stream *s, bool listened) {
  return send_wish(m, MT_WISH_KEYFRAME, s->index, listened);
}

void mt_wish_gone(mt_producer *m) {
  send_wish(m, MT_WISH_GONE, 0, 0);
  mt_list_remove(&m->in_link);
  m->link = NULL;
}
