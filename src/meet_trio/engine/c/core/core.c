/* The core's doors: datagrams by kind (RFC 7983), commands by type, the tick, and events on their way out.
 *
 * State changes are not queued but flagged on the object they happened to, and a flagged object stands in one list until
 * the sink has taken its events. So nothing is lost when Python is slow, and ten changes of a layer become one event.
 */
#include "core/core.h"

#include "core/plain.h"
#include "core/transport.h"
#include "egress/consumer.h"
#include "egress/keyframes.h"
#include "egress/layers.h"
#include "egress/relay.h"
#include "egress/scores.h"
#include "formats/rtp.h"
#include "links/ends.h"
#include "links/link.h"
#include "paths/dtls.h"
#include "paths/ice.h"
#include "paths/routes.h"
#include "state/core_state.h"
#include "state/find.h"
#include "state/state.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUND_US = 100 * MT_MS, LEAST_TICK_US = 5 * MT_MS };

/* ---- small things that everybody uses ---- */

/* ---- birth and death ---- */

mt_core *mt_core_new(const mt_settings *settings, const mt_sink *sink) {
  mt_core *core = calloc(1, sizeof *core);
  if (!core) return NULL;
  core->settings = *settings;
  core->sink = *sink;
  core->random = settings->seed;
  mt_pool_init(&core->pool, sizeof(mt_packet));
  mt_pool_init(&core->memories, MT_MEMORY_BYTES);
  mt_list *lists[] = {&core->all_transports, &core->mirrors, &core->links, &core->changed, &core->nacking,
                      &core->wanting,        &core->feeding, &core->owed,  &core->scored};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) mt_list_init(lists[i]);
  mt_table *tables[] = {&core->transports, &core->producers, &core->consumers, &core->ufrags, &core->routes};
  bool ok = true;
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) ok = mt_table_init(tables[i], 64) && ok;
  if (ok) return core;
  mt_core_free(core);
  return NULL;
}

void mt_core_free(mt_core *core) {
  if (!core) return;
  mt_core_leave_links(core);
  MT_EACH(item, &core->mirrors) mt_producer_remove(core, MT_OF(item, mt_producer, in_transport));
  MT_EACH(item, &core->all_transports) mt_transport_remove(core, MT_OF(item, mt_transport, link));
  mt_table *tables[] = {&core->transports, &core->producers, &core->consumers, &core->ufrags, &core->routes};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) mt_table_free(tables[i]);
  mt_pool_free(&core->pool);
  mt_pool_free(&core->memories);
  free(core);
}

/* ---- datagrams ---- */

void mt_core_datagram(mt_core *core, int64_t now, const mt_path *from, uint8_t *data, size_t len) {
  core->counters.datagrams_in++;
  core->counters.bytes_in += len;
  if (from->kind == MT_PATH_PLAIN_RTP || from->kind == MT_PATH_PLAIN_RTCP) {
    mt_plain_datagram(core, now, from, data, len);
  } else if (len > 0 && data[0] < 4) {
    mt_ice_datagram(core, now, from, data, len);
  } else if (len > 0 && data[0] >= 20 && data[0] < 64) {
    mt_dtls_datagram(core, now, from, data, len);
  } else if (mt_is_rtp_or_rtcp(data, len)) {
    mt_route *route = mt_route_find(core, from);
    if (!route) core->counters.dropped_unknown_address++;
    else if (mt_is_rtcp(data, len)) mt_rtcp_datagram(core, now, route->transport, data, len);
    else mt_rtp_datagram(core, now, route->transport, data, len);
  } else {
    core->counters.dropped_unknown_kind++;
  }
}

bool mt_core_knows(mt_core *core, const mt_path *path) { return mt_route_find(core, path) != NULL; }

void mt_core_path_closed(mt_core *core, int64_t now, const mt_path *path) {
  mt_route *r = mt_route_find(core, path);
  if (r) mt_route_lose(core, r, now);
}

/* ---- commands ---- */

static bool known(mt_core *core, const void *found) {
  if (!found) core->counters.commands_for_unknown_ids++;
  return found != NULL;
}

/* A transport of the kind that the command is for. */
static bool fits(mt_core *core, const mt_transport *t, bool plain) {
  if (!known(core, t)) return false;
  if ((t->plain != NULL) == plain) return true;
  core->counters.commands_refused++;
  return false;
}

static void request_stats(mt_core *core, uint32_t token) {
  core->next_tick = 0;
  if (core->stats_count < MT_MAX_WAITING_STATS) core->stats_waiting[core->stats_count++] = token;
  else core->counters.commands_refused++;
}

