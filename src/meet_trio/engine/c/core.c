/* The core's front: what comes in is sorted by its first byte (RFC 7983 §7), commands find their objects, the tick visits everything.
 */
#include "core.h"

#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum { MT_CONSUMER_TICK_US = 100000 };

void mt_core_settings_default(mt_core_settings *s) {
  *s = (mt_core_settings){
      .consent_timeout_us = 30 * MT_SECOND,
      .keyframe_interval_us = 500000,
      .nack_delay_us = 10000,
      .nack_interval_us = 50000,
      .nack_tries = 10,
      .video_history = 1024,
      .audio_history = 128,
      .dtls_per_second = 100,
      .max_transports = 20000,
      .max_streams = 100000,
  };
}

mt_core *mt_core_new(const mt_core_settings *settings, const mt_sink *sink, uint64_t seed) {
  mt_core *core = calloc(1, sizeof *core);
  if (core == NULL) return NULL;
  core->settings = *settings;
  core->sink = *sink;
  core->seed = mt_mix(seed ^ 0x9e3779b97f4a7c15u);
  core->random = mt_mix(seed + 1);
  return core;
}

void mt_core_free(mt_core *core) {
  if (core == NULL) return;
  mt_transport *t;
  for (size_t i = 0; mt_map_next(&core->transports, &i, (void **)&t); i = 0) mt_transport_remove(t);
  mt_map_clear(&core->transports);
  mt_map_clear(&core->producers);
  mt_map_clear(&core->consumers);
  mt_map_clear(&core->by_ufrag);
  mt_map_clear(&core->by_address);
  mt_map_clear(&core->streams);
  free(core);
}

/* Starting points of sequence numbers and timestamps; nothing secret comes from here. */
uint64_t mt_core_random(mt_core *core) { return mt_mix(core->random += 0x9e3779b97f4a7c15u); }

bool mt_core_event(mt_core *core, mt_event_type type, uint32_t id, uint32_t a, uint32_t b) {
  mt_event e = {.type = type, .id = id, .a = a, .b = b};
  bool taken = core->sink.event(core->sink.ctx, &e);
  if (!taken) core->drops.events_lost++;
  return taken;
}

bool mt_core_event_data(mt_core *core, mt_event_type type, uint32_t id, const uint8_t *data, size_t len) {
  mt_event e = {.type = type, .id = id, .data = data, .len = len};
  bool taken = core->sink.event(core->sink.ctx, &e);
  if (!taken) core->drops.events_lost++;
  return taken;
}

void mt_core_datagram(mt_core *core, int64_t now, uint64_t ntp, const mt_addr *from, uint8_t *data, size_t len) {
  core->now = now;
  core->ntp = ntp;
  if (len == 0) {
    core->drops.malformed++;
    return;
  }
  if (data[0] < 4) {
    mt_transport_stun(core, from, data, len);
    return;
  }
  mt_transport *t = mt_transport_of(core, from);
  if (t == NULL) {
    core->drops.unknown_address++;
    return;
  }
  t->packets_in++;
  t->bytes_in += len;
  if (data[0] >= 20 && data[0] < 64) {
    mt_transport_dtls(t, data, len);
  } else if (!mt_is_rtp_or_rtcp(data, len)) {
    core->drops.malformed++;
  } else if (t->srtp == NULL) {
    core->drops.no_srtp++;
  } else if (mt_is_rtcp(data, len)) {
    mt_receive_rtcp(t, data, len);
  } else {
    mt_receive_rtp(t, data, len);
  }
}

static void set_srtp(mt_transport *t, const mt_command *command) {
  mt_srtp *srtp = mt_srtp_new(command->srtp.profile, command->srtp.tx, command->srtp.rx);
  if (srtp == NULL) {
    t->core->drops.no_memory++;
    return;
  }
  mt_srtp_free(t->srtp);
  t->srtp = srtp;
}

