/* See allocation.h. */
#include "egress/allocation.h"

#include "egress/layers.h"
#include "egress/viewer.h"
#include "state/arriving.h"

enum {
  RISE_PERCENT = 106,         /* room that a rise needs, in percent of what is allocated then */
  STAY_PERCENT = 85,          /* what is in force stays if this much of it fits: measured bitrates vary */
  FALL_PERCENT = 120,         /* room that an option needs which replaces a better one, in percent */
  SETTLING_PERCENT = 75,      /* the same just after a rise: the key frame of a new layer is a burst */
  SETTLING_US = 1500 * MT_MS, /* how long that is */
  LEAST_PERCENT = 90,         /* the lowest option stays if this much of it fits */
  CALM_US = 10 * MT_SECOND,   /* without congestion for that long, an estimate is a lower bound only, and the lowest option fits */
  REPAIR_PERCENT = 40,        /* of the estimate at most are set aside for retransmissions */
  REDUNDANT_PERCENT = 30,     /* of what is allocated are wanted beside it for a viewer with losses; see egress/redundancy.h */
  RISE_US = 600 * MT_MS,      /* least time between two rises of one consumer */
  FAILED_US = 4 * MT_SECOND,  /* a fall this soon after a rise means that the rise has failed */
  LEAST_PENALTY_US = 2 * MT_SECOND, /* wait after a rise that failed; doubles with each further one */
  MOST_PENALTY_US = 16 * MT_SECOND,
  TIERS = 8, /* of priorities: one for each bit */
};

/* ---- the options ---- */

static void add_option(mt_ladder *l, const mt_stream *s, uint8_t spatial, uint8_t temporal) {
  uint64_t bitrate = mt_layer_rate(&s->layers, spatial, temporal);
  if (!bitrate) return;
  /* An option that costs no less than a better one is of no use. */
  while (l->count && l->options[l->count - 1].bitrate >= bitrate) l->count--;
  if (l->count < MT_MAX_OPTIONS) l->options[l->count++] = (mt_layer_option){s->index, spatial, temporal, bitrate};
}

static uint8_t highest_temporal(const mt_stream *s, uint8_t most) {
  for (uint8_t t = MT_MAX_TEMPORAL - 1; t > 0; t--)
    if (t <= most && mt_layer_present(&s->layers, 0, t)) return t;
  return 0;
}

/* Of the spatial layers in one stream, where the stream is not one of several. */
static uint8_t highest_spatial(const mt_consumer *c, const mt_stream *s) {
  uint8_t spatial = 0, most = c->preferred < MT_MAX_SPATIAL ? c->preferred : MT_MAX_SPATIAL - 1;
  if (c->producer->spec.encoding_count > 1) return 0;
  while (spatial < most && mt_layer_present(&s->layers, spatial + 1, 0)) spatial++;
  return spatial;
}

/* Of a layer above the lowest one at least half of the frames are wanted: a larger picture is no gain at a quarter of them. */
static void build_ladder(const mt_core *core, mt_consumer *c, int64_t now) {
  mt_ladder *l = &c->ladder;
  mt_producer *p = c->producer;
  l->count = 0;
  for (uint8_t i = 0; i < p->spec.encoding_count; i++) {
    const mt_stream *s = &p->streams[i];
    if (p->spec.encoding_count > 1 && !mt_stream_arriving(core, s, now)) continue;
    if (l->count && i > c->preferred) break;
    uint8_t top = highest_temporal(s, c->preferred_temporal);
    for (uint8_t spatial = 0; spatial <= highest_spatial(c, s); spatial++)
      for (uint8_t t = l->count && top > 0 ? top - 1 : 0; t <= top; t++) add_option(l, s, spatial, t);
  }
}

/* The layer that the client may choose: a stream in simulcast, else a spatial layer of the one stream. */
static int8_t layer_of(const mt_consumer *c, const mt_layer_option *o) {
  return (int8_t)(c->producer->spec.encoding_count > 1 ? o->stream : o->spatial);
}

/* The option in force: the best of those that are allowed now. */
static int8_t find_held(const mt_consumer *c) {
  const mt_ladder *l = &c->ladder;
  int8_t held = -1;
  for (uint8_t i = 0; i < l->count; i++) {
    const mt_layer_option *o = &l->options[i];
    int8_t layer = layer_of(c, o);
    if (layer < c->allowed || (layer == c->allowed && o->temporal <= c->allowed_temporal)) held = (int8_t)i;
  }
  return held;
}