/* No `default`: the compiler names the command that is missing here. */
void mt_core_command(mt_core *core, int64_t now, const mt_command *c) {
  mt_transport *t = mt_find_transport(core, c->id);
  mt_producer *producer = mt_find_producer(core, c->id);
  mt_consumer *consumer = mt_find_consumer(core, c->id);
  mt_transport *home = mt_find_transport(core, c->transport); /* of a new producer or consumer */
  core->counters.commands++;
  switch (c->type) {
  case MT_ADD_TRANSPORT: mt_transport_add(core, c->id, &c->u.ice, now); break;
  case MT_RESTART_ICE:
    if (fits(core, t, false)) mt_transport_restart(core, t, &c->u.ice);
    break;
  case MT_SET_SRTP:
    if (fits(core, t, false)) mt_transport_keys(core, t, &c->u.srtp, now);
    break;
  case MT_SEND_DTLS:
    if (fits(core, t, false)) mt_dtls_send(core, t, &c->u.data);
    break;
  case MT_REMOVE_TRANSPORT:
    if (known(core, t)) mt_transport_remove(core, t);
    break;
  case MT_SET_MAX_BITRATE:
    if (known(core, t)) t->max_bitrate = c->u.number;
    break;
  case MT_ADD_PLAIN_TRANSPORT: mt_plain_add(core, c->id, &c->u.plain, now); break;
  case MT_CONNECT_PLAIN:
    if (fits(core, t, true)) mt_plain_connect(core, t, &c->u.remote, now);
    break;
  case MT_ADD_PRODUCER:
  case MT_ADD_MIRROR: mt_producer_add(core, c); break;
  case MT_PAUSE_PRODUCER:
    if (known(core, producer)) mt_producer_pause(core, producer, c->u.number != 0, now);
    break;
  case MT_REMOVE_PRODUCER:
    if (known(core, producer)) mt_producer_remove(core, producer);
    break;
  case MT_REQUEST_KEYFRAME:
    if (known(core, producer)) mt_producer_want_keyframe(core, producer, now);
    break;
  case MT_ADD_LINK: mt_link_join(core, c->u.link, MT_SINK); break;
  case MT_RELAY_PRODUCER: mt_relay_start(core, c->id, c->u.link, now); break;
  case MT_STOP_RELAYING: mt_relay_stop(core, c->id, c->u.link); break;
  case MT_ADD_CONSUMER:
    if (known(core, home)) mt_consumer_add(core, c->id, home, c->producer, &c->u.consumer_spec, now);
    break;
  case MT_PAUSE_CONSUMER:
    if (known(core, consumer)) mt_consumer_pause(core, consumer, c->u.number != 0, now);
    break;
  case MT_SET_LAYER:
    if (known(core, consumer)) mt_consumer_prefer_layer(core, consumer, c->u.number, now);
    break;
  case MT_REMOVE_CONSUMER:
    if (known(core, consumer)) mt_consumer_remove(core, consumer);
    break;
  case MT_REQUEST_STATS: request_stats(core, c->id); break;
  }
}

void mt_command_release(mt_command *c) {
  if (c->type == MT_SEND_DTLS) free(c->u.data.bytes);
  if (c->type == MT_ADD_PLAIN_TRANSPORT && c->u.plain.rtp_fd >= 0) close(c->u.plain.rtp_fd);
  if (c->type == MT_ADD_PLAIN_TRANSPORT && c->u.plain.rtcp_fd >= 0) close(c->u.plain.rtcp_fd);
  if (c->type == MT_ADD_LINK || c->type == MT_RELAY_PRODUCER || c->type == MT_STOP_RELAYING) mt_link_drop(c->u.link);
  OPENSSL_cleanse(&c->u, sizeof c->u); /* passwords and keys */
}

/* The other end of a link is to hear that this one has never been held. */
void mt_command_discard(mt_command *c) {
  if (c->type == MT_ADD_LINK) mt_link_close(c->u.link, MT_SINK);
  if (c->type == MT_RELAY_PRODUCER) mt_link_close(c->u.link, MT_SOURCE);
  mt_command_release(c);
}

/* ---- events ---- */

static bool offer(mt_core *core, mt_changes *changes, uint32_t flag, const mt_event *e) {
  if (!(changes->flags & flag)) return true;
  if (!core->sink.event(core->sink.context, e)) return false;
  changes->flags &= ~flag;
  return true;
}

