/* See stats.h. */
#include "core/stats.h"

#include "egress/allocation.h"
#include "egress/temporal.h"
#include "state/arriving.h"

#include <stdlib.h>
#include <string.h>

enum {
  NO_LEVEL = 1,     /* dBov: an audio level is 0 dBov at most */
  LOSS_UNITS = 256, /* of FRACTION */
};

static uint32_t to_us(double clock_units, uint32_t rate) { return rate ? (uint32_t)(clock_units * MT_SECOND / rate) : 0; }

static const char *const causes[] = {
    [MT_ESTIMATE_START] = "start",   [MT_ESTIMATE_DELAY] = "delay",     [MT_ESTIMATE_LOSS] = "loss",
    [MT_ESTIMATE_GROWTH] = "growth", [MT_ESTIMATE_PROBE] = "probe",     [MT_ESTIMATE_REMB] = "remb",
    [MT_ESTIMATE_LIMIT] = "limit",   [MT_ESTIMATE_SILENCE] = "silence", [MT_ESTIMATE_PATH] = "path",
};

static const char *const probed[] = {
    [MT_PROBED_NOTHING] = "", [MT_PROBED_FITS] = "fits", [MT_PROBED_TOO_MUCH] = "too much", [MT_PROBED_UNSURE] = "unsure"};

/* `at` 0: never */
static int64_t age(int64_t at, int64_t now) { return at ? now - at : -1; }

static mt_text to_text(const char *from) {
  mt_text text = {.len = (uint8_t)strlen(from)};
  memcpy(text.text, from, text.len);
  return text;
}

static void take_downlink(const mt_downlink *d, mt_transport_stats *out, int64_t now) {
  const mt_estimate *e = mt_estimator_estimate(d->estimator);
  out->estimate = e->bitrate;
  out->estimate_cause = to_text(causes[e->cause]);
  out->cause_age = age(d->cause_since, now);
  out->probed = to_text(probed[e->probed]);
  out->probe_bitrate = e->probe_bitrate;
  out->probe_age = age(e->probed_at, now);
  out->wanted_bitrate = d->wanted;
  out->allocated_bitrate = d->allocated;
  out->outgoing_loss = (uint8_t)(e->loss * LOSS_UNITS < UINT8_MAX ? e->loss * LOSS_UNITS : UINT8_MAX);
  out->queue_us = e->queue_us;
  out->reorder_us = e->reorder_us;
  out->paced_bytes = (uint32_t)d->waiting;
}

static void take_transport(const mt_transport *t, mt_transport_stats *out, int64_t now) {
  *out = t->stats;
  out->cause_age = out->probe_age = -1;
  if (t->selected) out->path = t->selected->path;
  out->protocol = out->path.kind;
  out->has_srtp = t->srtp && !t->plain;
  out->max_bitrate = t->max_bitrate;
  out->max_outgoing = t->max_outgoing;
  out->bitrate_in = t->rate_in.bitrate;
  out->bitrate_out = t->rate_out.bitrate;
  if (t->downlink) take_downlink(t->downlink, out, now);
}

static mt_media media_of(const mt_producer *p) { return p->spec.video ? MT_MEDIA_VIDEO : MT_MEDIA_AUDIO; }

static void take_producer(const mt_core *core, const mt_producer *p, mt_producer_stats *out, int64_t now) {
  *out = (mt_producer_stats){.id = p->id, .paused = p->paused, .media = media_of(p)};
  if (p->transport) out->transport = p->transport->id;
  out->audio_level = p->spec.video ? NO_LEVEL : p->announced_level;
  out->stream_count = p->spec.encoding_count;
  for (uint8_t i = 0; i < p->spec.encoding_count; i++) {
    const mt_stream *s = &p->streams[i];
    out->streams[i] = s->stats;
    out->streams[i].jitter_us = to_us(s->jitter, p->spec.clock_rate);
    out->streams[i].bitrate = s->rate.bitrate;
    out->streams[i].missing = s->missing_count;
    out->streams[i].active = mt_stream_active(core, s, now);
    out->streams[i].spatial_layers = mt_layer_count(&s->layers, true);
    out->streams[i].temporal_layers = mt_layer_count(&s->layers, false);
  }
}

