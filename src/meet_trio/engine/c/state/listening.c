/* See listening.h. */
#include "state/listening.h"

mt_stream *mt_consumer_current_stream(const mt_consumer *c) {
  const mt_epoch *e = &c->epochs[0];
  return c->producer && e->open ? &c->producer->streams[e->stream] : NULL;
}

bool mt_consumer_listens(const mt_consumer *c, const mt_stream *s) {
  if (c->paused || c->producer != s->producer) return false;
  return c->target == s->index || mt_consumer_current_stream(c) == s;
}

/* An engine to which the producer is relayed listens. */
static bool relay_listens(const mt_stream *s) {
  MT_EACH (item, &s->producer->relays)
    if (MT_OF(item, mt_relay, in_producer)->listened >> s->index & 1) return true;
  return false;
}

bool mt_stream_listened(const mt_stream *s) {
  MT_EACH (item, &s->producer->consumers)
    if (mt_consumer_listens(MT_OF(item, mt_consumer, in_producer), s)) return true;
  return relay_listens(s);
}
