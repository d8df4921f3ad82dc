/* See snapshot.h. */
#include "core/snapshot.h"

#include "core/resume.h"
#include "core/values.h"
#include "egress/fanout.h"

#include <openssl/crypto.h>
#include <stdlib.h>

typedef struct {
  uint8_t *bytes;
  size_t len, room;
  bool failed; /* no memory */
} snapshot;

/* In place of realloc, which would leave a copy of what is secret. */
static bool have_room(snapshot *s, size_t more) {
  if (s->failed || s->room - s->len >= more) return !s->failed;
  size_t room = s->room * 2 > s->len + more ? s->room * 2 : s->len + more;
  uint8_t *bigger = malloc(room);
  if (!bigger) return s->failed = true, false;
  if (s->len) memcpy(bigger, s->bytes, s->len);
  if (s->bytes) OPENSSL_cleanse(s->bytes, s->len);
  free(s->bytes);
  s->bytes = bigger;
  s->room = room;
  return true;
}

static void describe(mt_blob *b, uint8_t kind, void *kept) {
  if (kind == MT_BLOB_TRANSPORT) mt_blob_transport(b, kept);
  else if (kind == MT_BLOB_PRODUCER) mt_blob_producer(b, kept);
  else mt_blob_consumer(b, kept);
}

static void add(snapshot *s, uint8_t kind, uint32_t id, void *kept) {
  mt_blob measured = mt_blob_measure();
  describe(&measured, kind, kept);
  if (!have_room(s, MT_SNAPSHOT_HEAD + measured.at)) return;
  mt_blob head = mt_blob_write(s->bytes + s->len, MT_SNAPSHOT_HEAD);
  uint32_t len = (uint32_t)measured.at;
  mt_blob_u8(&head, &kind);
  mt_blob_u32(&head, &id);
  mt_blob_u32(&head, &len);
  mt_blob b = mt_blob_write(s->bytes + s->len + MT_SNAPSHOT_HEAD, measured.at);
  describe(&b, kind, kept);
  s->len += MT_SNAPSHOT_HEAD + measured.at;
}

/* ---- the objects ---- */

static bool take_sources(const mt_transport *t, mt_kept_transport *k) {
  uint32_t most = t->sources.count < MT_MOST_KEPT_SOURCES ? (uint32_t)t->sources.count : MT_MOST_KEPT_SOURCES;
  if (!most) return true;
  k->sources = calloc(most, sizeof *k->sources);
  if (!k->sources) return false;
  for (size_t i = 0; i <= t->sources.mask; i++)
    for (const mt_node *n = t->sources.slots[i]; n && k->source_count < most; n = n->next) {
      const mt_source *source = MT_OF(n, const mt_source, node);
      k->sources[k->source_count++] = (mt_kept_source){source->ssrc, source->rtp, source->rtcp};
    }
  return true;
}

static bool take_ended(const mt_transport *t, mt_kept_transport *k) {
  if (!t->ended.count) return true;
  mt_ledger_entry *entries = calloc(t->ended.count, sizeof *entries);
  if (!entries) return false;
  k->ledgers[MT_ENDED] = entries;
  for (size_t i = 0; i <= t->ended.mask && k->ledger_counts[MT_ENDED] < t->ended.count; i++) {
    const mt_ledger_entry *e = &t->ended.slots[i];
    if (e->rtp_next || e->rtcp_next) entries[k->ledger_counts[MT_ENDED]++] = *e;
  }
  return true;
}

static void take_paths(const mt_transport *t, mt_kept_transport *k) {
  if (t->plain) {
    k->plain = true;
    k->ends[0] = t->plain->rtp.route.path;
    k->ends[1] = t->plain->rtcp.route.path;
    k->fixed[0] = t->plain->rtp.fixed;
    k->fixed[1] = t->plain->rtcp.fixed;
  } else if (t->selected && t->selected != t->claim.route && t->selected->path.kind == MT_PATH_UDP) {
    k->has_route = true;
    k->route = t->selected->path;
    k->route_seen = t->selected->seen;
  }
}

