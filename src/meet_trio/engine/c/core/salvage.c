/* See salvage.h.
 *
 * First the labels of all blocks are read: the table by which addresses are looked up. Then the marked slots of each block are visited,
 * kind by kind. An object is copied from the file, and its values are taken from the copy.
 */
#define _GNU_SOURCE
#include "core/salvage.h"

#include "core/layout.h"
#include "core/values.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  MOST_BLOCKS = 1 << 20, /* half a terabyte */
  KINDS = 3,             /* of objects that become blobs */
};

#define MOST_SRTP (UINT64_C(1) << 48) /* indices (RFC 3711 section 9.2) */

typedef struct {
  uint64_t address; /* of the block in its process */
  uint64_t at;      /* in the file */
  uint32_t kind, size, first, count;
} found_block;

typedef struct {
  uint64_t transport; /* address of its transport */
  uint64_t at;        /* in the file */
} found_member;

typedef struct { /* ascending by transport */
  found_member *all;
  size_t count;
} found_members;

struct mt_salvage {
  int fd;
  mt_region_header header;
  int64_t ended;
  found_block *blocks; /* ascending by address */
  uint32_t block_count, damaged_blocks;
  found_members sources, consumers; /* of the transports */
  unsigned kind;                    /* index in `kinds` */
  uint32_t block, slot;
  uint8_t marks[MT_REGION_BLOCK / MT_CACHE_LINE]; /* of the block that is visited */
  uint8_t *bytes;
  size_t len;
  union {
    mt_transport transport;
    mt_producer producer;
    mt_consumer consumer;
  } object;
  uint64_t address; /* of the object in its process */
  union {
    mt_kept_transport transport;
    mt_kept_producer producer;
    mt_kept_consumer consumer;
  } kept;
};

static const uint8_t kinds[KINDS] = {MT_KEPT_TRANSPORT, MT_KEPT_PRODUCER, MT_KEPT_CONSUMER};

/* A flag in an object of the file, whatever its byte is. */
static bool is_set(const bool *flag) {
  uint8_t byte;
  memcpy(&byte, flag, 1);
  return byte != 0;
}

/* ---- the file ---- */

static bool read_at(const mt_salvage *s, uint64_t at, void *out, size_t len) {
  for (size_t done = 0; done < len;) {
    ssize_t n = pread(s->fd, (uint8_t *)out + done, len - done, (off_t)(at + done));
    if (n <= 0) return false;
    done += (size_t)n;
  }
  return true;
}

static size_t size_of_kind(uint32_t kind) {
  switch (kind) {
  case MT_KEPT_TRANSPORT: return sizeof(mt_transport);
  case MT_KEPT_PLAIN: return sizeof(mt_plain);
  case MT_KEPT_SOURCE: return sizeof(mt_source);
  case MT_KEPT_PRODUCER: return sizeof(mt_producer);
  case MT_KEPT_CONSUMER: return sizeof(mt_consumer);
  case MT_KEPT_NUMBERING: return sizeof(mt_numbering);
  default: return 0;
  }
}

/* The label's numbers are those that a region would have written. */
static bool is_sound(const mt_region_label *l) {
  uint64_t marks_end = sizeof *l + (uint64_t)l->count;
  if (l->address % MT_REGION_BLOCK || !l->address || !l->size || l->size % MT_CACHE_LINE || !l->count) return false;
  if (l->first < marks_end || l->first % MT_CACHE_LINE || l->first > MT_REGION_BLOCK) return false;
  if ((uint64_t)l->first + (uint64_t)l->count * l->size > MT_REGION_BLOCK) return false;
  if (l->kind == MT_KEPT_LEDGER) return l->size >= sizeof(mt_ledger_entry);
  size_t size = size_of_kind(l->kind);
  return size && l->size == (size + MT_CACHE_LINE - 1) / MT_CACHE_LINE * MT_CACHE_LINE;
}

static int by_address(const void *a, const void *b) {
  const found_block *left = a, *right = b;
  return left->address < right->address ? -1 : left->address > right->address;
}

