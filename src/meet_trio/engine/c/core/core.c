/* See core.h. */
#include "core/core.h"

#include "core/events.h"
#include "core/exchange.h"
#include "core/plain.h"
#include "core/transport.h"
#include "core/visits.h"
#include "egress/downlink.h"
#include "egress/fanout.h"
#include "egress/keyframes.h"
#include "egress/pacing.h"
#include "egress/resend.h"
#include "egress/scores.h"
#include "egress/sent.h"
#include "formats/rtp.h"
#include "ingress/arrivals.h"
#include "ingress/producer.h"
#include "ingress/rebinding.h"
#include "ingress/receive.h"
#include "ingress/rtcp_in.h"
#include "paths/claims.h"
#include "paths/dtls.h"
#include "paths/ice.h"
#include "paths/routes.h"
#include "periodic/requests.h"
#include "periodic/rounds.h"
#include "state/core_state.h"

#include <stdlib.h>

enum { LEAST_TICK_US = 5 * MT_MS }; /* between two ticks */

enum { FIRST_SLOTS = 64 }; /* of a table */

/* First bytes of datagrams (RFC 7983 section 7) */
enum { STUN_LAST = 3, DTLS_FIRST = 20, DTLS_LAST = 63 };

/* ---- birth and death ---- */

mt_core *mt_core_new_in(mt_region *region, const mt_settings *settings, const mt_sink *sink) {
  mt_core *core = region ? calloc(1, sizeof *core) : NULL;
  if (!core) {
    mt_region_free(region);
    return NULL;
  }
  core->region = region;
  core->settings = *settings;
  core->sink = *sink;
  core->random = settings->seed;
  mt_pool_init(&core->packets, sizeof(mt_packet));
  mt_pool_init(&core->missing, MT_MAX_MISSING * sizeof(mt_missing));
  mt_pool_init(&core->queues, MT_QUEUE_SLOTS * sizeof(mt_queued));
  mt_sent_init(core);
  mt_departures_pools(&core->departures);
  mt_list *lists[] = {&core->traces,  &core->all_transports, &core->mirrors, &core->links,   &core->changed,    &core->nacking,
                      &core->wanting, &core->feeding,        &core->owed,    &core->scored,  &core->allocating, &core->gathered,
                      &core->pacing,  &core->claims,         &core->tailing, &core->holding, &core->busy};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) mt_list_init(lists[i]);
  for (size_t i = 0; i < MT_WHEEL_SLOTS; i++) mt_list_init(&core->wheel[i]);
  mt_table *tables[] = {&core->transports, &core->producers,       &core->consumers,       &core->ufrags,
                        &core->routes,     &core->sources_by_ssrc, &core->sources_by_index};
  bool ok = true;
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) ok = mt_table_init(tables[i], FIRST_SLOTS) && ok;
  if (ok) return core;
  mt_core_free(core);
  return NULL;
}

mt_core *mt_core_new(const mt_settings *settings, const mt_sink *sink) {
  return mt_core_new_in(mt_region_new(-1, 0, 0), settings, sink);
}

void mt_core_leave(mt_core *core, bool died) {
  mt_region_detach(core->region);
  mt_exchange_leave(core, died);
}

void mt_core_free(mt_core *core) {
  if (!core) return;
  mt_core_leave(core, false);
  MT_EACH (item, &core->mirrors) mt_producer_remove(core, MT_OF(item, mt_producer, in_transport));
  MT_EACH (item, &core->all_transports) mt_transport_remove(core, MT_OF(item, mt_transport, in_core));
  mt_table *tables[] = {&core->transports, &core->producers,       &core->consumers,       &core->ufrags,
                        &core->routes,     &core->sources_by_ssrc, &core->sources_by_index};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) mt_table_free(tables[i]);
  mt_pool_free(&core->packets);
  mt_pool_free(&core->missing);
  mt_pool_free(&core->queues);
  mt_pools_free(&core->sent);
  mt_pools_free(&core->departures);
  mt_region_free(core->region);
  free(core);
}

