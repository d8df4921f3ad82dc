/* See values.h. */
#include "core/values.h"

#include <openssl/crypto.h>
#include <stdlib.h>

enum {
  MAX_DD_SPATIAL = 7, /* layers that templates can name; see formats/dependency.c */
  MAX_DD_TEMPORAL = 7,
  WINDOW_WORDS = MT_SRTP_WINDOW_BITS / 64,
};

static void limit(mt_blob *b, uint64_t value, uint64_t most) {
  if (b->from && value > most) b->failed = true;
}

/* Kind and version, which it returns. A version that is newer, or none, is not read. */
static uint8_t header(mt_blob *b, uint8_t kind, uint8_t version) {
  uint8_t found_kind = kind, found_version = version;
  mt_blob_u8(b, &found_kind);
  mt_blob_u8(b, &found_version);
  if (found_kind != kind || found_version == 0 || found_version > version) b->failed = true;
  return found_version;
}

/* An array of `*count` members, each of which takes at least `least` bytes. NULL: there is none, or no memory. */
static void *array(mt_blob *b, void *of_writer, uint32_t *count, uint32_t most, size_t least, size_t size) {
  mt_blob_u32(b, count);
  if (!b->from) return of_writer;
  if (*count > most || *count > mt_blob_left(b) / least) b->failed = true;
  void *p = b->failed || !*count ? NULL : calloc(*count, size);
  if (*count && !p) b->failed = true;
  if (b->failed) *count = 0;
  return p;
}

static void text(mt_blob *b, mt_text *t) {
  mt_blob_u8(b, &t->len);
  limit(b, t->len, MT_MAX_TEXT);
  if (!b->failed) mt_blob_bytes(b, t->text, t->len);
}

static void path(mt_blob *b, mt_path *p) {
  if (b->from) *p = (mt_path){0};
  mt_blob_u8(b, &p->kind);
  mt_blob_u8(b, &p->family);
  mt_blob_u16(b, &p->port);
  mt_blob_u32(b, &p->local);
  mt_blob_bytes(b, p->ip, sizeof p->ip);
  if (b->from && p->kind != MT_PATH_NONE && p->family != 4 && p->family != 6) b->failed = true;
}

/* ---- transports ---- */

static void window(mt_blob *b, mt_srtp_window *w) {
  mt_blob_bool(b, &w->started);
  if (!w->started) return;
  mt_blob_u64(b, &w->highest);
  for (unsigned i = 0; i < WINDOW_WORDS; i++) mt_blob_u64(b, &w->bits[i]);
}

static void entry(mt_blob *b, mt_ledger_entry *e) {
  mt_blob_u32(b, &e->ssrc);
  mt_blob_u32(b, &e->rtcp_next);
  mt_blob_u64(b, &e->rtp_next);
}

void mt_blob_transport(mt_blob *b, mt_kept_transport *t) {
  uint8_t version = header(b, MT_BLOB_TRANSPORT, MT_TRANSPORT_VERSION);
  mt_blob_i64(b, &t->ended);
  mt_blob_bool(b, &t->was_connected);
  mt_blob_i64(b, &t->heard);
  mt_blob_bool(b, &t->has_route);
  path(b, &t->route);
  mt_blob_i64(b, &t->route_seen);
  mt_blob_bool(b, &t->has_before);
  text(b, &t->before.ufrag);
  text(b, &t->before.password);
  mt_blob_bool(b, &t->plain);
  for (unsigned i = 0; i < 2; i++) {
    path(b, &t->ends[i]);
    mt_blob_bool(b, &t->fixed[i]);
  }
  mt_blob_u32(b, &t->srtcp_next);
  mt_blob_u32(b, &t->rtcp_ssrc);
  mt_blob_u16(b, &t->twcc_next);
  mt_blob_u64(b, &t->max_outgoing);
  mt_blob_u64(b, &t->link);
  t->sources = array(b, t->sources, &t->source_count, MT_MOST_KEPT_SOURCES, sizeof(uint32_t) + 2, sizeof *t->sources);
  for (uint32_t i = 0; i < t->source_count; i++) {
    mt_blob_u32(b, &t->sources[i].ssrc);
    window(b, &t->sources[i].rtp);
    window(b, &t->sources[i].rtcp);
  }
  for (unsigned k = 0; k < MT_LEDGERS; k++) {
    t->ledgers[k] = array(b, t->ledgers[k], &t->ledger_counts[k], MT_LEDGER_MAX, 16, sizeof *t->ledgers[k]);
    for (uint32_t i = 0; i < t->ledger_counts[k]; i++) entry(b, &t->ledgers[k][i]);
  }
  if (version >= 2) mt_blob_u32(b, &t->srtcp_ceiling);
}

