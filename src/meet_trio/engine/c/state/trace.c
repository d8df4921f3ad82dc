/* See trace.h. */
#include "state/trace.h"

#include "state/marks.h"

#include <stdlib.h>
#include <string.h>

static bool any_room(const mt_core *core) {
  unsigned count = 0;
  MT_EACH (item, &core->traces) count++;
  return count < MT_MAX_TRACES;
}

void mt_trace_begin(mt_core *core, mt_transport *t) {
  if (t->trace) return;
  mt_trace *trace = any_room(core) ? malloc(sizeof *trace) : NULL;
  if (!trace) {
    core->counters.commands_refused++;
    return;
  }
  memset(trace, 0, offsetof(mt_trace, records));
  trace->transport = t->id;
  mt_list_init(&trace->in_core);
  mt_list_append(&core->traces, &trace->in_core);
  t->trace = trace;
}

void mt_trace_end(mt_core *core, mt_transport *t) {
  (void)core;
  if (!t->trace) return;
  mt_list_remove(&t->trace->in_core);
  free(t->trace);
  t->trace = NULL;
}

/* Writes a record behind those that wait, without its time, and returns its length. 0: there is no room. */
static size_t put(mt_trace *trace, uint8_t bits, const uint8_t *packet, size_t len, const uint8_t *rest, size_t rest_len) {
  size_t all = len + rest_len;
  if (all > UINT16_MAX || trace->len + MT_TRACE_RECORD + all > sizeof trace->records) return 0;
  uint8_t *out = trace->records + trace->len;
  uint16_t length = (uint16_t)all;
  memcpy(out + sizeof(int64_t), &length, sizeof length);
  out[10] = bits;
  out[11] = 0;
  memcpy(out + MT_TRACE_RECORD, packet, len);
  if (rest_len) memcpy(out + MT_TRACE_RECORD + len, rest, rest_len);
  return MT_TRACE_RECORD + all;
}

/* The record of `bytes` behind the others joins them. */
static void take(mt_core *core, mt_trace *trace, size_t bytes) {
  if (!bytes) {
    trace->lost++;
    return;
  }
  if (!trace->len) trace->due = core->last_now + MT_TRACE_WAIT_US;
  memcpy(trace->records + trace->len, &core->last_now, sizeof core->last_now);
  trace->len += bytes;
  mt_due(core, trace->len > sizeof trace->records / 2 ? core->last_now : trace->due);
}

void mt_trace_received(mt_core *core, const mt_transport *t, bool rtcp, const uint8_t *packet, size_t len) {
  take(core, t->trace, put(t->trace, rtcp ? MT_TRACED_RTCP : 0, packet, len, NULL, 0));
}

void mt_trace_stage(const mt_transport *t, bool rtcp, const uint8_t *packet, size_t len, const uint8_t *rest, size_t rest_len) {
  mt_trace *trace = t->trace;
  trace->staged = put(trace, MT_TRACED_OUT | (rtcp ? MT_TRACED_RTCP : 0), packet, len, rest, rest_len);
  trace->staged_lost = !trace->staged;
}

void mt_trace_unstage(const mt_transport *t) {
  t->trace->staged = 0;
  t->trace->staged_lost = false;
}

void mt_trace_sent(mt_core *core, const mt_transport *t) {
  mt_trace *trace = t->trace;
  if (trace->staged || trace->staged_lost) take(core, trace, trace->staged);
  mt_trace_unstage(t);
}