/* False: no memory. */
static bool read_blocks(mt_salvage *s, uint64_t file_len) {
  uint64_t count = file_len < MT_REGION_HEADER ? 0 : (file_len - MT_REGION_HEADER) / MT_REGION_BLOCK;
  if (count > MOST_BLOCKS) count = MOST_BLOCKS;
  s->blocks = calloc(count + 1, sizeof *s->blocks);
  if (!s->blocks) return false;
  for (uint64_t i = 0; i < count; i++) {
    mt_region_label l;
    uint64_t at = MT_REGION_HEADER + i * MT_REGION_BLOCK;
    if (!read_at(s, at, &l, sizeof l) || l.magic == 0) continue; /* it is not in use */
    if (l.magic != MT_REGION_BLOCK_MAGIC || !is_sound(&l)) {
      s->damaged_blocks++;
      continue;
    }
    s->blocks[s->block_count++] = (found_block){l.address, at, l.kind, l.size, l.first, l.count};
  }
  qsort(s->blocks, s->block_count, sizeof *s->blocks, by_address);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < s->block_count; i++) { /* of two at one address neither is trusted more: the first one stays */
    if (kept && s->blocks[kept - 1].address == s->blocks[i].address) s->damaged_blocks++;
    else s->blocks[kept++] = s->blocks[i];
  }
  s->block_count = kept;
  return true;
}

/* The marks of a block go to `s->marks`. */
static bool read_marks(mt_salvage *s, const found_block *b) {
  return read_at(s, b->at + offsetof(mt_region_label, marks), s->marks, b->count);
}

/* The place in the file of the whole object that a pointer of the old process led to. 0: it leads nowhere. */
static uint64_t find(const mt_salvage *s, const void *pointer, uint32_t kind, uint32_t least) {
  uint64_t p = (uintptr_t)pointer, address = p & ~(uint64_t)(MT_REGION_BLOCK - 1);
  const found_block key = {.address = address};
  const found_block *b = pointer ? bsearch(&key, s->blocks, s->block_count, sizeof *s->blocks, by_address) : NULL;
  if (!b || b->kind != kind || b->size < least || p - address < b->first) return 0;
  uint64_t into = p - address - b->first, slot = into / b->size;
  uint8_t mark;
  if (into % b->size || slot >= b->count) return 0;
  if (!read_at(s, b->at + offsetof(mt_region_label, marks) + slot, &mark, 1) || mark != 1) return 0;
  return b->at + b->first + into;
}

/* ---- members of transports ---- */

static int by_transport(const void *a, const void *b) {
  const found_member *left = a, *right = b;
  return left->transport < right->transport ? -1 : left->transport > right->transport;
}

/* `pointer`: the offset of the pointer to the transport in an object. */
static bool add_member(const mt_salvage *s, uint64_t at, size_t pointer, found_members *to, size_t *room) {
  uint64_t transport;
  if (!read_at(s, at + pointer, &transport, sizeof transport)) return true;
  if (to->count == *room) {
    size_t more = *room ? *room * 2 : 64;
    found_member *bigger = realloc(to->all, more * sizeof *bigger);
    if (!bigger) return false;
    to->all = bigger;
    *room = more;
  }
  to->all[to->count++] = (found_member){transport, at};
  return true;
}

static bool read_members(mt_salvage *s, uint32_t kind, size_t pointer, found_members *to) {
  size_t room = 0;
  for (uint32_t i = 0; i < s->block_count; i++) {
    const found_block *b = &s->blocks[i];
    if (b->kind != kind || !read_marks(s, b)) continue;
    for (uint32_t k = 0; k < b->count; k++)
      if (s->marks[k] == 1 && !add_member(s, b->at + b->first + (uint64_t)k * b->size, pointer, to, &room)) return false;
  }
  if (to->count) qsort(to->all, to->count, sizeof *to->all, by_transport);
  return true;
}

/* The members of a transport, from `*first` to before the result. */
static size_t members_of(const found_members *of, uint64_t transport, size_t most, size_t *first) {
  size_t low = 0, high = of->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (of->all[middle].transport < transport) low = middle + 1;
    else high = middle;
  }
  *first = low;
  while (low < of->count && of->all[low].transport == transport && low - *first < most) low++;
  return low;
}

/* ---- transports ---- */

static bool take_sources(mt_salvage *s, mt_kept_transport *k) {
  size_t first, end = members_of(&s->sources, s->address, MT_MOST_KEPT_SOURCES, &first);
  if (first == end) return true;
  k->sources = calloc(end - first, sizeof *k->sources);
  if (!k->sources) return false;
  for (; first < end; first++) {
    mt_source source;
    if (!read_at(s, s->sources.all[first].at, &source, sizeof source)) return false;
    k->sources[k->source_count++] = (mt_kept_source){source.ssrc, source.rtp, source.rtcp};
  }
  return true;
}

