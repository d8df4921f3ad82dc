/* Transports: credentials, routes, consent; ICE-lite (RFC 8445 §2.5) and the way up for DTLS.
 *
 * A route is an address from which a binding request came that knew our password. The first one is selected at once,
 * because browsers nominate only after they have seen an mt_send_answer; USE-CANDIDATE selects another. Everything that is not STUN
 * is taken from routes only, so nothing is kept or done for addresses that have proved nothing.
 *
 * An address belongs to one transport. A client could try to take another's by forging the source of its own valid
 * requests; so an address changes hands only when its owner has not been heard there for a while.
 *
 * A TCP connection's route ends with it. The transport lives on by its other routes, or waits for a new one until consent is lost.
 *
 * After an ICE restart both credentials work until the first request with the new ones.
 */
#include "core/commands.h"
#include "core/core.h"
#include "formats/stun.h"
#include "paths/outlet.h"
#include "state/core_state.h"
#include "state/find.h"
#include "state/marks.h"
#include "state/state.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

enum {
  ROUTE_STALE_US = 8 * MT_SECOND, /* browsers check every 2.5 s */
  REPORT_FIRST_US = 300 * MT_MS,
  DTLS_BURST = 32,
};

/* ---- credentials ---- */

static uint64_t ufrag_hash(const mt_core *core, const void *ufrag, size_t len) {
  return mt_hash_bytes(ufrag, len, core->settings.seed);
}

static void credentials_set(mt_core *core, mt_transport *t, mt_credentials *slot, const mt_command *c) {
  slot->transport = t;
  slot->ufrag = c->u.ice.ufrag;
  slot->password = c->u.ice.password;
  slot->used = true;
  mt_table_insert(&core->ufrags, &slot->node, ufrag_hash(core, slot->ufrag.text, slot->ufrag.len));
}

static void credentials_drop(mt_core *core, mt_credentials *slot) {
  if (!slot->used) return;
  mt_table_remove(&core->ufrags, &slot->node);
  OPENSSL_cleanse(&slot->password, sizeof slot->password);
  slot->used = false;
}

static mt_credentials *credentials_find(mt_core *core, const uint8_t *ufrag, size_t len) {
  for (mt_node *n = mt_table_first(&core->ufrags, ufrag_hash(core, ufrag, len)); n; n = mt_table_next(n)) {
    mt_credentials *c = MT_OF(n, mt_credentials, node);
    if (c->ufrag.len == len && memcmp(c->ufrag.text, ufrag, len) == 0) return c;
  }
  return NULL;
}

/* ---- routes ---- */

mt_route *mt_route_find(mt_core *core, const mt_path *path) {
  for (mt_node *n = mt_table_first(&core->routes, mt_path_hash(path, core->settings.seed)); n; n = mt_table_next(n)) {
    mt_route *r = MT_OF(n, mt_route, node);
    if (mt_path_equal(&r->path, path)) return r;
  }
  return NULL;
}

void mt_route_drop(mt_core *core, mt_route *route) {
  if (!route->used) return;
  mt_table_remove(&core->routes, &route->node);
  if (route->transport->selected == route) route->transport->selected = NULL;
  route->used = false;
}

/* A free place, or that of the route heard from longest ago (never the selected one). */
static mt_route *route_place(mt_core *core, mt_transport *t) {
  mt_route *oldest = NULL;
  for (unsigned i = 0; i < MT_MAX_ROUTES; i++) {
    mt_route *r = &t->routes[i];
    if (!r->used) return r;
    if (r != t->selected && (!oldest || r->seen < oldest->seen)) oldest = r;
  }
  mt_route_drop(core, oldest);
  return oldest;
}

/* NULL: the address is another transport's, which was heard there just now. */
static mt_route *route_prove(mt_core *core, mt_transport *t, const mt_path *path, int64_t now) {
  mt_route *r = mt_route_find(core, path);
  if (r && r->transport != t) {
    if (now - r->seen < ROUTE_STALE_US) return NULL;
    mt_route_drop(core, r);
    r = NULL;
  }
  if (!r) {
    r = route_place(core, t);
    *r = (mt_route){.transport = t, .path = *path, .used = true};
    mt_table_insert(&core->routes, &r->node, mt_path_hash(path, core->settings.seed));
  }
  r->seen = now;
  return r;
}

static void route_select(mt_core *core, mt_transport *t, mt_route *r, bool nominated, int64_t now) {
  bool current_works = t->selected && now - t->selected->seen < ROUTE_STALE_US;
  if (t->selected == r || (current_works && !nominated)) return;
  t->selected = r;
  mt_change(core, &t->changes, t->was_connected ? MT_CHANGED_MOVED : MT_CHANGED_CONNECTED);
  t->was_connected = true;
}

bool mt_core_knows(mt_core *core, const mt_path *path) { return mt_route_find(core, path) != NULL; }