static bool takes_part(const mt_consumer *c) {
  return c->producer && c->producer->spec.video && !c->paused && !c->producer->paused && c->ladder.count;
}

static unsigned tier_of(const mt_consumer *c) {
  unsigned tier = 0;
  while (tier + 1 < TIERS && c->priority >> (tier + 1)) tier++;
  return tier;
}

/* ---- the choice ---- */

typedef struct {
  uint64_t budget, total; /* bit/s */
  uint64_t next;          /* bit/s: the least budget with which anybody would rise; 0: nobody would */
  bool calm;              /* the link has not been congested for a while */
  int64_t now;
} round_of;

static uint64_t bitrate_of(const mt_ladder *l, int8_t option) { return option < 0 ? 0 : l->options[option].bitrate; }

/* The room that a total with this option needs, in percent of the total. After a fall the queue of the link has to empty. */
static unsigned percent_needed(const round_of *r, const mt_ladder *l, int8_t option) {
  if (option == 0 && r->calm) return 0;
  if (option > l->held) return RISE_PERCENT;
  if (option == 0) return LEAST_PERCENT;
  if (option < l->held) return FALL_PERCENT;
  return l->risen && r->now - l->risen < SETTLING_US ? SETTLING_PERCENT : STAY_PERCENT;
}

/* One step up. False: there is none, or no room for it. */
static bool rise(round_of *r, mt_consumer *c) {
  mt_ladder *l = &c->ladder;
  if (l->chosen + 1 >= l->count) return false;
  int8_t option = (int8_t)(l->chosen + 1);
  uint64_t total = r->total - bitrate_of(l, l->chosen) + bitrate_of(l, option);
  uint64_t needed = total / 100 * percent_needed(r, l, option);
  if (needed > r->budget) {
    if (!r->next || needed < r->next) r->next = needed;
    return false;
  }
  if (option > l->held && r->now < l->may_rise) return false;
  r->total = total;
  l->chosen = option;
  return true;
}

/* The consumer of the tier whose lowest option costs least, of those that were not asked yet. NULL: there is none. */
static mt_consumer *cheapest(mt_transport *t, unsigned tier) {
  mt_consumer *found = NULL;
  MT_EACH (item, &t->consumers) {
    mt_consumer *c = MT_OF(item, mt_consumer, in_transport);
    if (!takes_part(c) || tier_of(c) != tier || c->ladder.asked) continue;
    if (!found || c->ladder.options[0].bitrate < found->ladder.options[0].bitrate) found = c;
  }
  return found;
}

/* The lowest options of a tier. If not all fit, the cheap ones come first: one publisher's large stream does not take the room of
 * all others. */
static void give_lowest(mt_transport *t, round_of *r, unsigned tier) {
  uint64_t sum = r->total;
  MT_EACH (item, &t->consumers) {
    mt_consumer *c = MT_OF(item, mt_consumer, in_transport);
    if (takes_part(c) && tier_of(c) == tier) sum += c->ladder.options[0].bitrate;
  }
  bool all_fit = r->calm || sum / 100 * RISE_PERCENT <= r->budget;
  MT_EACH (item, &t->consumers) {
    mt_consumer *c = MT_OF(item, mt_consumer, in_transport);
    if (all_fit && takes_part(c) && tier_of(c) == tier) rise(r, c);
  }
  for (mt_consumer *c; !all_fit && (c = cheapest(t, tier)); c->ladder.asked = true) rise(r, c);
}

/* One step after the other, in turns. */
static void give_more(mt_transport *t, round_of *r, unsigned tier) {
  for (bool again = true; again;) {
    again = false;
    MT_EACH (item, &t->consumers) {
      mt_consumer *c = MT_OF(item, mt_consumer, in_transport);
      if (takes_part(c) && c->ladder.chosen >= 0 && tier_of(c) == tier && rise(r, c)) again = true;
    }
  }
}

static void choose(mt_transport *t, round_of *r) {
  for (unsigned tier = TIERS; tier-- > 0;) give_lowest(t, r, tier);
  for (unsigned tier = TIERS; tier-- > 0;) give_more(t, r, tier);
}

/* ---- what follows ---- */

