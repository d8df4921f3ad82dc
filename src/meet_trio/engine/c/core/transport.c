/* See transport.h. */
#include "core/transport.h"

#include "egress/consumer.h"
#include "egress/downlink.h"
#include "ingress/arrivals.h"
#include "ingress/producer.h"
#include "ingress/sources.h"
#include "paths/routes.h"
#include "state/find.h"
#include "state/marks.h"
#include "state/trace.h"

#include <openssl/crypto.h>

enum {
  FIRST_REPORT_US = 300 * MT_MS, /* at the earliest; a random part of a second comes on top */
  FIRST_SLOTS = 8,               /* of a table */
};

mt_transport *mt_transport_new(mt_core *core, int64_t now, uint32_t id) {
  if (mt_find_transport(core, id)) {
    core->counters.commands_refused++;
    return NULL;
  }
  mt_transport *t = mt_region_get(core->region, MT_KEPT_TRANSPORT, sizeof *t);
  bool ok = t != NULL;
  if (ok) {
    ok = mt_table_init(&t->sources, FIRST_SLOTS);
    ok = mt_table_init(&t->consumers_by_ssrc, FIRST_SLOTS) && ok;
  }
  if (!ok) {
    core->counters.dropped_no_memory++;
    if (t) {
      mt_table_free(&t->sources);
      mt_table_free(&t->consumers_by_ssrc);
    }
    mt_region_put(core->region, t);
    return NULL;
  }
  t->id = t->stats.id = id;
  t->changes.kind = MT_KIND_TRANSPORT;
  t->next_report = now + FIRST_REPORT_US + (int64_t)(mt_random(core) % MT_SECOND);
  t->reported = now;
  t->rtcp_ssrc = (uint32_t)mt_random(core) | 1;
  t->unresumed = core->resuming; /* before the mark */
  mt_list_init(&t->in_core);
  mt_list_init(&t->changes.in_changed);
  mt_list_init(&t->producers);
  mt_list_init(&t->consumers);
  mt_list_init(&t->due);
  mt_list_init(&t->in_due);
  mt_list_init(&t->idle);
  mt_list_init(&t->claim.in_claims);
  mt_list_init(&t->in_visits);
  mt_list_append(&core->all_transports, &t->in_core);
  mt_list_append(&core->busy, &t->in_visits);
  mt_table_insert(&core->transports, &t->node, mt_hash64(t->id));
  mt_region_mark(t);
  return t;
}

void mt_transport_add(mt_core *core, uint32_t id, const mt_ice_spec *ice, int64_t now) {
  mt_transport *t = mt_transport_new(core, now, id);
  if (t) mt_credentials_set(core, t, &t->credentials[0], ice);
}

void mt_transport_restart(mt_core *core, mt_transport *t, const mt_ice_spec *ice) {
  if (t->barred) {
    core->counters.commands_refused++;
    return;
  }
  mt_credentials_drop(core, &t->credentials[1]);
  mt_ice_spec before = {t->credentials[0].ufrag, t->credentials[0].password};
  mt_credentials_drop(core, &t->credentials[0]);
  mt_credentials_set(core, t, &t->credentials[1], &before);
  mt_credentials_set(core, t, &t->credentials[0], ice);
  OPENSSL_cleanse(&before, sizeof before);
}

void mt_transport_keys(mt_core *core, mt_transport *t, const mt_srtp_spec *keys, int64_t now) {
  mt_srtp *srtp = mt_srtp_new((mt_srtp_profile)keys->profile, core->settings.aead, keys->tx, keys->rx);
  /* A transport has one DTLS association and so one pair of keys. Other keys would need new replay windows and indices. */
  if (!srtp || t->srtp || t->barred) {
    mt_srtp_free(srtp);
    core->counters.commands_refused++;
    return;
  }
  t->srtp = srtp;
  MT_EACH (item, &t->consumers) {
    mt_consumer *consumer = MT_OF(item, mt_consumer, in_transport);
    if (!consumer->paused) mt_consumer_begin(core, consumer, now);
  }
}

static void drop_paths(mt_core *core, mt_transport *t) {
  for (unsigned i = 0; i < MT_MAX_ROUTES; i++) mt_route_drop(core, &t->routes[i]);
  mt_credentials_drop(core, &t->credentials[0]);
  mt_credentials_drop(core, &t->credentials[1]);
}

void mt_transport_bar(mt_core *core, mt_transport *t) {
  t->barred = true;
  drop_paths(core, t);
  mt_srtp_free(t->srtp);
  t->srtp = NULL;
  mt_change(core, &t->changes, MT_CHANGED_SILENT);
}

void mt_transport_remove(mt_core *core, mt_transport *t) {
  MT_EACH (item, &t->consumers) mt_consumer_remove(core, MT_OF(item, mt_consumer, in_transport));
  MT_EACH (item, &t->producers) mt_producer_remove(core, MT_OF(item, mt_producer, in_transport));
  drop_paths(core, t);
  mt_twcc_free(t);
  mt_downlink_end(core, t);
  mt_trace_end(core, t);
  mt_srtp_free(t->srtp);
  mt_region_put(core->region, t->plain);
  mt_sources_free(core, t);
  mt_ledger_free(core->region, &t->sent);
  mt_ledger_free(core->region, &t->sent_before);
  mt_table_free(&t->sources);
  mt_table_free(&t->consumers_by_ssrc);
  mt_table_remove(&core->transports, &t->node);
  mt_list_remove(&t->in_core);
  mt_list_remove(&t->in_visits);
  mt_list_remove(&t->changes.in_changed);
  mt_region_put(core->region, t);
}