static void send_dtls(mt_transport *t, const mt_command *command) {
  if (t->selected == NULL || command->data.len > MT_MAX_DATAGRAM) return;
  memcpy(t->core->sink.buffer(t->core->sink.ctx), command->data.bytes, command->data.len);
  mt_transport_send(t, command->data.len);
}

void mt_core_command(mt_core *core, int64_t now, const mt_command *command) {
  core->now = now;
  uint64_t seed = core->seed;
  mt_transport *t = mt_map_get(&core->transports, seed, command->id);
  mt_producer *p = mt_map_get(&core->producers, seed, command->id);
  mt_consumer *c = mt_map_get(&core->consumers, seed, command->id);
  switch (command->type) {
    case MT_CMD_ADD_TRANSPORT: mt_transport_add(core, command->id, command->ice.ufrag, command->ice.pwd); break;
    case MT_CMD_RESTART_ICE:
      if (t != NULL) mt_transport_restart_ice(t, command->ice.ufrag, command->ice.pwd);
      break;
    case MT_CMD_SET_SRTP:
      if (t != NULL) set_srtp(t, command);
      break;
    case MT_CMD_SEND_DTLS:
      if (t != NULL) send_dtls(t, command);
      break;
    case MT_CMD_SET_MAX_INCOMING:
      if (t != NULL) t->max_incoming = command->number;
      break;
    case MT_CMD_REMOVE_TRANSPORT:
      if (t != NULL) mt_transport_remove(t);
      break;
    case MT_CMD_ADD_PRODUCER:
      t = mt_map_get(&core->transports, seed, command->other);
      if (t != NULL) mt_producer_add(t, command->id, &command->producer);
      break;
    case MT_CMD_PAUSE_PRODUCER:
      if (p != NULL) {
        bool paused = command->number != 0;
        if (p->paused && !paused)
          for (mt_consumer *each = p->consumers; each != NULL; each = each->next_of_producer)
            if (!p->spec.audio) each->synced = false; /* what came meanwhile is missing: begin with a key frame */
        p->paused = paused;
        if (!paused)
          for (mt_consumer *each = p->consumers; each != NULL; each = each->next_of_producer) mt_consumer_choose(each);
      }
      break;
    case MT_CMD_REMOVE_PRODUCER:
      if (p != NULL) mt_producer_remove(p);
      break;
    case MT_CMD_REQUEST_KEYFRAME:
      if (p != NULL)
        for (unsigned i = 0; i < p->spec.encoding_count; i++) mt_want_keyframe(p, i);
      break;
    case MT_CMD_ADD_CONSUMER:
      t = mt_map_get(&core->transports, seed, command->other);
      p = mt_map_get(&core->producers, seed, command->number);
      if (t != NULL && p != NULL) mt_consumer_add(t, command->id, p, &command->consumer);
      break;
    case MT_CMD_PAUSE_CONSUMER:
      if (c != NULL) mt_consumer_pause(c, command->number != 0);
      break;
    case MT_CMD_PREFER_LAYER:
      if (c != NULL) {
        c->preferred = (unsigned)command->number;
        mt_consumer_choose(c);
      }
      break;
    case MT_CMD_REMOVE_CONSUMER:
      if (c != NULL) mt_consumer_remove(c);
      break;
    case MT_CMD_STATS: mt_stats(core, command->id); break;
  }
}

void mt_core_tick(mt_core *core, int64_t now, uint64_t ntp) {
  core->now = now;
  core->ntp = ntp;
  bool consumers = now - core->consumers_ticked >= MT_CONSUMER_TICK_US;
  if (consumers) core->consumers_ticked = now;
  mt_transport *t;
  for (size_t i = 0; mt_map_next(&core->transports, &i, (void **)&t);) {
    mt_transport_tick(t);
    mt_feedback_tick(t);
    if (consumers)
      for (mt_consumer *c = t->consumers; c != NULL; c = c->next) mt_consumer_tick(c);
  }
}

bool mt_core_is_idle(const mt_core *core) { return core->transports.count == 0; }
