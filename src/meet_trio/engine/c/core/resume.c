/* See resume.h. */
#include "core/resume.h"

#include "core/plain.h"
#include "core/values.h"
#include "core/visits.h"
#include "egress/sent.h"
#include "ingress/sources.h"
#include "paths/routes.h"
#include "state/marks.h"

#include <math.h>
#include <openssl/crypto.h>
#include <stdatomic.h>

enum {
  MOST_LINK = 1000000000,  /* bit/s */
  SKIPPED_PICTURES = 2096, /* less than half of 2^15, and 48 modulo 2^7, where a stream has only so many numbers */
  SKIPPED_TL0 = 100,       /* less than half of 2^8 */
  PICTURE_MASK = 0x7fff,
};

#define MOST_SRTP (UINT64_C(1) << 48) /* indices (RFC 3711 section 9.2) */
#define MOST_SRTCP (UINT32_C(1) << 31)

static void refuse(mt_core *core) { core->counters.resumes_refused++; }

/* What was stored before is in the region before what is stored next; see base/region.c. */
static void in_this_order(void) { atomic_signal_fence(memory_order_seq_cst); }

/* A time of the earlier process, which has the same clock. */
static int64_t past(int64_t time, int64_t now) { return time < 0 ? 0 : time > now ? now : time; }

/* ---- transports ---- */

/* What a region holds of a path is only taken as far as this engine has such a socket. */
static bool usable_path(const mt_core *core, const mt_path *p) {
  return p->kind == MT_PATH_UDP && p->port && p->udp_socket < core->settings.udp_sockets;
}

static bool valid_plain_end(const mt_transport *t, const mt_path *p, uint8_t kind) {
  return p->kind == MT_PATH_NONE || (p->kind == kind && p->port && p->plain_transport == t->id && mt_plain_allows(t->plain, p));
}

static bool valid_window(const mt_srtp_window *w, uint64_t most) { return !w->started || w->highest < most; }

static bool valid_transport(const mt_core *core, mt_transport *t, const mt_kept_transport *k) {
  if (!t->unresumed || k->plain != (t->plain != NULL) || t->was_connected || t->sources.count || t->srtcp_next) return false;
  if (k->has_route && (k->plain || !usable_path(core, &k->route))) return false;
  if (k->plain && !(valid_plain_end(t, &k->ends[0], MT_PATH_PLAIN_RTP) && valid_plain_end(t, &k->ends[1], MT_PATH_PLAIN_RTCP)))
    return false;
  for (uint32_t i = 0; i < k->source_count; i++)
    if (!valid_window(&k->sources[i].rtp, MOST_SRTP) || !valid_window(&k->sources[i].rtcp, MOST_SRTCP)) return false;
  for (unsigned l = 0; l < MT_LEDGERS; l++)
    for (uint32_t i = 0; i < k->ledger_counts[l]; i++) {
      const mt_ledger_entry *e = &k->ledgers[l][i];
      if (e->rtp_next > MOST_SRTP || e->rtcp_next > MOST_SRTCP || (!e->rtp_next && !e->rtcp_next)) return false;
    }
  return k->srtcp_next < MOST_SRTCP;
}

static void resume_sources(mt_core *core, mt_transport *t, const mt_kept_transport *k) {
  for (uint32_t i = 0; i < k->source_count; i++) {
    const mt_kept_source *from = &k->sources[i];
    mt_source *s = mt_source_find(t, from->ssrc) ? NULL : mt_source_add(core, t, from->ssrc);
    if (!s) continue;
    s->rtp = from->rtp;
    s->rtcp = from->rtcp;
  }
}

static void resume_ledger(mt_core *core, mt_ledger *to, const mt_kept_transport *k, unsigned which) {
  for (uint32_t i = 0; i < k->ledger_counts[which]; i++)
    if (!mt_ledger_put(core->region, to, &k->ledgers[which][i], core->settings.seed)) core->counters.dropped_no_memory++;
}

static void resume_plain(mt_transport *t, const mt_kept_transport *k) {
  mt_plain_end *ends[2] = {&t->plain->rtp, &t->plain->rtcp};
  for (unsigned i = 0; i < 2; i++) {
    if (k->ends[i].kind == MT_PATH_NONE) continue; /* it may be known by a command that came too late for what was kept */
    ends[i]->route = (mt_route){.transport = t, .path = k->ends[i]};
    ends[i]->fixed = k->fixed[i];
  }
  if (k->ends[0].kind != MT_PATH_NONE) t->selected = &t->plain->rtp.route;
}