/* Media that went by it goes by the way that was heard last, if that lives. */
static void route_lose(mt_core *core, mt_route *r, int64_t now) {
  mt_transport *t = r->transport;
  bool was_selected = t->selected == r;
  mt_route_drop(core, r);
  mt_route *best = NULL;
  for (unsigned i = 0; was_selected && i < MT_MAX_ROUTES; i++) {
    mt_route *other = &t->routes[i];
    if (other->used && now - other->seen < ROUTE_STALE_US && (!best || other->seen > best->seen)) best = other;
  }
  if (best) route_select(core, t, best, true, now);
}

void mt_core_path_closed(mt_core *core, int64_t now, const mt_path *path) {
  mt_route *r = mt_route_find(core, path);
  if (r) route_lose(core, r, now);
}

/* ---- ICE ---- */

void mt_ice_datagram(mt_core *core, int64_t now, const mt_path *from, const uint8_t *data, size_t len) {
  mt_stun m;
  if (!mt_stun_parse_untrusted(data, len, &m)) {
    core->counters.dropped_stun_malformed++;
    return;
  }
  if (m.type != 0x0001) {
    core->counters.dropped_stun_no_request++;
    return;
  }
  mt_credentials *c = m.local_ufrag_len ? credentials_find(core, m.username, m.local_ufrag_len) : NULL;
  if (!c) {
    core->counters.dropped_stun_unknown_ufrag++;
    return;
  }
  const uint8_t *password = (const uint8_t *)c->password.text;
  size_t password_len = c->password.len;
  if (!mt_stun_check_integrity(data, len, &m, password, password_len)) {
    core->counters.dropped_stun_unauthentic++;
    return;
  }
  mt_transport *t = c->transport;
  uint8_t *out = mt_reserve(core);
  if (m.unknown_required || m.ice_controlled) {
    uint16_t code = m.unknown_required ? 420 : 487; /* a lite agent is always the controlled one */
    mt_send_answer(core, from, mt_stun_write_error(out, &m, code, password, password_len));
    return;
  }
  mt_route *r = route_prove(core, t, from, now);
  if (!r) {
    core->counters.dropped_address_taken++;
    return;
  }
  struct sockaddr_storage mapped;
  mt_path_to_sockaddr(from, from->family == 6 ? AF_INET6 : AF_INET, &mapped);
  core->counters.stun_answered++;
  mt_send_answer(core, from,
                 mt_stun_write_success(out, &m, (const struct sockaddr *)(const void *)&mapped, password, password_len));
  if (c == &t->credentials[0]) credentials_drop(core, &t->credentials[1]);
  t->heard = now;
  if (t->silent) {
    t->silent = false;
    t->changes.flags &= ~(uint32_t)MT_CHANGED_SILENT;
  }
  route_select(core, t, r, m.use_candidate, now);
}

/* Consent is an address's (RFC 7675 section 5.1): that of another one does not keep media going there. */
void mt_transport_check_consent(mt_core *core, mt_transport *t, int64_t now) {
  int64_t consent = (int64_t)core->settings.consent_ms * MT_MS;
  if (!t->was_connected || t->silent) return;
  if (t->selected && now - t->selected->seen >= consent) route_lose(core, t->selected, now);
  if (now - t->heard < consent) return;
  t->silent = true;
  for (unsigned i = 0; i < MT_MAX_ROUTES; i++) mt_route_drop(core, &t->routes[i]);
  mt_change(core, &t->changes, MT_CHANGED_SILENT);
}

/* ---- DTLS ---- */

void mt_dtls_datagram(mt_core *core, int64_t now, const mt_path *from, const uint8_t *data, size_t len) {
  mt_route *r = mt_route_find(core, from);
  if (!r) {
    core->counters.dropped_unknown_address++;
    return;
  }
  mt_transport *t = r->transport;
  t->stats.packets_in++;
  t->stats.bytes_in += len;
  t->dtls_tokens += (double)(now - t->dtls_filled) / MT_SECOND * core->settings.dtls_per_second;
  t->dtls_filled = now;
  if (t->dtls_tokens > DTLS_BURST) t->dtls_tokens = DTLS_BURST;
  if (t->dtls_tokens < 1) {
    core->counters.dropped_dtls_rate++;
    return;
  }
  t->dtls_tokens--;
  mt_event e = {.type = MT_EVENT_DTLS, .id = t->id, .data = data, .len = len};
  if (!core->sink.event(core->sink.context, &e)) core->counters.dropped_dtls_events++;
}

/* ---- SSRCs that we send ---- */

/* No index is used twice: where a consumer ends a later one with its SSRC begins. Python gives no SSRC twice in a room's life, which is
 * why those that ended many thousands ago may be forgotten. */
static bool note_sender(mt_core *core, mt_transport *t, const mt_sender *s) {
  mt_ledger_entry e = {.ssrc = s->ssrc, .rtp_next = s->next};
  if (mt_ledger_put(&t->sent, &e, core->settings.seed)) return true;
  if (t->sent.count < MT_LEDGER_MAX) return false;
  mt_ledger_free(&t->sent_before);
  t->sent_before = t->sent;
  t->sent = (mt_ledger){0};
  return mt_ledger_put(&t->sent, &e, core->settings.seed);
}

