/* See routes.h. */
#include "paths/routes.h"

#include "state/marks.h"

#include <openssl/crypto.h>
#include <string.h>

enum {
  ROUTE_STALE_US = 8 * MT_SECOND,  /* a route not heard for this long does not work; browsers check every 2.5 s */
  OWNER_SILENT_US = 3 * MT_SECOND, /* without a check or a newer packet for this long an address is another's for the asking */
};

/* ---- credentials ---- */

static uint64_t ufrag_hash(const mt_core *core, const void *ufrag, size_t len) {
  return mt_hash_bytes(ufrag, len, core->settings.seed);
}

void mt_credentials_set(mt_core *core, mt_transport *t, mt_credentials *slot, const mt_ice_spec *ice) {
  slot->transport = t;
  slot->ufrag = ice->ufrag;
  slot->password = ice->password;
  slot->used = true;
  mt_table_insert(&core->ufrags, &slot->node, ufrag_hash(core, slot->ufrag.text, slot->ufrag.len));
}

void mt_credentials_drop(mt_core *core, mt_credentials *slot) {
  if (!slot->used) return;
  mt_table_remove(&core->ufrags, &slot->node);
  OPENSSL_cleanse(&slot->password, sizeof slot->password);
  slot->used = false;
}

mt_credentials *mt_credentials_find(mt_core *core, const uint8_t *ufrag, size_t len) {
  for (mt_node *n = mt_table_first(&core->ufrags, ufrag_hash(core, ufrag, len)); n; n = mt_table_next(n)) {
    mt_credentials *c = MT_OF(n, mt_credentials, node);
    if (c->ufrag.len == len && memcmp(c->ufrag.text, ufrag, len) == 0) return c;
  }
  return NULL;
}

/* ---- routes ---- */

/* A check came by the route after `time`. A claimed route has not had any. */
static bool heard_since(const mt_route *r, int64_t time) { return r->seen && r->seen > time; }

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
  mt_transport *t = route->transport;
  if (t->selected == route) t->selected = NULL;
  if (t->claim.before == route) t->claim.before = NULL;
  if (t->claim.route == route) {
    t->claim.route = NULL;
    mt_list_remove(&t->claim.in_claims);
  }
  route->used = false;
}

/* A free place for a route, or else the place of the route heard longest ago, which is never the selected one. */
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

static mt_route *put_route(mt_core *core, mt_transport *t, mt_route *place, const mt_path *path) {
  *place = (mt_route){.transport = t, .path = *path, .used = true};
  mt_table_insert(&core->routes, &place->node, mt_path_hash(path, core->settings.seed));
  return place;
}

mt_route *mt_route_add_idle(mt_core *core, mt_transport *t, const mt_path *path, int64_t now) {
  for (unsigned i = 0; i < MT_MAX_ROUTES; i++) {
    mt_route *r = &t->routes[i];
    if (r->used && (r == t->selected || heard_since(r, now - ROUTE_STALE_US))) continue;
    mt_route_drop(core, r);
    return put_route(core, t, r, path);
  }
  return NULL;
}

/* True: the route's transport was heard there lately. A claim that no check has confirmed does not count. */
static bool in_use(const mt_route *r, int64_t now) {
  int64_t lately = now - OWNER_SILENT_US;
  return r != r->transport->claim.route && (heard_since(r, lately) || (r->advanced && r->advanced > lately));
}

mt_route *mt_route_prove(mt_core *core, mt_transport *t, const mt_path *path, int64_t now) {
  mt_route *r = mt_route_find(core, path);
  uint32_t taken_from = 0;
  if (r && r->transport != t) {
    bool taken_back = r->taken_from == t->id && now - r->taken < (int64_t)core->settings.consent_ms * MT_MS;
    if (!taken_back && in_use(r, now)) return NULL;
    if (!taken_back && r != r->transport->claim.route) taken_from = r->transport->id;
    mt_route_lose(core, r, now);
    r = NULL;
  }
  if (!r) {
    r = put_route(core, t, route_place(core, t), path);
    r->taken_from = taken_from;
    r->taken = now;
  }
  r->seen = now;
  return r;
}

void mt_route_select(mt_core *core, mt_transport *t, mt_route *r, bool nominated, int64_t now) {
  bool current_works = t->selected && heard_since(t->selected, now - ROUTE_STALE_US);
  if (t->selected == r || (current_works && !nominated)) return;
  t->selected = r;
  mt_mark_busy(core, t); /* its consent may end earlier than that of the one before */
  if (t->was_connected) t->moved = now;
  mt_change(core, &t->changes, t->was_connected ? MT_CHANGED_MOVED : MT_CHANGED_CONNECTED);
  t->was_connected = true;
}

void mt_route_resume(mt_core *core, mt_transport *t, const mt_path *path, int64_t seen) {
  t->selected = put_route(core, t, route_place(core, t), path);
  t->selected->seen = seen;
}

void mt_route_lose(mt_core *core, mt_route *r, int64_t now) {
  mt_transport *t = r->transport;
  bool was_selected = t->selected == r;
  mt_route_drop(core, r);
  mt_route *best = NULL;
  for (unsigned i = 0; was_selected && i < MT_MAX_ROUTES; i++) {
    mt_route *other = &t->routes[i];
    if (other->used && heard_since(other, now - ROUTE_STALE_US) && (!best || other->seen > best->seen)) best = other;
  }
  if (best) mt_route_select(core, t, best, true, now);
}

/* ---- consent ---- */

static int64_t consent_us(const mt_core *core) { return (int64_t)core->settings.consent_ms * MT_MS; }

/* Media to a claimed address needs no consent: it is bounded by paths/claims.h. */
static bool needs_consent(const mt_transport *t) { return t->selected && t->selected != t->claim.route; }

int64_t mt_transport_consent_ends(const mt_core *core, const mt_transport *t) {
  if (!t->was_connected || t->silent) return INT64_MAX;
  bool selected_first = needs_consent(t) && t->selected->seen < t->heard;
  return (selected_first ? t->selected->seen : t->heard) + consent_us(core);
}

/* Each address has a consent of its own (RFC 7675 section 5.1): requests from another address do not keep media flowing to this
 * one. */
void mt_transport_check_consent(mt_core *core, mt_transport *t, int64_t now) {
  if (!t->was_connected || t->silent) return;
  if (needs_consent(t) && now - t->selected->seen >= consent_us(core)) mt_route_lose(core, t->selected, now);
  if (now - t->heard < consent_us(core)) return;
  t->silent = true;
  for (unsigned i = 0; i < MT_MAX_ROUTES; i++) mt_route_drop(core, &t->routes[i]);
  mt_change(core, &t->changes, MT_CHANGED_SILENT);
}