/* In 256ths, at most 255 */
static uint8_t share(uint32_t part, uint32_t of) {
  uint64_t units = of ? (uint64_t)part * 256 / of : 0;
  return units > UINT8_MAX ? UINT8_MAX : (uint8_t)units;
}

static void take_next(const mt_consumer *c, mt_consumer_stats *out, int64_t now) {
  mt_layer_option next = {0};
  out->next_needs = mt_allocation_next(c, &next);
  out->next = -1;
  if (!out->next_needs) return;
  int64_t wait = c->ladder.may_rise - now;
  out->next = (int8_t)(c->producer->spec.encoding_count > 1 ? next.stream : next.spatial);
  out->next_temporal = (int8_t)next.temporal;
  out->next_bitrate = next.bitrate;
  out->next_wait = wait > 0 ? (uint32_t)wait : 0;
}

static void take_consumer(const mt_consumer *c, mt_consumer_stats *out, int64_t now) {
  *out = c->stats;
  out->id = c->id;
  out->transport = c->transport->id;
  out->producer = c->producer_id;
  out->media = c->producer ? media_of(c->producer) : MT_MEDIA_UNKNOWN;
  out->ssrc = c->spec.ssrc;
  out->paused = c->paused;
  out->spatial = c->producer && c->epochs[0].open ? (int8_t)c->epochs[0].stream : -1;
  out->temporal = out->spatial < 0 ? -1 : (int8_t)mt_consumer_temporal(c);
  out->target = c->target;
  out->allowed = c->allowed;
  out->allowed_temporal = (int8_t)c->allowed_temporal;
  out->allowed_age = age(c->allowed_since, now);
  out->layer_age = age(c->layer_since, now);
  take_next(c, out, now);
  out->preferred = (int8_t)c->preferred;
  out->preferred_temporal = c->preferred_temporal;
  out->priority = c->priority;
  out->packets = c->packets;
  out->bytes = c->octets;
  out->bitrate = c->rate.bitrate;
  out->redundancy = share(c->redundant_rate.bitrate, c->rate.bitrate);
}

mt_stats *mt_stats_take(mt_core *core, int64_t now) {
  mt_stats *out = calloc(1, sizeof *out);
  if (!out) return NULL;
  /* one more of each, because calloc may return NULL for 0 items */
  out->transports = calloc(core->transports.count + 1, sizeof *out->transports);
  out->producers = calloc(core->producers.count + 1, sizeof *out->producers);
  out->mirrors = calloc(core->producers.count + 1, sizeof *out->mirrors);
  out->consumers = calloc(core->consumers.count + 1, sizeof *out->consumers);
  if (!out->transports || !out->producers || !out->mirrors || !out->consumers) {
    mt_stats_free(out);
    return NULL;
  }
  out->counters = core->counters;
  out->buffers = core->packets.count;
  out->buffers_used = core->packets.used;
  MT_EACH (item, &core->mirrors)
    take_producer(core, MT_OF(item, mt_producer, in_transport), &out->mirrors[out->mirror_count++], now);
  MT_EACH (item, &core->all_transports) {
    mt_transport *t = MT_OF(item, mt_transport, in_core);
    mt_transport_stats *own = &out->transports[out->transport_count++];
    take_transport(t, own, now);
    MT_EACH (link, &t->producers)
      take_producer(core, MT_OF(link, mt_producer, in_transport), &out->producers[out->producer_count++], now);
    own->first_consumer = (uint32_t)out->consumer_count;
    MT_EACH (link, &t->consumers)
      take_consumer(MT_OF(link, mt_consumer, in_transport), &out->consumers[out->consumer_count++], now);
    own->own_consumers = (uint32_t)out->consumer_count - own->first_consumer;
  }
  return out;
}
