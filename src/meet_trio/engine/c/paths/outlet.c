/* See outlet.h. */
#include "paths/outlet.h"

#include "paths/claims.h"
#include "state/trace.h"

uint8_t *mt_reserve(mt_core *core) { return core->sink.reserve(core->sink.context); }

static void emit(mt_core *core, const mt_path *to, size_t len) {
  if (core->sends_until && core->last_now >= core->sends_until) {
    core->counters.dropped_silenced++;
    return;
  }
  core->counters.datagrams_out++;
  core->counters.bytes_out += len;
  core->sink.send(core->sink.context, to, len);
}

void mt_send_answer(mt_core *core, const mt_path *to, size_t len) {
  if (len) emit(core, to, len);
}

static void send_to(mt_core *core, mt_transport *t, const mt_path *to, size_t len) {
  bool nowhere = !to || to->kind == MT_PATH_NONE;
  if (nowhere) core->counters.dropped_no_path++;
  if (nowhere || (t->claim.route && !mt_claim_allows(core, t, to, len))) {
    if (t->trace) mt_trace_unstage(t);
    return;
  }
  if (t->trace) mt_trace_sent(core, t);
  t->stats.packets_out++;
  t->stats.bytes_out += len;
  emit(core, to, len);
}

void mt_send(mt_core *core, mt_transport *t, size_t len) { send_to(core, t, t->selected ? &t->selected->path : NULL, len); }

void mt_send_srtcp(mt_core *core, mt_transport *t, uint8_t *packet, size_t len) {
  if (!t->srtp || !len || (t->srtcp_ceiling && t->srtcp_next >= t->srtcp_ceiling)) return;
  if (t->trace) mt_trace_stage(t, true, packet, len, NULL, 0);
  size_t n = mt_srtcp_protect(t->srtp, t->srtcp_next, packet, len, MT_DATAGRAM_MAX);
  if (!n) {
    if (t->trace) mt_trace_unstage(t);
    return;
  }
  t->srtcp_next++;
  if (t->plain) send_to(core, t, &t->plain->rtcp.route.path, n);
  else mt_send(core, t, n);
}