static void take_transport(snapshot *s, mt_transport *t, int64_t now) {
  mt_kept_transport k = {
      .ended = now,
      .was_connected = t->was_connected,
      .heard = t->heard,
      .srtcp_next = t->srtcp_next,
      .rtcp_ssrc = t->rtcp_ssrc,
      .max_outgoing = t->max_outgoing,
      .link = t->link,
  };
  take_paths(t, &k);
  if (take_sources(t, &k) && take_ended(t, &k)) add(s, MT_BLOB_TRANSPORT, t->id, &k);
  else s->failed = true;
  mt_kept_transport_free(&k);
  t->srtcp_taken = t->srtcp_next;
  if (!t->srtcp_ceiling) t->srtcp_ceiling = t->srtcp_next + MT_SKIPPED_SRTCP;
}

/* The SSRCs that feed the streams: clients soon stop to say which stream an SSRC belongs to. */
static void take_producer(snapshot *s, const mt_producer *p, int64_t now) {
  mt_kept_producer k = {.ended = now, .count = p->spec.encoding_count};
  for (uint8_t i = 0; i < k.count; i++) {
    const mt_stream *from = &p->streams[i];
    mt_kept_stream *to = &k.streams[i];
    if ((to->has_main = from->main != NULL)) to->main = from->main->ssrc;
    if ((to->has_rtx = from->rtx != NULL)) to->rtx = from->rtx->ssrc;
  }
  add(s, MT_BLOB_PRODUCER, p->id, &k);
}

static void take_sender(mt_sender *s) {
  if (!s) return;
  s->taken = s->next;
  if (!s->ceiling) s->ceiling = s->next + MT_SKIPPED;
}

static void take_consumer(snapshot *s, mt_consumer *c, int64_t now) {
  mt_kept_consumer k = {
      .ended = now,
      .next = c->sender->next,
      .rtx_next = c->rtx_sender ? c->rtx_sender->next : 0,
      .started = c->started,
      .last_sent = c->last_sent,
      .last_timestamp = c->last_timestamp,
      .has_picture = c->has_picture,
      .last_picture = c->last_picture,
      .last_tl0 = c->last_tl0,
      .packets = c->packets,
      .octets = c->octets,
      .target = -1,
  };
  add(s, MT_BLOB_CONSUMER, c->id, &k);
  take_sender(c->sender);
  take_sender(c->rtx_sender);
}

uint8_t *mt_snapshot_take(mt_core *core, size_t *len, int64_t now) {
  snapshot s = {0};
  have_room(&s, 1); /* so that an empty one is not NULL */
  mt_fanout_settle(core, now);
  MT_EACH (item, &core->all_transports) {
    mt_transport *t = MT_OF(item, mt_transport, in_core);
    take_transport(&s, t, now);
    MT_EACH (link, &t->producers) take_producer(&s, MT_OF(link, mt_producer, in_transport), now);
    MT_EACH (link, &t->consumers) take_consumer(&s, MT_OF(link, mt_consumer, in_transport), now);
  }
  if (s.failed) {
    if (s.bytes) OPENSSL_cleanse(s.bytes, s.len);
    free(s.bytes);
    core->counters.dropped_no_memory++;
    return NULL;
  }
  *len = s.len;
  return s.bytes;
}

static void move_ceiling(mt_sender *s, bool none) {
  if (s && s->ceiling) s->ceiling = none ? 0 : s->taken + MT_SKIPPED;
}

void mt_snapshot_stored(mt_core *core, uint32_t token) {
  bool none = !token;
  if (!none && token != core->snapshot_taken) return;
  if (none) core->snapshot_wanted = core->snapshot_taken = 0;
  MT_EACH (item, &core->all_transports) {
    mt_transport *t = MT_OF(item, mt_transport, in_core);
    if (t->srtcp_ceiling) t->srtcp_ceiling = none ? 0 : t->srtcp_taken + MT_SKIPPED_SRTCP;
    MT_EACH (link, &t->consumers) {
      mt_consumer *c = MT_OF(link, mt_consumer, in_transport);
      move_ceiling(c->sender, none);
      move_ceiling(c->rtx_sender, none);
    }
  }
}