/* False: the ledger is lost. */
static bool take_ledger(mt_salvage *s, mt_kept_transport *k, unsigned which, const mt_ledger *l) {
  if (!l->slots) return true;
  uint64_t slots = (uint64_t)l->mask + 1, at = 0;
  if (l->mask < MT_LEDGER_MAX * 2) at = find(s, l->slots, MT_KEPT_LEDGER, (uint32_t)(slots * sizeof(mt_ledger_entry)));
  if (!at) return false;
  mt_ledger_entry *entries = calloc(slots, sizeof *entries);
  if (!entries || !read_at(s, at, entries, slots * sizeof *entries)) {
    free(entries);
    return false;
  }
  uint32_t count = 0;
  for (uint64_t i = 0; i < slots && count < MT_LEDGER_MAX; i++)
    if (entries[i].rtp_next || entries[i].rtcp_next) entries[count++] = entries[i];
  k->ledgers[which] = entries;
  k->ledger_counts[which] = count;
  return true;
}

static int by_ssrc(const void *a, const void *b) {
  const mt_ledger_entry *left = a, *right = b;
  return left->ssrc < right->ssrc ? -1 : left->ssrc > right->ssrc;
}

/* The next indices of what was being sent when the process ended. A ledger has those with which its SSRCs began. False: no room. */
static bool note_sender(mt_kept_transport *k, const uint32_t counts[MT_LEDGERS], const mt_sender *sender) {
  const mt_ledger_entry key = {.ssrc = sender->ssrc, .rtp_next = sender->next};
  static const unsigned ledgers[] = {MT_SENT, MT_SENT_BEFORE};
  for (unsigned i = 0; i < 2; i++) {
    mt_ledger_entry *all = k->ledgers[ledgers[i]];
    mt_ledger_entry *e = all ? bsearch(&key, all, counts[ledgers[i]], sizeof *all, by_ssrc) : NULL;
    if (!e) continue;
    if (e->rtp_next < key.rtp_next) e->rtp_next = key.rtp_next;
    return true;
  }
  if (k->ledger_counts[MT_SENT] == MT_LEDGER_MAX) return false;
  k->ledgers[MT_SENT][k->ledger_counts[MT_SENT]++] = key;
  return true;
}

static bool take_senders(mt_salvage *s, mt_kept_transport *k) {
  size_t first, end = members_of(&s->consumers, s->address, MT_LEDGER_MAX, &first);
  if (first == end) return true;
  uint32_t counts[MT_LEDGERS]; /* sorted entries; others follow */
  memcpy(counts, k->ledger_counts, sizeof counts);
  size_t room = counts[MT_SENT] + 2 * (end - first);
  mt_ledger_entry *more = realloc(k->ledgers[MT_SENT], room * sizeof *more);
  if (!more) return false;
  k->ledgers[MT_SENT] = more;
  if (counts[MT_SENT]) qsort(more, counts[MT_SENT], sizeof *more, by_ssrc);
  if (counts[MT_SENT_BEFORE]) qsort(k->ledgers[MT_SENT_BEFORE], counts[MT_SENT_BEFORE], sizeof *more, by_ssrc);
  bool all = true;
  for (; first < end; first++) {
    mt_sender senders[2];
    uint64_t highest, at = s->consumers.all[first].at;
    if (!read_at(s, at + offsetof(mt_consumer, senders), senders, sizeof senders)) return false;
    if (!read_at(s, at + offsetof(mt_consumer, highest), &highest, sizeof highest)) return false;
    if (senders[0].next && senders[0].next <= highest) senders[0].next = highest + 1; /* see keep_consumer */
    for (unsigned i = 0; i < 2; i++)
      if (senders[i].next && senders[i].next <= MOST_SRTP && !note_sender(k, counts, &senders[i])) all = false;
  }
  return all;
}

/* The selected route, if its packets can go on: a TCP connection has ended with the process. */
static void take_route(const mt_salvage *s, const mt_transport *t, mt_kept_transport *k) {
  uint64_t selected = (uintptr_t)t->selected, routes = s->address + offsetof(mt_transport, routes);
  if (selected < routes || (selected - routes) % sizeof(mt_route) || (selected - routes) / sizeof(mt_route) >= MT_MAX_ROUTES)
    return;
  const mt_route *r = &t->routes[(selected - routes) / sizeof(mt_route)];
  bool claimed = (uintptr_t)t->claim.route == selected; /* no check has confirmed it */
  if (!is_set(&r->used) || r->path.kind != MT_PATH_UDP || claimed) return;
  k->has_route = true;
  k->route = r->path;
  k->route_seen = r->seen;
}

