/* See commands.h. */
#include "core/commands.h"

#include "core/begin.h"
#include "core/plain.h"
#include "core/resume.h"
#include "core/snapshot.h"
#include "core/transport.h"
#include "egress/consumer.h"
#include "egress/downlink.h"
#include "egress/fanout.h"
#include "egress/keyframes.h"
#include "egress/layers.h"
#include "egress/relay.h"
#include "ingress/level.h"
#include "ingress/producer.h"
#include "links/ends.h"
#include "links/link.h"
#include "paths/dtls.h"
#include "state/core_state.h"
#include "state/find.h"
#include "state/trace.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <unistd.h>

/* Counts a command for an id that does not exist. */
static bool known(mt_core *core, const void *found) {
  if (!found) core->counters.commands_for_unknown_ids++;
  return found != NULL;
}

/* Counts a command for a transport that does not exist or is of the other kind. */
static bool known_as(mt_core *core, const mt_transport *t, bool plain) {
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

/* The switch has no `default`, so that the compiler names a command that is missing here. */
void mt_core_command(mt_core *core, int64_t now, const mt_command *c) {
  mt_fanout_settle(core, now);
  mt_transport *t = mt_find_transport(core, c->id);
  mt_producer *producer = mt_find_producer(core, c->id);
  mt_consumer *consumer = mt_find_consumer(core, c->id);
  mt_transport *home = mt_find_transport(core, c->transport); /* of the new producer or consumer */
  core->last_now = now;
  core->counters.commands++;
  switch (c->type) {
  case MT_ADD_TRANSPORT: mt_transport_add(core, c->id, &c->u.ice, now); break;
  case MT_RESTART_ICE:
    if (known_as(core, t, false)) mt_transport_restart(core, t, &c->u.ice);
    break;
  case MT_SET_SRTP:
    if (known_as(core, t, false)) mt_transport_keys(core, t, &c->u.srtp, now);
    break;
  case MT_SEND_DTLS:
    if (known_as(core, t, false)) mt_dtls_send(core, t, &c->u.data);
    break;
  case MT_REMOVE_TRANSPORT:
    if (known(core, t)) mt_transport_remove(core, t);
    break;
  case MT_SET_MAX_BITRATE:
    if (known(core, t)) t->max_bitrate = c->u.number;
    break;
  case MT_SET_TRANSPORT_MAX_OUTGOING:
    if (known(core, t)) mt_downlink_limit(core, t, c->u.number);
    break;
  case MT_ADD_PLAIN_TRANSPORT: mt_plain_add(core, c->id, &c->u.plain, now); break;
  case MT_CONNECT_PLAIN:
    if (known_as(core, t, true)) mt_plain_connect(core, t, &c->u.remote, now);
    break;
  case MT_ADD_PRODUCER:
    if (known(core, home)) mt_producer_add(core, c->id, home, &c->u.producer_spec);
    break;
  case MT_ADD_MIRROR: mt_producer_add(core, c->id, NULL, &c->u.producer_spec); break;
  case MT_PAUSE_PRODUCER:
    if (known(core, producer)) mt_producer_pause(core, producer, c->u.number != 0, now);
    break;
  case MT_REMOVE_PRODUCER:
    if (known(core, producer)) mt_producer_remove(core, producer);
    break;
  case MT_REQUEST_KEYFRAME:
    if (known(core, producer)) mt_producer_want_keyframe(core, producer, now);
    break;
  case MT_WATCH_LEVEL:
    if (known(core, producer)) mt_level_watch(core, producer);
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
  case MT_SET_PREFERRED_LAYERS:
    if (known(core, consumer)) mt_consumer_prefer_layers(core, consumer, &c->u.layers, now);
    break;
  case MT_SET_CONSUMER_PRIORITY:
    if (known(core, consumer)) mt_consumer_prioritize(core, consumer, c->u.number);
    break;
  case MT_REQUEST_CONSUMER_KEYFRAME:
    if (known(core, consumer)) mt_consumer_request_keyframe(core, consumer, now);
    break;
  case MT_REMOVE_CONSUMER:
    if (known(core, consumer)) mt_consumer_remove(core, consumer);
    break;
  case MT_REQUEST_STATS: request_stats(core, c->id); break;
  case MT_TRACE_TRANSPORT:
    if (known(core, t)) c->u.number ? mt_trace_begin(core, t) : mt_trace_end(core, t);
    break;
  case MT_RESUME_TRANSPORT:
    if (known(core, t)) mt_resume_transport(core, t, &c->u.resume, now);
    break;
  case MT_RESUME_PRODUCER:
    if (known(core, producer)) mt_resume_producer(core, producer, &c->u.resume, now);
    break;
  case MT_RESUME_CONSUMER:
    if (known(core, consumer)) mt_resume_consumer(core, consumer, &c->u.resume, now);
    break;
  case MT_REQUEST_SNAPSHOT:
    core->snapshot_wanted = c->id;
    core->next_tick = 0;
    break;
  case MT_SNAPSHOT_STORED: mt_snapshot_stored(core, c->id); break;
  case MT_SEND_UNTIL: core->sends_until = (int64_t)c->u.number; break;
  case MT_BEGIN: mt_core_begin(core, now); break;
  case MT_HOLD: mt_core_hold(core, c->id, now); break;
  }
}

void mt_command_release(mt_command *c) {
  if (c->type == MT_SEND_DTLS) free(c->u.data.bytes);
  if (c->type == MT_RESUME_TRANSPORT || c->type == MT_RESUME_PRODUCER || c->type == MT_RESUME_CONSUMER) {
    OPENSSL_cleanse(c->u.resume.blob.bytes, c->u.resume.blob.len);
    free(c->u.resume.blob.bytes);
  }
  if (c->type == MT_ADD_PLAIN_TRANSPORT && c->u.plain.rtp_fd >= 0) close(c->u.plain.rtp_fd);
  if (c->type == MT_ADD_PLAIN_TRANSPORT && c->u.plain.rtcp_fd >= 0) close(c->u.plain.rtcp_fd);
  if (c->type == MT_ADD_LINK || c->type == MT_RELAY_PRODUCER || c->type == MT_STOP_RELAYING) mt_link_drop(c->u.link);
  OPENSSL_cleanse(&c->u, sizeof c->u); /* passwords and keys */
}

/* The other engine holds the link, so it is told that this end is closed. No core on this side has held it. */
void mt_command_discard(mt_command *c) {
  if (c->type == MT_ADD_LINK) mt_link_close(c->u.link, MT_SINK, false);
  if (c->type == MT_RELAY_PRODUCER) mt_link_close(c->u.link, MT_SOURCE, false);
  mt_command_release(c);
}