bool mt_sender_take(mt_core *core, mt_transport *t, uint32_t ssrc, mt_sender *out) {
  if (mt_table_first(&t->consumers_by_ssrc, mt_hash64(ssrc))) return false;
  const mt_ledger_entry *e = mt_ledger_find(&t->sent, ssrc, core->settings.seed);
  if (!e) e = mt_ledger_find(&t->sent_before, ssrc, core->settings.seed);
  /* below 2^15, or a receiver that missed the first packets guesses the wrong roll-over count */
  *out = (mt_sender){ssrc, e ? e->rtp_next : 1 + mt_random(core) % 0x7000};
  return note_sender(core, t, out); /* now, when it can still be refused; at its end there is room for it */
}

void mt_sender_leave(mt_core *core, mt_transport *t, const mt_sender *s) { note_sender(core, t, s); }

/* ---- life ---- */

mt_transport *mt_transport_new(mt_core *core, int64_t now, uint32_t id) {
  if (mt_find_transport(core, id)) {
    core->counters.commands_refused++;
    return NULL;
  }
  mt_transport *t = calloc(1, sizeof *t);
  bool ok = t != NULL;
  if (ok) {
    ok = mt_table_init(&t->sources, 8);
    ok = mt_table_init(&t->consumers_by_ssrc, 8) && ok;
  }
  if (!ok) {
    core->counters.dropped_no_memory++;
    if (t) {
      mt_table_free(&t->sources);
      mt_table_free(&t->consumers_by_ssrc);
    }
    free(t);
    return NULL;
  }
  t->id = t->stats.id = id;
  t->changes.kind = MT_KIND_TRANSPORT;
  t->dtls_tokens = DTLS_BURST;
  t->dtls_filled = now;
  t->next_report = now + REPORT_FIRST_US + (int64_t)(mt_random(core) % MT_SECOND);
  t->reported = now;
  t->rtcp_ssrc = (uint32_t)mt_random(core) | 1;
  mt_list_init(&t->link);
  mt_list_init(&t->changes.link);
  mt_list_init(&t->producers);
  mt_list_init(&t->consumers);
  mt_list_init(&t->idle);
  mt_list_append(&core->all_transports, &t->link);
  mt_table_insert(&core->transports, &t->node, mt_hash64(t->id));
  return t;
}

void mt_transport_add(mt_core *core, int64_t now, const mt_command *c) {
  mt_transport *t = mt_transport_new(core, now, c->id);
  if (t) credentials_set(core, t, &t->credentials[0], c);
}

void mt_transport_restart(mt_core *core, mt_transport *t, const mt_command *c) {
  credentials_drop(core, &t->credentials[1]);
  mt_command before = {.type = c->type};
  before.u.ice.ufrag = t->credentials[0].ufrag;
  before.u.ice.password = t->credentials[0].password;
  credentials_drop(core, &t->credentials[0]);
  credentials_set(core, t, &t->credentials[1], &before);
  credentials_set(core, t, &t->credentials[0], c);
  OPENSSL_cleanse(&before, sizeof before);
}

void mt_transport_keys(mt_core *core, mt_transport *t, const mt_command *c, int64_t now) {
  mt_srtp *srtp = mt_srtp_new((mt_srtp_profile)c->u.srtp.profile, c->u.srtp.tx, c->u.srtp.rx);
  /* A transport has one DTLS association and so one pair of keys: with others the windows and indices would have to start anew. */
  if (!srtp || t->srtp) {
    mt_srtp_free(srtp);
    core->counters.commands_refused++;
    return;
  }
  t->srtp = srtp;
  MT_EACH(item, &t->consumers) {
    mt_consumer *consumer = MT_OF(item, mt_consumer, in_transport);
    if (!consumer->paused) mt_consumer_begin(core, consumer, now);
  }
}

void mt_transport_remove(mt_core *core, mt_transport *t) {
  MT_EACH(item, &t->consumers) mt_consumer_remove(core, MT_OF(item, mt_consumer, in_transport));
  MT_EACH(item, &t->producers) mt_producer_remove(core, MT_OF(item, mt_producer, in_transport));
  for (unsigned i = 0; i < MT_MAX_ROUTES; i++) mt_route_drop(core, &t->routes[i]);
  credentials_drop(core, &t->credentials[0]);
  credentials_drop(core, &t->credentials[1]);
  mt_twcc_free(t);
  mt_srtp_free(t->srtp);
  free(t->plain);
  mt_sources_free(t);
  mt_ledger_free(&t->sent);
  mt_ledger_free(&t->sent_before);
  mt_table_free(&t->sources);
  mt_table_free(&t->consumers_by_ssrc);
  mt_table_remove(&core->transports, &t->node);
  mt_list_remove(&t->link);
  mt_list_remove(&t->changes.link);
  free(t);
}
