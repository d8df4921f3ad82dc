/* See pacing.h. */
#include "egress/pacing.h"

#include "egress/forward.h"
#include "egress/pacer.h"
#include "egress/probing.h"

enum { STEP_US = 5 * MT_MS }; /* between two steps */

/* The room that the queue has now is for the consumers that are behind, some packets for each in turn. */
static void fill_queue(mt_core *core, mt_downlink *d, int64_t now) {
  while (!mt_list_empty(&d->behind)) {
    mt_consumer *c = MT_OF(d->behind.next, mt_consumer, behind);
    if (!mt_pacer_has_room(c)) return;
    mt_consumer_go_on(core, c, now);
  }
}

/* Returns the time of the next step, or INT64_MAX if nothing waits. */
static int64_t step(mt_core *core, mt_downlink *d, int64_t now) {
  mt_pacer_release(core, d, now);
  fill_queue(core, d, now);
  bool probing = mt_probe_step(core, d, now);
  if (d->count || probing) return now + STEP_US;
  mt_pacer_rest(core, d);
  return INT64_MAX;
}

void mt_pacers_drain(mt_core *core, int64_t now) {
  MT_EACH (item, &core->pacing) {
    mt_downlink *d = MT_OF(item, mt_downlink, in_pacing);
    do {
      mt_pacer_empty(core, d, now);
      fill_queue(core, d, now);
    } while (d->count);
  }
}

int64_t mt_pacers_tick(mt_core *core, int64_t now) {
  int64_t next = INT64_MAX;
  MT_EACH (item, &core->pacing) {
    mt_downlink *d = MT_OF(item, mt_downlink, in_pacing);
    if (now >= d->pace_due) d->pace_due = step(core, d, now);
    if (d->pace_due < next) next = d->pace_due;
  }
  return next;
}