static bool offer_transport(mt_core *core, mt_transport *t) {
  mt_event e = {.id = t->id};
  if (t->selected) e.path = t->selected->path;
  else t->changes.flags &= ~(uint32_t)(MT_CHANGED_CONNECTED | MT_CHANGED_MOVED);
  if (t->plain) {
    e.type = MT_EVENT_PLAIN_CONNECTED;
    return offer(core, &t->changes, MT_CHANGED_CONNECTED, &e);
  }
  return (e.type = MT_EVENT_ICE_CONNECTED, offer(core, &t->changes, MT_CHANGED_CONNECTED, &e)) &&
         (e.type = MT_EVENT_ICE_MOVED, offer(core, &t->changes, MT_CHANGED_MOVED, &e)) &&
         (e.type = MT_EVENT_ICE_SILENT, offer(core, &t->changes, MT_CHANGED_SILENT, &e));
}

static bool offer_producer(mt_core *core, mt_producer *p) {
  mt_event e = {.id = p->id, .type = MT_EVENT_STREAM_STARTED};
  for (uint8_t i = 0; i < p->spec.encoding_count; i++) {
    e.index = i;
    e.number = p->streams[i].stats.ssrc;
    if (!offer(core, &p->changes, (uint32_t)MT_CHANGED_STARTED << i, &e)) return false;
  }
  e.type = MT_EVENT_AUDIO_LEVEL;
  e.value = p->level_told;
  if (!offer(core, &p->changes, MT_CHANGED_LEVEL, &e)) return false;
  e.type = MT_EVENT_PRODUCER_SCORE;
  e.index = p->spec.encoding_count;
  for (uint8_t i = 0; i < e.index; i++) e.scores[i] = p->streams[i].stats.score;
  return offer(core, &p->changes, MT_CHANGED_SCORE, &e);
}

static bool offer_consumer(mt_core *core, mt_consumer *c) {
  mt_event e = {.id = c->id, .type = MT_EVENT_LAYER_CHANGED, .value = c->told_layer};
  if (!offer(core, &c->changes, MT_CHANGED_LAYER, &e)) return false;
  e.type = MT_EVENT_CONSUMER_SCORE;
  e.value = c->told_score;
  return offer(core, &c->changes, MT_CHANGED_SCORE, &e);
}

/* False: the sink is full. */
static bool offer_events(mt_core *core, int64_t now) {
  MT_EACH(item, &core->changed) {
    mt_changes *changes = MT_OF(item, mt_changes, link);
    bool taken = false;
    switch (changes->kind) {
    case MT_KIND_TRANSPORT: taken = offer_transport(core, MT_OF(changes, mt_transport, changes)); break;
    case MT_KIND_PRODUCER: taken = offer_producer(core, MT_OF(changes, mt_producer, changes)); break;
    case MT_KIND_CONSUMER: taken = offer_consumer(core, MT_OF(changes, mt_consumer, changes)); break;
    }
    if (!taken) return false;
    mt_list_remove(&changes->link);
  }
  while (core->stats_count) {
    mt_event e = {.type = MT_EVENT_STATS, .id = core->stats_waiting[0]};
    mt_stats *stats = mt_stats_take(core, now);
    if (!stats) {
      core->counters.dropped_no_memory++;
      return false;
    }
    e.data = stats;
    if (!core->sink.event(core->sink.context, &e)) {
      mt_stats_free(stats);
      return false;
    }
    core->stats_count--;
    memmove(core->stats_waiting, core->stats_waiting + 1, core->stats_count * sizeof *core->stats_waiting);
  }
  return true;
}

/* ---- time ---- */

static void round_of_all(mt_core *core, int64_t now) {
  mt_links_round(core);
  mt_pool_trim(&core->pool);
  mt_pool_trim(&core->memories);
  mt_scores_round(core, now);
  mt_owed_round(core, now);
  MT_EACH(item, &core->mirrors) mt_mirror_round(core, MT_OF(item, mt_producer, in_transport), now);
  MT_EACH(item, &core->all_transports) {
    mt_transport *t = MT_OF(item, mt_transport, link);
    mt_transport_check_consent(core, t, now);
    MT_EACH(link, &t->producers) mt_producer_round(core, MT_OF(link, mt_producer, in_transport), now);
    if (now >= t->next_report) mt_transport_report(core, t, now);
  }
}

static int64_t earlier(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t mt_core_tick(mt_core *core, int64_t now) {
  if (now < core->next_tick) return core->next_tick;
  core->last_now = now;
  if (now >= core->next_round) {
    core->next_round = now + ROUND_US;
    round_of_all(core, now);
  }
  int64_t next = core->next_round;
  next = earlier(next, mt_nack_tick(core, now));
  next = earlier(next, mt_keyframe_tick(core, now));
  next = earlier(next, mt_twcc_tick(core, now));
  offer_events(core, now); /* what is not taken now is offered again with the next tick */
  if (next < now + LEAST_TICK_US) next = now + LEAST_TICK_US;
  core->next_tick = next;
  return next;
}
