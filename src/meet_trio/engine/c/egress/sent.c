/* See sent.h. */
#include "egress/sent.h"

#include <string.h>

enum {
  LOOKED_AT = 16,              /* slots before a ring grows, fewer than it has */
  NEAR = 1 << 14,              /* numbers of a stream; see `mark` */
  LONGEST_US = 60 * MT_SECOND, /* ages are known up to this: abs-send-time wraps after 64 s */
  SHARE = 4,                   /* a ring of which this part would do is made smaller */
};

/* ---- rings ---- */

void mt_sent_init(mt_core *core) { mt_pools_init(&core->sent, MT_SENT_LEAST * sizeof(mt_sent), MT_SENT_MOST * sizeof(mt_sent)); }

static mt_sent *slot_of(const mt_consumer *c, uint64_t sequence) { return &c->sent[sequence % c->sent_slots]; }

/* Copies the newest `count` slots, up to number `newest`, in stretches that are whole in both rings. */
static void copy(mt_sent *to, uint32_t to_slots, const mt_sent *from, uint32_t from_slots, uint64_t newest, uint32_t count) {
  uint64_t at = newest + 1 - count;
  while (count) {
    uint32_t a = (uint32_t)(at % to_slots), b = (uint32_t)(at % from_slots), n = count;
    if (n > to_slots - a) n = to_slots - a;
    if (n > from_slots - b) n = from_slots - b;
    memcpy(&to[a], &from[b], n * sizeof *to);
    at += n;
    count -= n;
  }
}

static bool resize(mt_core *core, mt_consumer *c, uint32_t slots) {
  mt_sent *ring = mt_pools_get(&core->sent, slots * sizeof *ring);
  if (!ring) return false;
  memset(ring, 0, slots * sizeof *ring);
  copy(ring, slots, c->sent, c->sent_slots, c->newest_sent, slots < c->sent_slots ? slots : c->sent_slots);
  mt_sent_free(core, c);
  c->sent = ring;
  c->sent_slots = (uint16_t)slots;
  return true;
}

static void grow(mt_core *core, mt_consumer *c) {
  uint32_t slots = c->sent_slots ? c->sent_slots * 2u : MT_SENT_LEAST;
  c->sent_refused = !resize(core, c, slots < c->sent_most ? slots : c->sent_most);
  if (c->sent_refused) core->counters.dropped_no_memory++;
}

void mt_sent_free(mt_core *core, mt_consumer *c) {
  mt_pools_put(&core->sent, c->sent, c->sent_slots * sizeof *c->sent);
  c->sent = NULL;
  c->sent_slots = 0;
}

/* The packet of the slot may still be asked for. */
static bool young(const mt_core *core, const mt_sent *sent, int64_t now) {
  int64_t most = (int64_t)core->settings.history_ms * MT_MS;
  return sent->known && mt_send_time_age(sent->abs_send_time, now) < (most < LONGEST_US ? most : LONGEST_US);
}

/* The ring would lose a young packet. The numbers that `sequence` skips lose theirs, too; of a long gap the oldest are looked at. */
static bool too_small(const mt_core *core, const mt_consumer *c, uint64_t sequence, int64_t now) {
  uint32_t slots = c->sent_slots ? c->sent_slots : MT_SENT_LEAST;
  if (slots == c->sent_most || (c->sent_refused && sequence % slots)) return false;
  if (!c->sent_slots) return true;
  uint64_t end = c->newest_sent + LOOKED_AT < sequence ? c->newest_sent + LOOKED_AT : sequence;
  for (uint64_t i = c->newest_sent + 1; i <= end; i++)
    if (young(core, slot_of(c, i), now)) return true;
  return false;
}

/* The slots of numbers that were skipped are empty, and may become used when their packets come late. */
static void skip(mt_consumer *c, uint64_t sequence) {
  uint64_t skipped = sequence - c->newest_sent - 1;
  uint32_t count = skipped < c->sent_slots ? (uint32_t)skipped : c->sent_slots;
  for (uint64_t at = sequence - count; count;) {
    uint32_t a = (uint32_t)(at % c->sent_slots), n = count < c->sent_slots - a ? count : c->sent_slots - a;
    memset(&c->sent[a], 0, n * sizeof *c->sent);
    at += n;
    count -= n;
  }
}

