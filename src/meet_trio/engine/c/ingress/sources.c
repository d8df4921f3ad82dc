/* See sources.h. */
#include "ingress/sources.h"

#include "ingress/rebinding.h"

#include <string.h>

mt_source *mt_source_find(mt_transport *t, uint32_t ssrc) {
  mt_node *n = mt_table_first(&t->sources, mt_hash64(ssrc));
  return n ? MT_OF(n, mt_source, node) : NULL;
}

static uint64_t next_index(const mt_srtp_window *w) { return w->started ? w->highest + 1 : 0; }

/* A window in which every index below `next` counts as received. */
static mt_srtp_window window_from(uint64_t next) {
  mt_srtp_window w = {0};
  if (!next) return w;
  w.started = true;
  w.highest = next - 1;
  memset(w.bits, 0xff, sizeof w.bits);
  return w;
}

void mt_source_recall(const mt_core *core, const mt_transport *t, uint32_t ssrc, mt_srtp_window *rtp, mt_srtp_window *rtcp) {
  const mt_ledger_entry *e = mt_ledger_find(&t->ended, ssrc, core->settings.seed);
  if (rtp) *rtp = window_from(e ? e->rtp_next : 0);
  if (rtcp) *rtcp = window_from(e ? e->rtcp_next : 0);
}

/* Ends the source that has been without a stream for the longest; the ledger keeps its next indices. False: the ledger is
 * full, or there is no memory. */
static bool end_oldest_idle(mt_core *core, mt_transport *t) {
  mt_source *s = MT_OF(t->idle.next, mt_source, idle);
  mt_ledger_entry e = {s->ssrc, (uint32_t)next_index(&s->rtcp), next_index(&s->rtp)};
  if (!t->plain && !mt_ledger_put(core->region, &t->ended, &e, core->settings.seed)) return false;
  mt_table_remove(&t->sources, &s->node);
  mt_rebinding_forget(core, s);
  mt_list_remove(&s->idle);
  t->idle_count--;
  mt_region_put(core->region, s);
  return true;
}

mt_source *mt_source_add(mt_core *core, mt_transport *t, uint32_t ssrc) {
  if (t->idle_count >= MT_MAX_IDLE_SOURCES && !end_oldest_idle(core, t)) {
    core->counters.dropped_rtp_too_many_sources++;
    return NULL;
  }
  mt_source *s = mt_region_get(core->region, MT_KEPT_SOURCE, sizeof *s);
  if (!s) {
    core->counters.dropped_no_memory++;
    return NULL;
  }
  s->ssrc = ssrc;
  mt_source_recall(core, t, ssrc, &s->rtp, &s->rtcp);
  mt_table_insert(&t->sources, &s->node, mt_hash64(ssrc));
  s->transport = t;
  mt_list_init(&s->idle);
  mt_list_append(&t->idle, &s->idle);
  t->idle_count++;
  mt_region_mark(s);
  return s;
}

void mt_source_attach(mt_source *source, mt_stream *s) {
  if (!source->stream) source->transport->idle_count--;
  mt_list_remove(&source->idle);
  source->stream = s;
}

void mt_source_detach(mt_source *source) {
  if (source->stream) source->transport->idle_count++;
  source->stream = NULL;
  mt_list_append(&source->transport->idle, &source->idle);
}

void mt_sources_free(mt_core *core, mt_transport *t) {
  for (mt_node *n; (n = mt_table_any(&t->sources));) {
    mt_source *s = MT_OF(n, mt_source, node);
    mt_table_remove(&t->sources, n);
    mt_rebinding_forget(core, s);
    mt_region_put(core->region, s);
  }
  mt_ledger_free(core->region, &t->ended);
}