static void apply_transport(mt_core *core, mt_transport *t, const mt_kept_transport *k, int64_t now) {
  t->srtcp_next = k->srtcp_next;
  t->srtcp_ceiling = k->srtcp_ceiling;
  t->rtcp_ssrc = k->rtcp_ssrc;
  t->twcc_next = k->twcc_next;
  t->link = k->link > MOST_LINK ? MOST_LINK : k->link;
  t->heard = past(k->heard, now);
  t->was_connected = k->was_connected;
  if (k->max_outgoing) t->max_outgoing = k->max_outgoing;
  resume_ledger(core, &t->ended, k, MT_ENDED);
  resume_ledger(core, &t->sent, k, MT_SENT);
  resume_ledger(core, &t->sent_before, k, MT_SENT_BEFORE);
  resume_sources(core, t, k);
  if (k->plain) resume_plain(t, k);
  if (k->has_route && k->was_connected && !mt_route_find(core, &k->route))
    mt_route_resume(core, t, &k->route, past(k->route_seen, now));
  bool in_use = mt_credentials_find(core, (const uint8_t *)k->before.ufrag.text, k->before.ufrag.len) != NULL;
  if (!k->plain && k->has_before && k->before.ufrag.len && k->before.password.len && !in_use && !t->credentials[1].used)
    mt_credentials_set(core, t, &t->credentials[1], &k->before);
  mt_mark_busy(core, t);
}

/* The snapshot's times are of another machine's clock: what counts is how long before the snapshot they were. */
static int64_t as_long_ago(int64_t time, int64_t taken, int64_t now) {
  if (!time) return 0;
  return past(now - (taken > time ? taken - time : 0), now);
}

static void apply_older(mt_core *core, mt_transport *t, const mt_kept_transport *k, int64_t now) {
  t->srtcp_next = k->srtcp_next + MT_SKIPPED_SRTCP;
  t->rtcp_ssrc = k->rtcp_ssrc;
  t->link = k->link > MOST_LINK ? MOST_LINK : k->link;
  t->heard = as_long_ago(k->heard, k->ended, now);
  t->was_connected = k->was_connected;
  if (k->max_outgoing) t->max_outgoing = k->max_outgoing;
  resume_ledger(core, &t->ended, k, MT_ENDED);
  resume_sources(core, t, k);
  if (k->plain) resume_plain(t, k);
  if (k->has_route && k->was_connected && !mt_route_find(core, &k->route))
    mt_route_resume(core, t, &k->route, as_long_ago(k->route_seen, k->ended, now));
  mt_mark_busy(core, t);
}

void mt_resume_transport(mt_core *core, mt_transport *t, const mt_resume_spec *spec, int64_t now) {
  mt_kept_transport k = {0};
  mt_blob b = mt_blob_read(spec->blob.bytes, spec->blob.len);
  mt_blob_transport(&b, &k);
  bool fits = spec->exact || k.srtcp_next < MOST_SRTCP - MT_SKIPPED_SRTCP;
  if (!core->resuming || !mt_blob_ended(&b) || !fits || !valid_transport(core, t, &k)) {
    refuse(core); /* with keys, it is barred when the core begins */
  } else {
    if (spec->exact) apply_transport(core, t, &k, now);
    else apply_older(core, t, &k, now);
    in_this_order();
    t->unresumed = false;
  }
  mt_kept_transport_free(&k);
}

/* ---- producers ---- */

static bool valid_stream(const mt_kept_stream *k) {
  if (!isfinite(k->jitter) || !isfinite(k->loss_share) || k->jitter < 0 || k->loss_share < 0 || k->loss_share > 1) return false;
  if (k->reorder_us < 0 || k->reorder_us > MT_SECOND || k->rtt_us > 60 * MT_SECOND) return false;
  return !k->started || (k->base <= k->highest && k->highest < MOST_SRTP);
}

static bool valid_producer(const mt_producer *p, const mt_kept_producer *k) {
  if (k->count != p->spec.encoding_count) return false;
  for (unsigned i = 0; i < k->count; i++)
    if (p->streams[i].started || p->streams[i].main || !valid_stream(&k->streams[i])) return false;
  return true;
}

/* The source feeds the stream, as before. Of sources there is one for each SSRC, so none feeds two streams. */
static mt_source *resume_source(mt_producer *p, mt_stream *s, bool has, uint32_t ssrc, bool rtx) {
  mt_source *source = has && p->transport ? mt_source_find(p->transport, ssrc) : NULL;
  if (!source || source->stream) return NULL;
  mt_source_attach(source, s);
  source->rtx = rtx;
  return source;
}