/* bit/s for retransmissions */
static uint64_t set_aside(const mt_downlink *d) {
  uint64_t repair = (uint64_t)d->repair, most = mt_estimator_estimate(d->estimator)->bitrate / 100 * REPAIR_PERCENT;
  return repair < most ? repair : most;
}

static void note_change(mt_ladder *l, int64_t now) {
  if (l->chosen > l->held) {
    l->risen = now;
    l->may_rise = now + RISE_US;
  } else if (l->chosen < l->held) {
    bool failed = l->risen && now - l->risen < FAILED_US;
    l->risen = 0;
    l->penalty_us = failed ? (l->penalty_us ? 2 * l->penalty_us : LEAST_PENALTY_US) : 0;
    if (l->penalty_us > MOST_PENALTY_US) l->penalty_us = MOST_PENALTY_US;
    l->may_rise = now + (l->penalty_us > RISE_US ? l->penalty_us : RISE_US);
  }
}

static void apply(mt_core *core, mt_consumer *c, int64_t now) {
  mt_ladder *l = &c->ladder;
  int8_t allowed = -1;
  uint8_t temporal = 0;
  if (l->chosen >= 0) {
    allowed = layer_of(c, &l->options[l->chosen]);
    temporal = l->options[l->chosen].temporal;
  }
  note_change(l, now);
  if (allowed == c->allowed && temporal == c->allowed_temporal) return;
  c->allowed = allowed;
  c->allowed_temporal = temporal;
  c->allowed_since = now;
  mt_consumer_choose_layer(core, c, true, now);
}

uint64_t mt_allocation_next(const mt_consumer *c, mt_layer_option *next) {
  const mt_downlink *d = c->transport->downlink;
  const mt_ladder *l = &c->ladder;
  if (!d || !takes_part(c) || l->chosen + 1 >= l->count) return 0;
  *next = l->options[l->chosen + 1];
  uint64_t total = d->allocated + next->bitrate, own = bitrate_of(l, l->chosen);
  return (total > own ? total - own : 0) / 100 * RISE_PERCENT + set_aside(d);
}

void mt_allocate(mt_core *core, mt_transport *t, int64_t now) {
  mt_downlink *d = t->downlink;
  if (!d) return;
  mt_list_remove(&d->in_allocating);
  const mt_estimate *e = mt_estimator_estimate(d->estimator);
  bool by_queue = e->cause == MT_ESTIMATE_DELAY || e->cause == MT_ESTIMATE_LOSS;
  bool is_limit = e->cause == MT_ESTIMATE_LIMIT || e->cause == MT_ESTIMATE_REMB;
  if (by_queue && e->bitrate < d->bitrate) d->congested = now;
  d->bitrate = t->link = e->bitrate;
  if (e->cause != d->cause || !d->cause_since) d->cause_since = now;
  d->cause = e->cause;
  uint64_t repair = set_aside(d);
  round_of r = {.budget = e->bitrate - repair, .calm = !is_limit && (!d->congested || now - d->congested > CALM_US), .now = now};
  uint64_t wanted = 0;
  MT_EACH (item, &t->consumers) {
    mt_consumer *c = MT_OF(item, mt_consumer, in_transport);
    if (!c->producer || !c->producer->spec.video) continue;
    build_ladder(core, c, now);
    if (!takes_part(c)) continue;
    c->ladder.held = find_held(c);
    c->ladder.chosen = -1;
    c->ladder.asked = false;
    wanted += c->ladder.options[c->ladder.count - 1].bitrate;
  }
  choose(t, &r);
  MT_EACH (item, &t->consumers) {
    mt_consumer *c = MT_OF(item, mt_consumer, in_transport);
    if (takes_part(c)) apply(core, c, now);
  }
  d->allocated = r.total;
  d->spare_percent = r.budget > r.total && r.total ? (unsigned)((r.budget - r.total) * 100 / r.total) : 0;
  d->wanted = wanted;
  uint64_t redundant = mt_viewer_loss_level(t) && !mt_viewer_congested(t, now) ? r.total / 100 * REDUNDANT_PERCENT : 0;
  uint64_t next = r.next ? r.next : redundant && r.total + redundant > r.budget ? r.total + redundant : 0;
  mt_estimator_demand(d->estimator, wanted + repair + redundant, next ? next + repair : 0);
}