static bool take_plain(const mt_salvage *s, const mt_transport *t, mt_kept_transport *k) {
  mt_plain plain;
  uint64_t at = find(s, t->plain, MT_KEPT_PLAIN, sizeof plain);
  if (!at || !read_at(s, at, &plain, sizeof plain)) return false;
  k->plain = true;
  k->ends[0] = plain.rtp.route.path;
  k->ends[1] = plain.rtcp.route.path;
  k->fixed[0] = is_set(&plain.rtp.fixed);
  k->fixed[1] = is_set(&plain.rtcp.fixed);
  return true;
}

static void take_before(const mt_transport *t, mt_kept_transport *k) {
  const mt_credentials *c = &t->credentials[1];
  if (!is_set(&c->used) || c->ufrag.len > MT_MAX_TEXT || c->password.len > MT_MAX_TEXT) return;
  k->has_before = true;
  k->before = (mt_ice_spec){c->ufrag, c->password};
}

static const char *keep_transport(mt_salvage *s, mt_kept_transport *k) {
  const mt_transport *t = &s->object.transport;
  const mt_ledger *ledgers[MT_LEDGERS] = {[MT_ENDED] = &t->ended, [MT_SENT] = &t->sent, [MT_SENT_BEFORE] = &t->sent_before};
  const char *damage = NULL;
  *k = (mt_kept_transport){
      .ended = s->ended,
      .was_connected = is_set(&t->was_connected),
      .heard = t->heard,
      .srtcp_next = t->srtcp_next,
      .srtcp_ceiling = t->srtcp_ceiling,
      .rtcp_ssrc = t->rtcp_ssrc,
      .twcc_next = t->twcc_next,
      .max_outgoing = t->max_outgoing,
      .link = t->link,
  };
  if (t->plain && !take_plain(s, t, k)) damage = "a plain transport's addresses";
  if (!t->plain) take_route(s, t, k);
  take_before(t, k);
  if (!take_sources(s, k)) damage = "a transport's replay windows";
  for (unsigned i = 0; i < MT_LEDGERS; i++)
    if (!take_ledger(s, k, i, ledgers[i])) damage = "a transport's ended SSRCs";
  if (!take_senders(s, k)) damage = "a transport's SSRCs";
  return damage;
}

/* ---- producers ---- */

/* The SSRC of the source that the pointer leads to, if it is one of the producer's transport. */
static bool take_ssrc(const mt_salvage *s, const mt_source *pointer, const mt_transport *owner, uint32_t *ssrc) {
  mt_source source;
  uint64_t at = find(s, pointer, MT_KEPT_SOURCE, sizeof source);
  if (!at || !read_at(s, at, &source, sizeof source) || source.transport != owner) return false;
  *ssrc = source.ssrc;
  return true;
}

static void keep_stream(const mt_salvage *s, const mt_stream *from, const mt_transport *owner, mt_kept_stream *k) {
  *k = (mt_kept_stream){.generation = from->generation};
  k->has_main = owner && take_ssrc(s, from->main, owner, &k->main);
  k->has_rtx = owner && take_ssrc(s, from->rtx, owner, &k->rtx);
  k->fir_sequence = from->fir_sequence;
  if (is_set(&from->changing)) { /* it was being reset */
    k->generation++;
    return;
  }
  k->started = is_set(&from->started);
  k->last_arrival = from->last_arrival;
  k->frames = from->frames;
  memcpy(k->frames_of_others, from->frames_of_others, sizeof k->frames_of_others);
  k->base = from->base;
  k->highest = from->highest;
  k->structure = from->structure;
  if (k->structure.template_count > MT_DD_TEMPLATES) k->structure.template_count = 0;
  k->structure_sequence = from->structure_sequence;
  k->has_picture = is_set(&from->has_picture);
  k->picture_first = from->picture_first;
  k->picture_timestamp = from->picture_timestamp;
  k->picture_frame = from->picture_frame;
  k->rtt_us = from->rtt_us;
  k->loss_level = from->loss.level;
  k->loss_share = from->loss.share;
  k->reorder_us = from->reorder_us;
  k->has_sr = is_set(&from->has_sr);
  k->sr_ntp = from->sr_ntp;
  k->sr_timestamp = from->sr_timestamp;
  k->sr_arrival = from->sr_arrival;
  k->jitter = from->jitter;
  k->received = from->received;
  k->reported_expected = from->reported_expected;
  k->reported_received = from->reported_received;
  k->lost_counted = from->lost_counted;
  k->packets = from->stats.packets;
  k->bytes = from->stats.bytes;
  k->width = from->stats.width;
  k->height = from->stats.height;
  memcpy(k->layers.sums, from->layers.sums, sizeof k->layers.sums);
  k->layers.alone = from->layers.alone;
  k->layers.kept = from->layers.kept <= MT_RATE_ROUNDS ? from->layers.kept : 0;
}

