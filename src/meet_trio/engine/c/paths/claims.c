/* See claims.h. */
#include "paths/claims.h"

#include "paths/routes.h"
#include "state/marks.h"

enum {
  HOLD_US = 100 * MT_MS,       /* nothing came by the selected route for this long: media goes to the claimed one */
  CONFIRM_US = 6 * MT_SECOND,  /* a claim without a check for this long ends; browsers check every 2.5 s */
  PAUSE_US = 10 * MT_SECOND,   /* from the end of a claim that was not confirmed to the next one */
  UNCONFIRMED_BYTES = 2 << 20, /* sent to a claimed route before a check: 2.5 s at 6 Mbit/s */
};

bool mt_claim_possible(const mt_transport *t, int64_t now) {
  return t->srtp && !t->plain && t->selected && t->selected->path.kind == MT_PATH_UDP && !t->claim.route &&
         now >= t->claim.not_before;
}

mt_route *mt_claim_make(mt_core *core, mt_transport *t, const mt_path *path, int64_t now) {
  mt_claim *c = &t->claim;
  c->route = mt_route_add_idle(core, t, path, now);
  if (!c->route) return NULL;
  c->before = NULL;
  c->made = now;
  c->bytes_left = UNCONFIRMED_BYTES;
  mt_list_append(&core->claims, &c->in_claims);
  core->counters.rebindings_claimed++;
  mt_due(core, now + HOLD_US);
  return c->route;
}

/* The route is no claim any more; it stays the transport's. */
static void end(mt_claim *c) {
  mt_list_remove(&c->in_claims);
  c->route = c->before = NULL;
}

/* Drops the claimed route. If it was selected, `instead` is, if it has consent; otherwise the route heard last, if it works. */
static void refuse(mt_core *core, mt_transport *t, mt_route *instead, int64_t now) {
  mt_route *claimed = t->claim.route;
  bool selected = t->selected == claimed;
  end(&t->claim);
  t->claim.not_before = now + PAUSE_US;
  int64_t consent = (int64_t)core->settings.consent_ms * MT_MS;
  if (selected && instead && now - instead->seen < consent) mt_route_select(core, t, instead, true, now);
  mt_route_lose(core, claimed, now);
}

void mt_claim_route_heard(mt_core *core, mt_route *r, bool advanced, int64_t now) {
  mt_transport *t = r->transport;
  r->arrived = now;
  if (!advanced) return;
  r->advanced = now;
  if (!t->claim.route || r == t->claim.route || t->selected != t->claim.route) return;
  core->counters.rebindings_taken_back++;
  refuse(core, t, r, now);
}

void mt_claim_checked(mt_core *core, mt_route *r, int64_t now) {
  mt_transport *t = r->transport;
  if (!t->claim.route) return;
  if (r == t->claim.route) {
    end(&t->claim);
    core->counters.rebindings_confirmed++;
    mt_route_select(core, t, r, true, now); /* the client's newest packets come by it */
  } else if (t->selected == t->claim.route) {
    core->counters.rebindings_taken_back++;
    refuse(core, t, r, now);
  }
}

bool mt_claim_allows(mt_core *core, mt_transport *t, const mt_path *to, size_t len) {
  mt_claim *c = &t->claim;
  if (to != &c->route->path) return true;
  if (len > c->bytes_left) {
    core->counters.dropped_path_unconfirmed++;
    return false;
  }
  c->bytes_left -= len;
  return true;
}

static int64_t later(int64_t a, int64_t b) { return a > b ? a : b; }

int64_t mt_claims_tick(mt_core *core, int64_t now) {
  int64_t next = INT64_MAX;
  MT_EACH (item, &core->claims) {
    mt_transport *t = MT_OF(MT_OF(item, mt_claim, in_claims), mt_transport, claim);
    mt_claim *c = &t->claim;
    int64_t due = c->made + CONFIRM_US;
    if (now >= due) {
      core->counters.rebindings_unconfirmed++;
      refuse(core, t, c->before, now);
      continue;
    }
    if (t->selected != c->route) {
      const mt_route *s = t->selected;
      int64_t silent = HOLD_US + (s ? later(c->made, later(s->arrived, s->seen)) : c->made);
      if (now >= silent) {
        c->before = t->selected;
        core->counters.rebindings_moved++;
        mt_route_select(core, t, c->route, true, now);
      } else if (silent < due) {
        due = silent;
      }
    }
    if (due < next) next = due;
  }
  return next;
}