void mt_kept_transport_free(mt_kept_transport *t) {
  free(t->sources);
  for (unsigned i = 0; i < MT_LEDGERS; i++) free(t->ledgers[i]);
  OPENSSL_cleanse(t, sizeof *t);
}

/* ---- producers ---- */

static void structure(mt_blob *b, mt_dd_structure *s) {
  mt_blob_u8(b, &s->template_count);
  limit(b, s->template_count, MT_DD_TEMPLATES);
  if (b->failed || !s->template_count) return;
  mt_blob_u8(b, &s->offset);
  mt_blob_u8(b, &s->target_count);
  mt_blob_u8(b, &s->chain_count);
  limit(b, s->target_count, MT_DD_TARGETS);
  for (unsigned i = 0; i < sizeof s->target_for; i++) {
    mt_blob_i8(b, &s->target_for[i]);
    if (b->from && (s->target_for[i] < -1 || s->target_for[i] >= MT_DD_TARGETS)) b->failed = true;
  }
  mt_blob_u16(b, &s->width);
  mt_blob_u16(b, &s->height);
  for (unsigned i = 0; i < s->template_count; i++) {
    mt_dd_template *t = &s->templates[i];
    mt_blob_u8(b, &t->spatial);
    mt_blob_u8(b, &t->temporal);
    mt_blob_u8(b, &t->reach);
    mt_blob_u64(b, &t->dtis);
    limit(b, t->spatial, MAX_DD_SPATIAL);
    limit(b, t->temporal, MAX_DD_TEMPORAL);
  }
}

static void rates(mt_blob *b, mt_layer_rates *r) {
  for (unsigned s = 0; s < MT_MAX_SPATIAL; s++)
    for (unsigned t = 0; t < MT_MAX_TEMPORAL; t++) mt_blob_u32(b, &r->sums[s][t]);
  mt_blob_u8(b, &r->alone);
  mt_blob_u8(b, &r->kept);
  limit(b, r->kept, MT_RATE_ROUNDS);
}

static void stream(mt_blob *b, mt_kept_stream *s) {
  mt_blob_bool(b, &s->has_main);
  mt_blob_bool(b, &s->has_rtx);
  mt_blob_u32(b, &s->main);
  mt_blob_u32(b, &s->rtx);
  mt_blob_u64(b, &s->generation);
  mt_blob_bool(b, &s->started);
  mt_blob_i64(b, &s->last_arrival);
  mt_blob_u32(b, &s->frames);
  for (unsigned i = 0; i < MT_MAX_ENCODINGS; i++) mt_blob_u32(b, &s->frames_of_others[i]);
  mt_blob_u64(b, &s->base);
  mt_blob_u64(b, &s->highest);
  mt_blob_u8(b, &s->fir_sequence);
  structure(b, &s->structure);
  mt_blob_u64(b, &s->structure_sequence);
  mt_blob_bool(b, &s->has_picture);
  mt_blob_u64(b, &s->picture_first);
  mt_blob_u32(b, &s->picture_timestamp);
  mt_blob_u16(b, &s->picture_frame);
  mt_blob_u32(b, &s->rtt_us);
  mt_blob_u8(b, &s->loss_level);
  limit(b, s->loss_level, MT_LOSS_LEVELS - 1);
  mt_blob_double(b, &s->loss_share);
  mt_blob_i64(b, &s->reorder_us);
  mt_blob_bool(b, &s->has_sr);
  mt_blob_u64(b, &s->sr_ntp);
  mt_blob_u32(b, &s->sr_timestamp);
  mt_blob_i64(b, &s->sr_arrival);
  mt_blob_double(b, &s->jitter);
  mt_blob_u64(b, &s->received);
  mt_blob_u64(b, &s->reported_expected);
  mt_blob_u64(b, &s->reported_received);
  mt_blob_i64(b, &s->lost_counted);
  mt_blob_u64(b, &s->packets);
  mt_blob_u64(b, &s->bytes);
  mt_blob_u16(b, &s->width);
  mt_blob_u16(b, &s->height);
  rates(b, &s->layers);
}