static const char *keep_producer(mt_salvage *s, mt_kept_producer *k) {
  const mt_producer *p = &s->object.producer;
  *k = (mt_kept_producer){.ended = s->ended, .count = p->spec.encoding_count};
  if (k->count > MT_MAX_ENCODINGS) {
    k->count = 0;
    return "a producer's streams";
  }
  for (unsigned i = 0; i < k->count; i++) keep_stream(s, &p->streams[i], p->transport, &k->streams[i]);
  return NULL;
}

/* ---- consumers ---- */

static bool is_behind(const mt_salvage *s, const mt_consumer *c) {
  return (uintptr_t)c->behind.next != s->address + offsetof(mt_consumer, behind);
}

/* The current epoch. The one before is left out: it is for packets that come late, and these are refused after a resume. */
static const char *keep_epoch(mt_salvage *s, const mt_consumer *c, mt_kept_consumer *k) {
  const mt_epoch *e = &c->epochs[0];
  if (!is_set(&e->used)) return NULL;
  if (is_set(&c->changing)) return "an epoch that was changing";
  if (e->numbering) {
    uint64_t at = find(s, e->numbering, MT_KEPT_NUMBERING, sizeof k->numbering);
    if (!at || !read_at(s, at, &k->numbering, sizeof k->numbering)) return "an epoch's numbering";
    k->has_numbering = true;
  }
  k->has_epoch = true;
  k->open = is_set(&e->open) && !is_behind(s, c); /* it goes on with packets of a history that is gone */
  k->stream = e->stream;
  k->epoch_first = e->first;
  k->sequence_delta = e->sequence_delta;
  k->newest = k->has_numbering ? k->numbering.highest : c->highest - e->sequence_delta;
  k->epoch_last = is_set(&e->open) ? k->newest : e->last;
  k->timing = e->timing;
  k->picture_delta = e->picture_delta;
  k->tl0_delta = e->tl0_delta;
  k->frame_known = is_set(&c->frame_known);
  k->frame_left_out = is_set(&c->frame_left_out);
  k->frame_timestamp = c->frame_timestamp;
  k->svc = c->svc;
  return NULL;
}

static const char *keep_consumer(mt_salvage *s, mt_kept_consumer *k) {
  const mt_consumer *c = &s->object.consumer;
  *k = (mt_kept_consumer){
      .ended = s->ended,
      .next = c->senders[0].next,
      .rtx_next = c->spec.rtx_ssrc ? c->senders[1].next : 0,
      .ceiling = c->senders[0].ceiling,
      .rtx_ceiling = c->spec.rtx_ssrc ? c->senders[1].ceiling : 0,
      .started = is_set(&c->started),
      .first = c->first,
      .highest = c->highest,
      .newest_sent = c->newest_sent,
      .last_keyframe = c->last_keyframe,
      .last_sent = c->last_sent,
      .keyframe_sent = c->keyframe_sent,
      .last_timestamp = c->last_timestamp,
      .last_picture = c->last_picture,
      .last_tl0 = c->last_tl0,
      .has_picture = is_set(&c->has_picture),
      .last_marker = is_set(&c->last_marker),
      .playout_written = is_set(&c->playout_written),
      .packets = c->packets,
      .octets = c->octets,
      .packets_reported = c->packets_reported,
      .lost_reported = c->lost_reported,
      .lost_counted = c->lost_counted,
      .keyframes_paid = c->keyframes_paid,
      .target = c->target,
      .temporal = c->temporal,
  };
  /* The index is stored after the number, and both before the packet leaves. */
  if (k->next <= k->highest) k->next = k->highest + 1;
  return keep_epoch(s, c, k);
}

/* ---- all objects ---- */

static void describe(mt_blob *b, mt_salvage *s, uint32_t kind) {
  if (kind == MT_KEPT_TRANSPORT) mt_blob_transport(b, &s->kept.transport);
  else if (kind == MT_KEPT_PRODUCER) mt_blob_producer(b, &s->kept.producer);
  else mt_blob_consumer(b, &s->kept.consumer);
}

