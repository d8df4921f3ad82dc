/* See visits.h. */
#include "core/visits.h"

#include "egress/downlink.h"
#include "egress/playout.h"
#include "egress/viewer.h"
#include "paths/routes.h"
#include "periodic/reports.h"
#include "periodic/rounds.h"
#include "state/marks.h"

/* Without these only consent and reports have work for a round. */
static bool is_busy(const mt_transport *t) {
  return !mt_list_empty(&t->producers) || !mt_list_empty(&t->consumers) || t->downlink || mt_viewer_loss_level(t);
}

/* A quiet transport goes into the wheel. One whose next visit is due already stays where each round visits it. */
static void rest(mt_core *core, mt_transport *t, int64_t now) {
  if (is_busy(t)) return;
  int64_t at = now + (MT_WHEEL_SLOTS - 1) * (int64_t)MT_ROUND_US, ends = mt_transport_consent_ends(core, t);
  if (t->next_report < at) at = t->next_report;
  if (ends < at) at = ends;
  if (at <= now) return;
  t->visit_at = at;
  t->quiet = true;
  mt_list_append(&core->wheel[at / MT_ROUND_US % MT_WHEEL_SLOTS], &t->in_visits);
}

static void visit(mt_core *core, mt_transport *t, int64_t now) {
  mt_transport_check_consent(core, t, now);
  mt_viewer_round(t, now);
  mt_playout_round(t, now);
  MT_EACH (link, &t->producers) mt_producer_round(core, MT_OF(link, mt_producer, in_transport), now);
  mt_downlink_round(core, t, now);
  if (now >= t->next_report) mt_transport_report(core, t, now);
  rest(core, t, now);
}

/* The slot of this round keeps those that are due in it, but later than now. The next round looks at it again. */
static void visit_slot(mt_core *core, mt_list *slot, int64_t now) {
  MT_EACH (item, slot) {
    mt_transport *t = MT_OF(item, mt_transport, in_visits);
    if (t->visit_at > now) continue;
    mt_mark_busy(core, t);
    visit(core, t, now);
  }
}

void mt_visits_round(mt_core *core, int64_t now) {
  int64_t slot = core->wheel_at, last = now / MT_ROUND_US;
  core->wheel_at = last;
  MT_EACH (item, &core->busy) visit(core, MT_OF(item, mt_transport, in_visits), now);
  for (unsigned i = 0; i < MT_WHEEL_SLOTS && slot <= last; i++, slot++) visit_slot(core, &core->wheel[slot % MT_WHEEL_SLOTS], now);
}