/* ---- datagrams ---- */

static void media_datagram(mt_core *core, int64_t now, const mt_path *from, uint8_t *data, size_t len) {
  mt_route *route = mt_route_find(core, from);
  if (!route) route = mt_rebinding_try(core, from, data, len, now);
  if (!route) {
    core->counters.dropped_unknown_address++;
    return;
  }
  mt_transport *t = route->transport;
  uint32_t advances = t->advances;
  if (mt_is_rtcp(data, len)) mt_rtcp_datagram(core, now, t, data, len);
  else mt_rtp_datagram(core, now, t, data, len);
  mt_claim_route_heard(core, route, t->advances != advances, now);
}

void mt_core_datagram(mt_core *core, int64_t now, const mt_path *from, uint8_t *data, size_t len) {
  core->last_now = now;
  core->counters.datagrams_in++;
  core->counters.bytes_in += len;
  if (from->kind == MT_PATH_PLAIN_RTP || from->kind == MT_PATH_PLAIN_RTCP) {
    mt_plain_datagram(core, now, from, data, len);
  } else if (len > 0 && data[0] <= STUN_LAST) {
    mt_ice_datagram(core, now, from, data, len);
  } else if (len > 0 && data[0] >= DTLS_FIRST && data[0] <= DTLS_LAST) {
    mt_dtls_datagram(core, now, from, data, len);
  } else if (mt_is_rtp_or_rtcp(data, len)) {
    media_datagram(core, now, from, data, len);
  } else {
    core->counters.dropped_unknown_kind++;
  }
}

void mt_core_gather(mt_core *core) { core->gathering = true; }

void mt_core_forward(mt_core *core, int64_t now) { mt_fanout_settle(core, now); }

bool mt_core_knows(mt_core *core, const mt_path *path) { return mt_route_find(core, path) != NULL; }

void mt_core_path_closed(mt_core *core, int64_t now, const mt_path *path) {
  mt_fanout_settle(core, now);
  mt_route *r = mt_route_find(core, path);
  if (r) mt_route_lose(core, r, now);
}

/* ---- time ---- */

/* The work that is due ten times a second. */
static void round_of_all(mt_core *core, int64_t now) {
  mt_exchange_round(core);
  mt_pool_trim(&core->packets);
  mt_pool_trim(&core->missing);
  mt_region_trim(core->region);
  mt_region_alive(core->region, now);
  mt_pool_trim(&core->queues);
  mt_pools_trim(&core->sent);
  mt_pools_trim(&core->departures);
  mt_scores_round(core, now);
  mt_owed_round(core, now);
  MT_EACH (item, &core->mirrors) mt_mirror_round(core, MT_OF(item, mt_producer, in_transport), now);
  mt_visits_round(core, now);
}

static int64_t earlier(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t mt_core_tick(mt_core *core, int64_t now) {
  mt_fanout_settle(core, now);
  if (now < core->next_tick) return core->next_tick;
  core->last_now = now;
  int64_t next = mt_claims_tick(core, now); /* first: it decides where the round's reports go */
  if (now >= core->next_round) {
    core->next_round = now + MT_ROUND_US;
    round_of_all(core, now);
  }
  next = earlier(next, core->next_round);
  next = earlier(next, mt_nack_tick(core, now));
  next = earlier(next, mt_tail_tick(core, now));
  next = earlier(next, mt_resend_tick(core, now));
  next = earlier(next, mt_keyframe_tick(core, now));
  next = earlier(next, mt_twcc_tick(core, now));
  mt_allocations_tick(core, now);
  next = earlier(next, mt_pacers_tick(core, now));
  mt_events_offer(core, now);
  next = earlier(next, mt_traces_offer(core, now)); /* after all others */
  if (next < now + LEAST_TICK_US) next = now + LEAST_TICK_US;
  core->next_tick = next;
  return next;
}