void mt_blob_producer(mt_blob *b, mt_kept_producer *p) {
  header(b, MT_BLOB_PRODUCER, MT_PRODUCER_VERSION);
  mt_blob_i64(b, &p->ended);
  mt_blob_u8(b, &p->count);
  limit(b, p->count, MT_MAX_ENCODINGS);
  for (unsigned i = 0; !b->failed && i < p->count; i++) stream(b, &p->streams[i]);
}

/* ---- consumers ---- */

static void numbering(mt_blob *b, mt_numbering *n) {
  mt_blob_u64(b, &n->highest);
  mt_blob_u64(b, &n->packets);
  mt_blob_u16(b, &n->pictures);
  mt_blob_bool(b, &n->has_picture);
  mt_blob_u16(b, &n->picture);
  for (unsigned i = 0; i < MT_NUMBERED_PACKETS; i++) mt_blob_u16(b, &n->packets_before[i]);
  for (unsigned i = 0; i < MT_NUMBERED_PICTURES; i++) mt_blob_u16(b, &n->pictures_before[i]);
}

static void layers(mt_blob *b, mt_svc *v) {
  mt_blob_u8(b, &v->spatial);
  mt_blob_u8(b, &v->temporal);
  mt_blob_u8(b, &v->fed);
  mt_blob_bool(b, &v->started);
  mt_blob_bool(b, &v->climbing);
  mt_blob_u32(b, &v->timestamp);
  mt_blob_u8(b, &v->decided);
  mt_blob_u8(b, &v->left_out);
  limit(b, v->spatial, MT_MAX_SPATIAL - 1);
  limit(b, v->temporal, MT_MAX_TEMPORAL - 1);
}

static void epoch(mt_blob *b, mt_kept_consumer *c) {
  mt_blob_bool(b, &c->open);
  mt_blob_u8(b, &c->stream);
  limit(b, c->stream, MT_MAX_ENCODINGS - 1);
  mt_blob_u64(b, &c->epoch_first);
  mt_blob_u64(b, &c->epoch_last);
  mt_blob_u64(b, &c->newest);
  mt_blob_u64(b, &c->sequence_delta);
  mt_blob_u32(b, &c->timing.delta);
  mt_blob_u32(b, &c->timing.present);
  mt_blob_bool(b, &c->timing.hurried);
  mt_blob_u16(b, &c->picture_delta);
  mt_blob_u8(b, &c->tl0_delta);
  mt_blob_bool(b, &c->frame_known);
  mt_blob_bool(b, &c->frame_left_out);
  mt_blob_u32(b, &c->frame_timestamp);
  layers(b, &c->svc);
  mt_blob_bool(b, &c->has_numbering);
  if (c->has_numbering) numbering(b, &c->numbering);
}

void mt_blob_consumer(mt_blob *b, mt_kept_consumer *c) {
  uint8_t version = header(b, MT_BLOB_CONSUMER, MT_CONSUMER_VERSION);
  mt_blob_i64(b, &c->ended);
  mt_blob_u64(b, &c->next);
  mt_blob_u64(b, &c->rtx_next);
  mt_blob_bool(b, &c->started);
  mt_blob_u64(b, &c->first);
  mt_blob_u64(b, &c->highest);
  mt_blob_u64(b, &c->newest_sent);
  mt_blob_u64(b, &c->last_keyframe);
  mt_blob_i64(b, &c->last_sent);
  mt_blob_i64(b, &c->keyframe_sent);
  mt_blob_u32(b, &c->last_timestamp);
  mt_blob_u16(b, &c->last_picture);
  mt_blob_u8(b, &c->last_tl0);
  mt_blob_bool(b, &c->has_picture);
  mt_blob_bool(b, &c->last_marker);
  mt_blob_bool(b, &c->playout_written);
  mt_blob_u64(b, &c->packets);
  mt_blob_u64(b, &c->octets);
  mt_blob_u64(b, &c->packets_reported);
  mt_blob_i64(b, &c->lost_reported);
  mt_blob_i64(b, &c->lost_counted);
  mt_blob_i64(b, &c->keyframes_paid);
  mt_blob_i8(b, &c->target);
  if (b->from && (c->target < -1 || c->target >= MT_MAX_ENCODINGS)) b->failed = true;
  mt_blob_u8(b, &c->temporal);
  limit(b, c->temporal, MT_MAX_TEMPORAL - 1);
  mt_blob_bool(b, &c->has_epoch);
  if (c->has_epoch) epoch(b, c);
  if (version < 2) return;
  mt_blob_u64(b, &c->ceiling);
  mt_blob_u64(b, &c->rtx_ceiling);
}
