/* See numbering.h. */
#include "egress/numbering.h"

enum {
  PICTURE_MASK = 0x7fff, /* VP8 picture ids have 15 bits and wrap (RFC 7741 section 4.2) */
};

uint64_t mt_epoch_newest(const mt_consumer *c, const mt_epoch *e) {
  return e->numbering ? e->numbering->highest : c->highest - e->sequence_delta;
}

static uint16_t *packet_slot(mt_numbering *n, uint64_t sequence) { return &n->packets_before[sequence % MT_NUMBERED_PACKETS]; }

static uint16_t *picture_slot(mt_numbering *n, uint16_t picture) { return &n->pictures_before[picture % MT_NUMBERED_PICTURES]; }

/* `p` is newer than all packets before it. It and those that are missing before it get their places. */
static void place(mt_numbering *n, const mt_packet *p) {
  uint64_t oldest = p->sequence >= MT_NUMBERED_PACKETS ? p->sequence - MT_NUMBERED_PACKETS + 1 : 0;
  for (uint64_t i = n->highest + 1 > oldest ? n->highest + 1 : oldest; i <= p->sequence; i++)
    *packet_slot(n, i) = (uint16_t)n->packets;
  n->highest = p->sequence;
  if (!p->has_vp8 || !p->vp8.has_picture_id) return;
  uint16_t picture = p->vp8.picture_id & PICTURE_MASK;
  int steps = n->has_picture ? mt_picture_ahead(picture, n->picture, PICTURE_MASK) : 1;
  if (steps <= 0) return;
  if (steps > MT_NUMBERED_PICTURES) steps = MT_NUMBERED_PICTURES;
  for (; steps > 0; steps--) *picture_slot(n, (uint16_t)(picture - steps + 1)) = n->pictures;
  n->has_picture = true;
  n->picture = picture;
}

/* Not inlined: packets that are sent would pay for it. */
__attribute__((noinline)) bool mt_epoch_leave_out(mt_core *core, mt_consumer *c, mt_epoch *e, const mt_packet *p) {
  mt_numbering *n = e->numbering;
  if (!n) {
    n = mt_region_get(core->region, MT_KEPT_NUMBERING, sizeof *n);
    if (!n) return false;
    n->highest = mt_epoch_newest(c, e);
    n->has_picture = c->has_picture;
    n->picture = (uint16_t)(c->last_picture - e->picture_delta) & PICTURE_MASK;
    mt_region_mark(n);
    e->numbering = n;
  }
  mt_change_begins(&c->changing);
  uint16_t before = n->pictures;
  bool known = n->has_picture;
  uint16_t newest = n->picture;
  place(n, p);
  if (n->has_picture && (!known || n->picture != newest)) n->pictures = before + 1; /* once for all packets of a picture */
  n->packets++;
  /* The numbers of missing packets before `p` stay theirs, even if nothing was sent after them. */
  uint64_t last = p->sequence + e->sequence_delta - n->packets;
  if (last > c->highest) c->highest = last;
  c->sender->next = c->highest + 1;
  mt_change_ends(&c->changing);
  if (p->has_vp8 && n->has_picture) {
    uint16_t picture = (uint16_t)(n->picture + e->picture_delta - n->pictures) & PICTURE_MASK;
    if (!c->has_picture || mt_picture_ahead(picture, c->last_picture, PICTURE_MASK) > 0) c->last_picture = picture;
  }
  return true;
}

bool mt_epoch_numbers(mt_epoch *e, const mt_packet *p, mt_numbers *out) {
  mt_numbering *n = e->numbering;
  uint64_t packets = 0;
  uint16_t pictures = 0;
  if (n) {
    if (p->sequence > n->highest) place(n, p);
    if (n->highest - p->sequence >= MT_NUMBERED_PACKETS) return false;
    packets = n->packets - (uint16_t)(n->packets - *packet_slot(n, p->sequence));
    uint16_t picture = mt_packet_picture(p) & PICTURE_MASK;
    if (p->has_vp8 && n->has_picture && mt_picture_ahead(n->picture, picture, PICTURE_MASK) < MT_NUMBERED_PICTURES)
      pictures = *picture_slot(n, picture);
  }
  *out = (mt_numbers){
      .sequence = p->sequence + e->sequence_delta - packets,
      .picture_id = (uint16_t)(mt_packet_picture(p) + e->picture_delta - pictures) & mt_packet_picture_mask(p),
      .tl0picidx = (uint8_t)(mt_packet_tl0picidx(p) + e->tl0_delta),
  };
  return true;
}

void mt_epoch_free(mt_core *core, mt_epoch *e) {
  mt_numbering *n = e->numbering;
  *e = (mt_epoch){0};
  mt_region_put(core->region, n);
}
