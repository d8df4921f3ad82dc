/* All figures as one JSON text, written when asked for: not on the packet's path, so it may allocate. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

typedef struct {
  char *at;
  size_t len, cap;
  bool failed;
} mt_text;

__attribute__((format(printf, 2, 3))) static void put(mt_text *t, const char *format, ...) {
  if (t->failed) return;
  for (;;) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->at + t->len, t->cap - t->len, format, args);
    va_end(args);
    if (n < 0) {
      t->failed = true;
      return;
    }
    if (t->len + (size_t)n < t->cap) {
      t->len += (size_t)n;
      return;
    }
    size_t cap = t->cap * 2 + (size_t)n;
    char *more = realloc(t->at, cap);
    if (more == NULL) {
      t->failed = true;
      return;
    }
    t->at = more;
    t->cap = cap;
  }
}

static void put_transport(mt_text *t, const mt_transport *tr) {
  put(t,
      "\"%" PRIu32 "\":{\"iceSelected\":%s,\"dtlsConnected\":%s,\"packetsReceived\":%" PRIu64 ",\"bytesReceived\":%" PRIu64
      ",\"packetsSent\":%" PRIu64 ",\"bytesSent\":%" PRIu64 ",\"maxIncomingBitrate\":%" PRIu64 "}",
      tr->id, tr->selected != NULL ? "true" : "false", tr->srtp != NULL ? "true" : "false", tr->packets_in, tr->bytes_in,
      tr->packets_out, tr->bytes_out, tr->max_incoming);
}

static void put_stream(mt_text *t, const mt_producer *p, unsigned i, const mt_stream *s) {
  uint64_t expected = s->started ? s->highest - s->first + 1 : 0;
  put(t,
      "{\"encoding\":%u,\"rid\":\"%s\",\"ssrc\":%" PRIu32 ",\"packets\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"lost\":%" PRIu64
      ",\"jitter\":%.6f,\"recovered\":%" PRIu64 ",\"nacks\":%" PRIu64 ",\"keyframeRequests\":%" PRIu64 ",\"keyframes\":%" PRIu64
      ",\"bitrate\":%" PRIu32 ",\"score\":%u,\"live\":%s}",
      i, p->spec.encodings[i].rid, s->ssrc, s->packets, s->bytes, expected > s->received ? expected - s->received : 0,
      s->jitter / s->producer->spec.clock_rate, s->recovered, s->nacks, s->plis, s->keyframes, s->bitrate, s->score,
      mt_stream_is_live(s) ? "true" : "false");
}

static void put_producer(mt_text *t, const mt_producer *p) {
  put(t, "\"%" PRIu32 "\":{\"paused\":%s,\"streams\":[", p->id, p->paused ? "true" : "false");
  const char *comma = "";
  for (unsigned i = 0; i < p->spec.encoding_count; i++)
    if (p->encodings[i].stream != NULL) {
      put(t, "%s", comma);
      put_stream(t, p, i, p->encodings[i].stream);
      comma = ",";
    }
  put(t, "]}");
}

static void put_consumer(mt_text *t, const mt_consumer *c) {
  put(t,
      "\"%" PRIu32 "\":{\"paused\":%s,\"layer\":%d,\"targetLayer\":%d,\"packets\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"retransmitted\":%" PRIu64
      ",\"nacks\":%" PRIu64 ",\"keyframeRequests\":%" PRIu64 ",\"lost\":%" PRId32 ",\"fractionLost\":%.3f,\"roundTripTime\":%.6f,\"bitrate\":%" PRIu32
      ",\"score\":%u}",
      c->id, c->paused ? "true" : "false", c->current, c->target, c->packets, c->bytes, c->retransmitted, c->nacks, c->plis, c->lost,
      c->fraction_lost / 256.0, c->rtt_us / 1e6, c->bitrate, c->score);
}

void mt_stats(mt_core *core, uint32_t token) {
  mt_text t = {malloc(4096), 0, 4096, false};
  if (t.at == NULL) {
    core->drops.no_memory++;
    return;
  }
  const char *comma = "";
  mt_transport *transport;
  put(&t, "{\"transports\":{");
  for (size_t i = 0; mt_map_next(&core->transports, &i, (void **)&transport); comma = ",") {
    put(&t, "%s", comma);
    put_transport(&t, transport);
  }
  mt_producer *producer;
  put(&t, "},\"producers\":{");
  comma = "";
  for (size_t i = 0; mt_map_next(&core->producers, &i, (void **)&producer); comma = ",") {
    put(&t, "%s", comma);
    put_producer(&t, producer);
  }
  mt_consumer *consumer;
  put(&t, "},\"consumers\":{");
  comma = "";
  for (size_t i = 0; mt_map_next(&core->consumers, &i, (void **)&consumer); comma = ",") {
    put(&t, "%s", comma);
    put_consumer(&t, consumer);
  }
  const mt_drops *d = &core->drops;
  put(&t,
      "},\"engine\":{\"transports\":%zu,\"producers\":%zu,\"consumers\":%zu,\"streams\":%zu,\"addresses\":%zu,\"usernameFragments\":%zu,\"drops\":{"
      "\"unknownAddress\":%" PRIu64 ",\"unknownSsrc\":%" PRIu64 ",\"malformed\":%" PRIu64 ",\"stunRefused\":%" PRIu64 ",\"stunErrors\":%" PRIu64
      ",\"srtpRefused\":%" PRIu64 ",\"srtpReplayed\":%" PRIu64 ",\"noSrtp\":%" PRIu64 ",\"dtlsLimited\":%" PRIu64 ",\"dtlsLost\":%" PRIu64
      ",\"eventsLost\":%" PRIu64 ",\"probes\":%" PRIu64 ",\"noMemory\":%" PRIu64 "}}}",
      core->transports.count, core->producers.count, core->consumers.count, core->streams.count, core->by_address.count, core->by_ufrag.count,
      d->unknown_address, d->unknown_ssrc, d->malformed, d->stun_bad, d->stun_errors, d->srtp_refused, d->srtp_replayed, d->no_srtp,
      d->dtls_limited, d->dtls_lost, d->events_lost, d->probes, d->no_memory);
  if (t.failed)
    core->drops.no_memory++;
  else
    mt_core_event_data(core, MT_EVENT_STATS, token, (const uint8_t *)t.at, t.len);
  free(t.at);
}