void mt_sent_shrink(mt_core *core, mt_consumer *c, int64_t now) {
  if (c->sent_slots <= MT_SENT_LEAST) return;
  uint32_t slots = MT_SENT_LEAST;
  while (slots * 2 < c->sent_slots) slots *= 2;
  const mt_sent *sent = slot_of(c, c->newest_sent + 1 - c->sent_slots / SHARE);
  if (sent->known && !young(core, sent, now)) resize(core, c, slots);
}

/* ---- epochs ---- */

uint8_t mt_sent_begin(mt_consumer *c, const mt_epoch *e, uint64_t sequence) {
  uint8_t index = c->sent_epoch_next;
  c->sent_epoch_next = (uint8_t)((index + 1) % MT_SENT_EPOCHS);
  c->sent_epochs[index] = (mt_sent_epoch){
      .known = true,
      .stream = e->stream,
      .tl0_delta = e->tl0_delta,
      .timing = e->timing,
      .first = sequence,
      .mark_sequence = sequence,
      .mark = e->first,
  };
  return index;
}

void mt_sent_void(mt_consumer *c, uint8_t stream) {
  for (unsigned i = 0; i < MT_SENT_EPOCHS; i++)
    if (c->sent_epochs[i].stream == stream) c->sent_epochs[i].known = false;
}

/* The mark moves with the stream, and packets before the mark before are forgotten. So the 16 bits of all others stand for numbers
 * from 2^15 before the mark to 2^14 behind it. */
static void move_mark(mt_sent_epoch *e, uint64_t stream_sequence, uint64_t sequence) {
  int64_t ahead = (int64_t)(stream_sequence - e->mark);
  if (ahead < NEAR) return;
  e->first = ahead < 2 * NEAR ? e->mark_sequence : sequence;
  e->mark_sequence = sequence;
  e->mark = stream_sequence;
}

static uint64_t stream_sequence_of(const mt_sent_epoch *e, const mt_sent *sent) {
  return e->mark + (uint64_t)(int64_t)(int16_t)(sent->stream_sequence - (uint16_t)e->mark);
}

/* ---- packets ---- */

void mt_sent_note(mt_core *core, mt_consumer *c, uint8_t epoch, const mt_packet *p, const mt_numbers *n, const mt_stamps *v,
                  int64_t now) {
  mt_sent_epoch *e = &c->sent_epochs[epoch];
  uint64_t sequence = n->sequence;
  bool newer = sequence > c->newest_sent;
  if (newer && too_small(core, c, sequence, now)) grow(core, c);
  if (!c->sent_slots || (!newer && c->newest_sent - sequence >= c->sent_slots)) return;
  if (newer) skip(c, sequence);
  mt_sent *sent = slot_of(c, sequence);
  *sent = (mt_sent){0};
  if (!e->known || sequence < e->first) return;
  move_mark(e, p->sequence, sequence);
  *sent = (mt_sent){
      .known = true,
      .epoch = epoch,
      .marker = n->marker,
      .abs_send_time = v->abs_send_time,
      .stream_sequence = (uint16_t)p->sequence,
      .picture_id = n->picture_id,
      .twcc = v->twcc,
  };
}

mt_sent *mt_sent_find(const mt_consumer *c, uint64_t sequence) {
  if (sequence > c->newest_sent || c->newest_sent - sequence >= c->sent_slots) return NULL;
  mt_sent *sent = slot_of(c, sequence);
  return sent->known ? sent : NULL;
}

bool mt_sent_forgotten(const mt_consumer *c, uint64_t sequence) {
  return sequence <= c->newest_sent && c->newest_sent - sequence >= c->sent_slots;
}

const mt_packet *mt_sent_packet(const mt_consumer *c, const mt_sent *sent, uint64_t sequence) {
  const mt_sent_epoch *e = &c->sent_epochs[sent->epoch];
  if (!e->known || sequence < e->first) return NULL;
  return mt_history_find(&c->producer->streams[e->stream].history, stream_sequence_of(e, sent));
}

/* ---- retransmissions ---- */

static uint16_t milliseconds(int64_t now) { return (uint16_t)(now / MT_MS); }

void mt_sent_again(mt_sent *sent, int64_t now) {
  sent->again = milliseconds(now);
  if (!sent->again) sent->again = 1;
}

int64_t mt_sent_since_again(const mt_sent *sent, int64_t now) {
  return (int64_t)(uint16_t)(milliseconds(now) - sent->again) * MT_MS;
}