/* A stream that was active when the process ended is so now: its packets wait in the socket. */
static int64_t arrival_of(const mt_kept_producer *k, const mt_kept_stream *from, int64_t now) {
  if (!from->last_arrival) return 0;
  int64_t silent = past(k->ended, now) - past(from->last_arrival, now);
  return past(now - (silent > 0 ? silent : 0), now);
}

static void apply_ssrcs(mt_producer *p, mt_stream *s, const mt_kept_stream *k) {
  s->main = resume_source(p, s, k->has_main, k->main, false);
  s->rtx = resume_source(p, s, k->has_rtx, k->rtx, true);
  if (k->has_main) s->stats.ssrc = k->main;
  if (k->has_rtx) s->stats.rtx_ssrc = k->rtx;
}

static void apply_stream(mt_producer *p, mt_stream *s, const mt_kept_producer *kept, int64_t now) {
  const mt_kept_stream *k = &kept->streams[s->index];
  apply_ssrcs(p, s, k);
  s->generation = k->generation;
  s->fir_sequence = k->fir_sequence;
  if (!k->started) return;
  s->started = true;
  s->last_arrival = arrival_of(kept, k, now);
  s->frames = k->frames;
  memcpy(s->frames_of_others, k->frames_of_others, sizeof s->frames_of_others);
  s->base = k->base;
  s->highest = k->highest;
  s->structure = k->structure;
  s->structure_sequence = k->structure_sequence;
  s->has_picture = k->has_picture;
  s->picture_first = k->picture_first;
  s->picture_timestamp = k->picture_timestamp;
  s->picture_frame = k->picture_frame;
  s->rtt_us = k->rtt_us;
  s->loss = (mt_loss_level){.level = k->loss_level, .share = k->loss_share, .since = now};
  s->reorder_us = k->reorder_us;
  s->has_sr = k->has_sr;
  s->sr_ntp = k->sr_ntp;
  s->sr_timestamp = k->sr_timestamp;
  s->sr_arrival = past(k->sr_arrival, now);
  s->jitter = k->jitter;
  s->received = k->received;
  s->reported_expected = k->reported_expected;
  s->reported_received = k->reported_received;
  s->lost_counted = k->lost_counted;
  s->stats.packets = k->packets;
  s->stats.bytes = k->bytes;
  s->stats.width = k->width;
  s->stats.height = k->height;
  int64_t silent = now - past(kept->ended, now);
  mt_layer_rates_resume(&s->layers, &k->layers, (uint64_t)silent / MT_ROUND_US + 1);
}

void mt_resume_producer(mt_core *core, mt_producer *p, const mt_resume_spec *spec, int64_t now) {
  mt_kept_producer k = {0};
  mt_blob b = mt_blob_read(spec->blob.bytes, spec->blob.len);
  mt_blob_producer(&b, &k);
  if (!core->resuming || !mt_blob_ended(&b) || !valid_producer(p, &k)) {
    refuse(core);
    return;
  }
  for (uint8_t i = 0; i < k.count; i++) {
    if (spec->exact) apply_stream(p, &p->streams[i], &k, now);
    else apply_ssrcs(p, &p->streams[i], &k.streams[i]);
  }
}

/* ---- consumers ---- */

/* Its transport has kept the indices too, if it was resumed; the consumer's are not below them. */
static bool falls_back(const mt_consumer *c, const mt_kept_consumer *k) {
  if (c->transport->unresumed) return false;
  return k->next < c->senders[0].next || (c->rtx_sender && k->rtx_next < c->senders[1].next);
}

static bool valid_consumer(const mt_consumer *c, const mt_kept_consumer *k) {
  if (c->packets || c->started || (k->rtx_next != 0) != (c->rtx_sender != NULL)) return false;
  if (!k->next || k->next > MOST_SRTP - 2 * MT_SKIPPED || k->rtx_next > MOST_SRTP - 2 * MT_SKIPPED) return false;
  return k->highest < k->next && k->newest_sent < k->next && k->last_keyframe < k->next && k->first <= k->next;
}

/* An epoch goes on only if its next packet gets the consumer's next number, or a later one. */
static bool epoch_fits(const mt_consumer *c, const mt_kept_consumer *k) {
  const mt_producer *p = c->producer;
  if (!k->has_epoch || !k->started || !p || k->stream >= p->spec.encoding_count || !p->streams[k->stream].started) return false;
  const mt_stream *s = &p->streams[k->stream];
  if (k->epoch_first > k->newest || k->newest > s->highest || k->newest >= MOST_SRTP) return false;
  uint64_t left_out = k->has_numbering ? k->numbering.packets : 0, number = k->newest + k->sequence_delta - left_out;
  return left_out <= k->newest && number + 1 >= k->next && number < k->next + MT_SKIPPED;
}

