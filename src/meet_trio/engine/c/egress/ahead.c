/* See ahead.h. */
#include "egress/ahead.h"

#include "base/lines.h"

enum { FEW = 8 /* consumers of an engine, whose state is in the caches anyway */ };

static void fetch_consumer(const mt_consumer *c) { mt_fetch(c, mt_lines(offsetof(mt_consumer, spec.mid))); }

static void fetch_transport(const mt_consumer *c) {
  const mt_transport *t = c->transport;
  mt_fetch(&t->srtp, 1);
  mt_fetch(&t->stats.packets_out, 1);
  mt_fetch(&c->sent_epochs[c->epochs[0].sent], 1);
  if (c->sent_slots) mt_fetch(&c->sent[(c->newest_sent + 1) % c->sent_slots], 1);
}

static void fetch_parts(const mt_transport *t) {
  if (t->selected) mt_fetch(&t->selected->path, 1);
  mt_srtp_fetch(t->srtp);
  mt_fetch(t->downlink, 1);
}

static void fetch_contents(const mt_transport *t) {
  if (t->srtp) mt_srtp_fetch_keys(t->srtp);
  if (t->downlink) mt_estimator_fetch(t->downlink->estimator);
}

static void fetch_departure(const mt_transport *t) {
  if (t->downlink) mt_estimator_fetch_departure(t->downlink->estimator);
}

static void advance(mt_ahead *a) {
  for (unsigned i = 0; i < MT_AHEAD; i++) a->at[i] = a->at[i + 1];
  if (!a->ended) a->at[MT_AHEAD] = a->at[MT_AHEAD]->next;
  a->ended = a->at[MT_AHEAD] == a->consumers;
}

/* NULL: none */
static const mt_consumer *consumer_at(const mt_ahead *a, unsigned i) {
  return a->at[i] == a->consumers ? NULL : MT_OF(a->at[i], mt_consumer, in_producer);
}

void mt_ahead_step(mt_ahead *a) {
  if (!a->consumers) return;
  advance(a);
  const mt_consumer *c = consumer_at(a, 4);
  if (c) fetch_consumer(c);
  if ((c = consumer_at(a, 3))) fetch_transport(c);
  if ((c = consumer_at(a, 2))) fetch_parts(c->transport);
  if ((c = consumer_at(a, 1))) fetch_contents(c->transport);
  if ((c = consumer_at(a, 0))) fetch_departure(c->transport);
}

void mt_ahead_begin(mt_ahead *a, const mt_core *core, const mt_list *consumers) {
  *a = (mt_ahead){0};
  if (core->consumers.count < FEW) return;
  a->consumers = consumers;
  for (unsigned i = 0; i <= MT_AHEAD; i++) a->at[i] = consumers;
  for (unsigned i = 0; i < MT_AHEAD; i++) mt_ahead_step(a);
}
