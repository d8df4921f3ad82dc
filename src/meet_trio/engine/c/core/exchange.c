/* See exchange.h. */
#include "core/exchange.h"

#include "base/ring.h"
#include "egress/relay.h"
#include "ingress/mirror.h"
#include "links/link.h"
#include "state/core_state.h"

enum { MESSAGES_PER_TURN = 256 }; /* from one link, before other links, sockets and commands get their turn */

static mt_ring *incoming(mt_link_end *end) { return mt_link_side(end) == MT_SINK ? &end->link->crossings : &end->link->wishes; }

static void leave_link(mt_core *core, mt_link_end *end, bool died) {
  mt_side side = mt_link_side(end);
  if (side == MT_SOURCE) mt_relays_end(end);
  else mt_mirrors_lose(core, end, core->last_now);
  end->held = false;
  mt_list_remove(&end->in_core);
  mt_link_close(end->link, side, died);
  mt_link_drop(end->link);
}

void mt_exchange_leave(mt_core *core, bool died) {
  MT_EACH (item, &core->links) leave_link(core, MT_OF(item, mt_link_end, in_core), died);
}

void mt_exchange_round(mt_core *core) {
  MT_EACH (item, &core->links) {
    mt_link_end *end = MT_OF(item, mt_link_end, in_core);
    mt_side other = !mt_link_side(end);
    if (!mt_link_closed(end->link, other)) continue;
    if (mt_link_died(end->link, other) && mt_ring_count(incoming(end))) continue; /* its last packets come first */
    leave_link(core, end, false);
  }
}

void mt_exchange_count(mt_core *core) {
  MT_EACH (item, &core->links) {
    mt_link_end *end = MT_OF(item, mt_link_end, in_core);
    end->waiting = mt_ring_count(incoming(end));
  }
}

bool mt_exchange_idle(mt_core *core) {
  MT_EACH (item, &core->links)
    if (mt_ring_count(incoming(MT_OF(item, mt_link_end, in_core)))) return false;
  return true;
}

bool mt_exchange_take(mt_core *core, int64_t now) {
  bool more = false;
  core->last_now = now;
  core->gathering = true;
  MT_EACH (item, &core->links) {
    mt_link_end *end = MT_OF(item, mt_link_end, in_core);
    mt_ring *ring = incoming(end);
    uint32_t count = end->waiting < MESSAGES_PER_TURN ? end->waiting : MESSAGES_PER_TURN;
    more = more || count < end->waiting;
    end->waiting -= count;
    for (; count; count--) {
      void *message = mt_ring_peek(ring);
      if (mt_link_side(end) == MT_SINK) mt_mirror_take(core, end, message, now);
      else mt_relay_wish(core, end, message, now);
      mt_ring_pop(ring);
    }
  }
  return more;
}

void mt_exchange_flush(mt_core *core) {
  MT_EACH (item, &core->links) {
    mt_link_end *end = MT_OF(item, mt_link_end, in_core);
    if (mt_link_side(end) == MT_SOURCE) mt_ring_flush(&end->link->crossings);
    if (!end->to_wake) continue;
    end->to_wake = false;
    mt_waker_wake(end->link->wakers[!mt_link_side(end)]);
  }
}