/* What comes next may have waited in the socket since `newest`: nothing of the stream between is known to have been sent. */
static void apply_epoch(mt_core *core, mt_consumer *c, const mt_kept_consumer *k) {
  mt_epoch e = {
      .used = true,
      .open = k->open,
      .stream = k->stream,
      .first = k->epoch_first,
      .last = k->epoch_last,
      .sequence_delta = k->sequence_delta,
      .timing = k->timing,
      .picture_delta = k->picture_delta,
      .tl0_delta = k->tl0_delta,
  };
  if (k->has_numbering) {
    mt_numbering *n = mt_region_get(core->region, MT_KEPT_NUMBERING, sizeof *n);
    if (!n) {
      core->counters.dropped_no_memory++;
      return;
    }
    *n = k->numbering;
    mt_region_mark(n);
    e.numbering = n;
  }
  mt_epoch sent = e;
  sent.first = k->newest;
  e.sent = mt_sent_begin(c, &sent, k->newest + k->sequence_delta - (k->has_numbering ? k->numbering.packets : 0));
  mt_epoch_free(core, &c->epochs[0]);
  c->epochs[0] = e;
  c->frame_known = k->frame_known;
  c->frame_left_out = k->frame_left_out;
  c->frame_timestamp = k->frame_timestamp;
  c->svc = k->svc;
}

static void apply_numbers(mt_consumer *c, const mt_kept_consumer *k, int64_t now) {
  c->started = k->started;
  c->first = k->first;
  c->highest = k->next - 1;
  c->newest_sent = k->newest_sent;
  c->last_keyframe = k->last_keyframe;
  c->last_sent = past(k->last_sent, now);
  c->keyframe_sent = past(k->keyframe_sent, now);
  c->last_timestamp = k->last_timestamp;
  c->last_picture = k->last_picture;
  c->last_tl0 = k->last_tl0;
  c->has_picture = k->has_picture;
  c->last_marker = k->last_marker;
  c->playout_written = k->playout_written;
  c->packets = k->packets;
  c->octets = k->octets;
  c->packets_reported = k->packets_reported;
  c->lost_reported = k->lost_reported;
  c->lost_counted = k->lost_counted;
  c->keyframes_paid = k->keyframes_paid > now + 60 * (int64_t)MT_SECOND ? now : k->keyframes_paid;
  c->temporal = k->temporal;
}

static void apply_indices(mt_consumer *c, const mt_kept_consumer *k, uint64_t skipped) {
  c->senders[0].next = k->next + skipped;
  if (c->rtx_sender) c->senders[1].next = k->rtx_next + skipped;
  c->first = c->senders[0].next;
  c->highest = c->first - 1;
}

/* Timestamps go on by the time that has passed. A receiver drops pictures with numbers that it has had. */
static void apply_older_numbers(mt_consumer *c, const mt_kept_consumer *k, int64_t now) {
  c->started = k->started;
  c->last_timestamp = k->last_timestamp;
  c->last_sent = as_long_ago(k->last_sent, k->ended, now);
  c->has_picture = k->has_picture;
  c->last_picture = (uint16_t)((k->last_picture + SKIPPED_PICTURES) & PICTURE_MASK);
  c->last_tl0 = (uint8_t)(k->last_tl0 + SKIPPED_TL0);
  c->packets = k->packets;
  c->octets = k->octets;
}

void mt_resume_consumer(mt_core *core, mt_consumer *c, const mt_resume_spec *spec, int64_t now) {
  mt_kept_consumer k = {0};
  mt_blob b = mt_blob_read(spec->blob.bytes, spec->blob.len);
  mt_blob_consumer(&b, &k);
  if (!core->resuming || !mt_blob_ended(&b) || !valid_consumer(c, &k) || (spec->exact && falls_back(c, &k))) {
    refuse(core);
    return;
  }
  apply_indices(c, &k, spec->exact ? 0 : MT_SKIPPED);
  if (!spec->exact) {
    apply_older_numbers(c, &k, now);
    return;
  }
  c->senders[0].ceiling = k.ceiling;
  if (c->rtx_sender) c->senders[1].ceiling = k.rtx_ceiling;
  apply_numbers(c, &k, now);
  if (!epoch_fits(c, &k)) return;
  apply_epoch(core, c, &k);
  if (k.target >= 0 && c->producer && k.target < c->producer->spec.encoding_count) c->target = k.target;
}