static void forget(mt_salvage *s) {
  if (s->bytes) OPENSSL_cleanse(s->bytes, s->len);
  free(s->bytes);
  s->bytes = NULL;
  s->len = 0;
}

/* False: no memory. */
static bool write_blob(mt_salvage *s, uint32_t kind) {
  mt_blob measured = mt_blob_measure();
  describe(&measured, s, kind);
  s->bytes = malloc(measured.at);
  if (!s->bytes) return false;
  s->len = measured.at;
  mt_blob b = mt_blob_write(s->bytes, s->len);
  describe(&b, s, kind);
  return true;
}

static void salvage_object(mt_salvage *s, const found_block *b, uint32_t slot, mt_salvaged *out) {
  uint64_t into = b->first + (uint64_t)slot * b->size;
  s->address = b->address + into;
  *out = (mt_salvaged){.damage = "an object"};
  if (!read_at(s, b->at + into, &s->object, size_of_kind(b->kind))) return;
  switch (b->kind) {
  case MT_KEPT_TRANSPORT:
    out->id = s->object.transport.id;
    out->kind = MT_BLOB_TRANSPORT;
    if (is_set(&s->object.transport.unresumed)) {
      out->damage = "it was not resumed itself";
      OPENSSL_cleanse(&s->object, sizeof s->object);
      return;
    }
    out->damage = keep_transport(s, &s->kept.transport);
    break;
  case MT_KEPT_PRODUCER:
    out->id = s->object.producer.id;
    out->damage = keep_producer(s, &s->kept.producer);
    out->kind = MT_BLOB_PRODUCER;
    break;
  default:
    out->id = s->object.consumer.id;
    out->damage = keep_consumer(s, &s->kept.consumer);
    out->kind = MT_BLOB_CONSUMER;
  }
  bool written = write_blob(s, b->kind);
  if (b->kind == MT_KEPT_TRANSPORT) mt_kept_transport_free(&s->kept.transport);
  OPENSSL_cleanse(&s->object, sizeof s->object);
  if (!written) *out = (mt_salvaged){.damage = "no memory"};
  out->bytes = s->bytes;
  out->len = s->len;
}

bool mt_salvage_next(mt_salvage *s, mt_salvaged *out) {
  forget(s);
  if (s->damaged_blocks) {
    s->damaged_blocks--;
    *out = (mt_salvaged){.damage = "a block"};
    return true;
  }
  for (; s->kind < KINDS; s->kind++, s->block = 0) {
    for (; s->block < s->block_count; s->block++, s->slot = 0) {
      const found_block *b = &s->blocks[s->block];
      if (b->kind != kinds[s->kind] || (!s->slot && !read_marks(s, b))) continue;
      while (s->slot < b->count) {
        uint32_t slot = s->slot++;
        if (s->marks[slot] != 1) continue;
        salvage_object(s, b, slot, out);
        return true;
      }
    }
  }
  return false;
}

uint32_t mt_salvage_index(const mt_salvage *s) { return s->header.index; }

/* ---- opening ---- */

static const char *read_header(mt_salvage *s) {
  if (!read_at(s, 0, &s->header, sizeof s->header) || s->header.magic != MT_REGION_MAGIC) return "it is no region";
  if (s->header.version != MT_REGION_VERSION) return "it is of another version";
  if (s->header.layout != mt_layout()) return "its objects have another layout";
  s->ended = s->header.alive;
  return NULL;
}

static bool read_all_members(mt_salvage *s) {
  return read_members(s, MT_KEPT_SOURCE, offsetof(mt_source, transport), &s->sources) &&
         read_members(s, MT_KEPT_CONSUMER, offsetof(mt_consumer, transport), &s->consumers);
}

mt_salvage *mt_salvage_new(int fd, const char **why) {
  struct stat about;
  mt_salvage *s = calloc(1, sizeof *s);
  *why = "no memory";
  if (!s) return NULL;
  s->fd = fd;
  if (fstat(fd, &about) != 0) *why = "it cannot be read";
  else if (!(*why = read_header(s)) && (!read_blocks(s, (uint64_t)about.st_size) || !read_all_members(s))) *why = "no memory";
  if (!*why) return s;
  mt_salvage_free(s);
  return NULL;
}

void mt_salvage_free(mt_salvage *s) {
  if (!s) return;
  forget(s);
  free(s->blocks);
  free(s->sources.all);
  free(s->consumers.all);
  OPENSSL_cleanse(s, sizeof *s);
  free(s);
}
