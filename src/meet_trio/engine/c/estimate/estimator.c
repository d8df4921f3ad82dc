/* See estimator.h.
 *
 * mt_estimator_feedback takes each packet through the parts (departures, throughput, loss, trend and queue, cluster), and then
 * decides once: the result of a probe, the verdict about loss, the delay-based rate.
 */
#include "estimate/estimator.h"

#include "base/lines.h"
#include "estimate/aimd.h"
#include "estimate/loss.h"
#include "estimate/prober.h"
#include "estimate/queue.h"
#include "estimate/throughput.h"
#include "estimate/trend.h"

enum {
  ESTIMATE_SILENCE_US = 500 * MT_MS,         /* without feedback while packets leave: the rate falls, and again after that time */
  ESTIMATE_SILENT_TRIPS = 3,                 /* round trips, if they are longer */
  ESTIMATE_FIRST_SILENCE_US = 2 * MT_SECOND, /* before any feedback came */
  ESTIMATE_KNOCK_US = 80 * MT_MS, /* in silence some bytes leave at least that often, so that the path's return is seen */
  ESTIMATE_KNOCK_BYTES = 200,
  ESTIMATE_SILENT_LEAST = 50000,       /* bit/s: silence does not push the rate below that */
  ESTIMATE_LEAST_QUEUE_US = 8 * MT_MS, /* a growing queue counts from there */
  ESTIMATE_LONG_QUEUE_US = 50 * MT_MS, /* a standing queue counts from there */
  ESTIMATE_STEEP_US = 60 * MT_MS,      /* a queue that the newest groups see as this long counts at once, */
  ESTIMATE_BUSY_US = 120 * MT_MS,      /* what a busy link carries is known after that time, */
  ESTIMATE_STEEP_BUSY_US = 80 * MT_MS, /* and roughly after this */
  ESTIMATE_STEEP_JITTER = 3,           /* and so many times the jitter on top of it */
  ESTIMATE_PACKET_BITS = 12000,        /* of a large packet, whose own time on a slow link is no queue */
  ESTIMATE_WAITED_US = 10 * MT_MS,     /* a packet with that delay waited in a queue */
  ESTIMATE_FLOOD_US = 500 * MT_MS,     /* a stretch in which it is counted what is lost */
  ESTIMATE_FLOOD_STRETCHES = 3,        /* in turn in which most is lost: the link is flooded */
  ESTIMATE_TICK_US = MT_SECOND,        /* longest time to the next tick */
  ESTIMATE_LEAST_TICK_US = 5 * MT_MS,
  ESTIMATE_RTT_SHARE = 16,             /* a longer round trip changes the figure by one of that many parts */
  ESTIMATE_REORDER_US = 5 * MT_SECOND, /* in which the figure of reordering falls to about a third */
  ESTIMATE_REORDER_MOST_US = MT_SECOND,
  ESTIMATE_PEAK_US = 60 * MT_SECOND,      /* that the highest proven rate is remembered */
  ESTIMATE_LATE_US = 120 * MT_MS,         /* from one feedback to the next */
  ESTIMATE_PATH_US = 100 * MT_MS,         /* from a new path to its first probe */
  ESTIMATE_TOLERATED_US = 8 * MT_SECOND,  /* for that long the queue of others is no reason to fall */
  ESTIMATE_IDLE_US = 2 * MT_SECOND,       /* without feedback: what was known of the queue is old */
  ESTIMATE_FULL_US = 450 * MT_MS,         /* since a frame filled the link: it counts as full */
  ESTIMATE_FAST_US = 2 * MT_SECOND,       /* since it was faster: it does not */
  ESTIMATE_FULL_MOST_US = 10 * MT_SECOND, /* after a probe that did not fit, a full link is probed again */
  TICK_64_MS = 64 * MT_MS,                /* the unit of reference times */
  REFERENCE_BITS = 24,
};
static const double ESTIMATE_FLOOD_SHARE = 0.6;  /* more than random losses */
static const double ESTIMATE_PACKETS_WAIT = 1.5; /* large packets whose time is no queue */
static const double ESTIMATE_SILENT_FALL = 0.5;
static const double ESTIMATE_RETURN = 0.85;     /* of the rate before the silence */
static const double ESTIMATE_NEAR_PEAK = 0.9;   /* of the next layer's need: a proven rate this near to it is tried again soon */
static const double ESTIMATE_FAR_LESS = 0.7;    /* of the estimate: what a busy link carries then shows that it has become slower */
static const double ESTIMATE_TARGET = 0.92;     /* of the capacity that a probe has found */
static const double ESTIMATE_BELOW_NEXT = 0.99; /* of the next layer's need: growth ends there */
static const double ESTIMATE_DOUBTED = 1.05;    /* of the known capacity: a probe that fits above it is repeated */
static const double ESTIMATE_ABOVE_LINK = 1.05; /* of what a full link carries: growth ends there */
static const double ESTIMATE_TOLERANCE = 1.2;   /* of the queue that others make */
static const double ESTIMATE_UNBOUNDED = 1e12;  /* bit/s: above every rate */
/* Unwrapped reference times stay in this range; a client that leaves it begins anew. No sum of a datagram's deltas reaches out. */
static const int64_t REFERENCE_FIRST = INT64_C(1) << 26, REFERENCE_LEAST = INT64_C(1) << 25, REFERENCE_MOST = INT64_C(1) << 40;

typedef struct {         /* see is_flooded */
  int64_t since;         /* microseconds: when the present stretch began; 0: never */
  double lost, received; /* packets in it */
  unsigned stretches;    /* in turn, in which most was lost */
} mt_flood;

struct mt_estimator {
  /* Each packet that leaves touches these: two cache lines. */
  mt_departures departures;
  int64_t last_sent;  /* microseconds; 0: never */
  uint64_t sent;      /* bytes in all */
  int64_t unanswered; /* microseconds: the first packet that left since feedback came; 0: none */
  mt_estimate figures;

  mt_flood flood;
  mt_trend trend;
  mt_queue queue;
  mt_throughput throughput;
  mt_loss loss;
  mt_aimd aimd;
  mt_prober prober;
  uint64_t start, least, most, limit, wanted, next; /* bit/s; most, limit: UINT64_MAX is no bound */
  bool demanded;
  int64_t tolerated, tolerated_until; /* microseconds: a queue that others make, and until when it counts as none */
  bool doubted;                       /* a probe fitted, and the next one has to confirm it */
  uint64_t reported;                  /* extended number after the newest one that feedback told of */
  uint64_t received;                  /* extended number of the newest packet that came */
  int64_t latest_arrival;             /* microseconds of the client's clock */
  int64_t reference;                  /* units of 64 ms, unwrapped; 0: none yet */
  int64_t last_feedback;              /* microseconds; 0: never */
  int64_t silent_at;                  /* microseconds: the last fall for silence; 0: no silence */
  double before_silence;              /* bit/s */
  double peak;                        /* bit/s: the highest rate that was proven */
  int64_t peak_at;
  int64_t reorder_at; /* microseconds: when the figure of reordering was decayed last */
  int64_t full_at;    /* microseconds: when a packet last waited on a link too slow for the next layer, */
  int64_t fast_at;    /* and when two last came as fast as the next layer needs */
};

/* ---- the estimate ---- */

static double most_of(const mt_estimator *e) {
  uint64_t most = e->most < e->limit ? e->most : e->limit;
  return most == UINT64_MAX ? ESTIMATE_UNBOUNDED : (double)most;
}

/* Keeps the rate in its bounds, and tells why it changed. */
static void publish(mt_estimator *e, mt_estimate_cause cause) {
  double most = most_of(e);
  if (e->aimd.rate < (double)e->least) e->aimd.rate = (double)e->least;
  if (e->aimd.rate > most) e->aimd.rate = most;
  uint64_t bitrate = (uint64_t)e->aimd.rate;
  if (bitrate != e->figures.bitrate) e->figures.cause = cause;
  e->figures.bitrate = bitrate;
}

static void reset_path(mt_estimator *e) {
  mt_trend_init(&e->trend);
  e->queue = (mt_queue){0};
  e->throughput = (mt_throughput){0};
  e->aimd.capacity = 0;
  e->aimd.held = false;
  e->aimd.resume = 0;
  e->aimd.queue_before = 0;
  e->tolerated_until = 0;
  e->reference = 0;
  e->latest_arrival = 0;
}

mt_estimator *mt_estimator_new(const mt_estimator_spec *spec, int64_t now) {
  mt_estimator *e = mt_new_in_lines(sizeof *e);
  if (!e || !mt_departures_init(&e->departures, spec->departures)) {
    free(e);
    return NULL;
  }
  e->start = spec->start;
  e->least = spec->least;
  e->most = spec->most ? spec->most : UINT64_MAX;
  if (e->most < e->least) e->most = e->least;
  e->limit = UINT64_MAX;
  e->aimd.rate = (double)spec->start;
  e->aimd.updated = now;
  reset_path(e);
  mt_prober_init(&e->prober, now);
  publish(e, MT_ESTIMATE_START);
  return e;
}

void mt_estimator_free(mt_estimator *e) {
  if (e) mt_departures_free(&e->departures);
  free(e);
}

const mt_estimate *mt_estimator_estimate(const mt_estimator *e) { return &e->figures; }

void mt_estimator_limit(mt_estimator *e, uint64_t most) {
  e->limit = most ? most : UINT64_MAX;
  publish(e, MT_ESTIMATE_LIMIT);
}

void mt_estimator_demand(mt_estimator *e, uint64_t wanted, uint64_t next) {
  e->wanted = wanted;
  e->next = next;
  e->demanded = true;
}

void mt_estimator_remb(mt_estimator *e, uint64_t bitrate, int64_t now) {
  (void)now;
  if (e->last_feedback) return;
  e->aimd.rate = (double)bitrate;
  publish(e, MT_ESTIMATE_REMB);
}

void mt_estimator_loss_report(mt_estimator *e, float loss, uint32_t rtt_us) {
  e->figures.loss = loss > 0 ? loss < 1 ? loss : 1 : 0;
  e->figures.rtt_us = rtt_us;
}

/* ---- packets that leave ---- */

_Static_assert(offsetof(mt_estimator, figures.overused) < 2 * MT_CACHE_LINE, "a packet that leaves touches two lines");

void mt_estimator_fetch(const mt_estimator *e) { mt_fetch(e, 2); }

void mt_estimator_fetch_departure(const mt_estimator *e) { mt_departures_fetch(&e->departures); }

void mt_estimator_sent(mt_estimator *e, uint16_t number, size_t bytes, uint8_t cluster, int64_t now) {
  uint64_t extended = mt_departures_add(&e->departures, number, bytes, cluster, now);
  if (!extended) return;
  e->last_sent = now;
  e->sent += bytes;
  if (!e->unanswered) e->unanswered = now;
  if (cluster && cluster == e->prober.id) mt_prober_sent(&e->prober, extended, bytes, now);
}

mt_fate mt_estimator_packet_fate(const mt_estimator *e, uint16_t number) {
  if (!e->departures.next) return MT_FATE_UNKNOWN;
  const mt_departure *p = mt_departures_find((mt_departures *)&e->departures, mt_departures_extend(&e->departures, number));
  return p ? (mt_fate)p->fate : MT_FATE_UNKNOWN;
}

/* ---- feedback ---- */

/* A packet of the cluster whose result is awaited. */
static bool probes(const mt_estimator *e, const mt_departure *p) {
  return p->cluster && p->cluster == e->prober.id && e->prober.state != MT_PROBER_IDLE;
}

/* `from` to `to` - 1 were reported as lost. Each number is looked at once: below `reported` nothing is new. */
static void packets_lost(mt_estimator *e, uint64_t from, uint64_t to, int64_t now) {
  if (to > e->departures.next) to = e->departures.next;
  if (from < e->reported) from = e->reported;
  uint32_t kept = e->departures.count;
  if (e->departures.next > kept && from < e->departures.next - kept) from = e->departures.next - kept;
  for (; from < to; from++) {
    mt_departure *p = mt_departures_find(&e->departures, from);
    if (!p || p->fate != MT_FATE_UNKNOWN) continue;
    p->fate = MT_FATE_LOST;
    mt_loss_lost(&e->loss, mt_departure_time(p, now), p->bytes);
    e->flood.lost++;
    if (probes(e, p)) mt_cluster_lost(&e->prober.cluster);
  }
  if (to > e->reported) e->reported = to;
}

static void note_reordering(mt_estimator *e, uint64_t number, int64_t arrival, int64_t delay, bool late) {
  int64_t by = 0;
  if (late || number < e->received) by = mt_queue_of(&e->queue, delay);
  else if (arrival < e->latest_arrival) by = e->latest_arrival - arrival;
  if (by > ESTIMATE_REORDER_MOST_US) by = ESTIMATE_REORDER_MOST_US;
  if (by > (int64_t)e->figures.reorder_us) e->figures.reorder_us = (uint32_t)by;
  if (number < e->received) return;
  e->received = number;
  if (arrival > e->latest_arrival || e->latest_arrival - arrival > ESTIMATE_REORDER_MOST_US) e->latest_arrival = arrival;
}

/* Returns when the packet left. 0: it is not known, or was reported as received before. */
static int64_t packet_received(mt_estimator *e, uint64_t number, int64_t arrival, int64_t now) {
  mt_departure *p = mt_departures_find(&e->departures, number);
  if (!p || p->fate == MT_FATE_RECEIVED) return 0;
  bool late = p->fate == MT_FATE_LOST;
  int64_t sent = mt_departure_time(p, now), delay = arrival - sent;
  mt_group ended;
  p->fate = MT_FATE_RECEIVED;
  if (number >= e->reported) e->reported = number + 1;
  note_reordering(e, number, arrival, delay, late);
  int64_t above = mt_queue_of(&e->queue, delay);
  mt_throughput_packet(&e->throughput, arrival, p->bytes, above, above > ESTIMATE_WAITED_US + e->queue.jitter);
  if (e->throughput.pair.rate >= (double)e->next) e->fast_at = now;
  else if (e->throughput.pair.waited) e->full_at = now;
  e->flood.received++;
  if (late) mt_loss_late(&e->loss);
  else mt_loss_received(&e->loss, sent, p->bytes);
  if (mt_trend_packet(&e->trend, sent, arrival, &ended)) mt_queue_group(&e->queue, ended.last_arrival, ended.delay);
  if (probes(e, p) && late && e->prober.cluster.lost) e->prober.cluster.lost--;
  if (probes(e, p)) mt_cluster_received(&e->prober.cluster, sent, arrival, p->bytes);
  return sent;
}

/* The arrival times of this feedback begin there, in microseconds of the client's clock, above 0. */
static int64_t reference_time(mt_estimator *e, uint32_t reference) {
  int64_t half = INT64_C(1) << (REFERENCE_BITS - 1), mask = (INT64_C(1) << REFERENCE_BITS) - 1;
  if (e->reference) e->reference += (((int64_t)reference - e->reference + half) & mask) - half;
  if (e->reference < REFERENCE_LEAST || e->reference > REFERENCE_MOST) {
    reset_path(e);
    e->reference = REFERENCE_FIRST + reference;
  }
  return e->reference * TICK_64_MS;
}

/* A rate that the path has carried. */
static void note_proof(mt_estimator *e, double rate, int64_t now) {
  if (rate < e->peak && now - e->peak_at < ESTIMATE_PEAK_US) return;
  e->peak = rate;
  e->peak_at = now;
}

static void probe_result(mt_estimator *e, int64_t now) {
  double rate;
  bool known = e->peak > ESTIMATE_NEAR_PEAK * (double)e->next && now - e->peak_at < ESTIMATE_PEAK_US;
  const mt_cluster *c = &e->prober.cluster;
  bool waits = e->prober.state == MT_PROBER_WAITING && e->reported > c->last_number;
  /* Where the order changes, what seems to be lost may come with the next feedback. */
  int64_t late = c->last_sent + (int64_t)e->figures.rtt_us + (int64_t)e->figures.reorder_us + ESTIMATE_LATE_US;
  if (waits && c->lost && e->figures.reorder_us && now < late) return;
  mt_cluster_verdict verdict = mt_prober_result(&e->prober, e->reported, e->loss.own, known, &rate, now);
  if (!waits) return;
  /* The cluster has made a queue of its own, or could have: the trend begins anew behind it. */
  mt_trend_forget(&e->trend);
  /* One lucky cluster does not outweigh what a queue or a probe has shown lately. */
  bool doubtful = verdict == MT_CLUSTER_FITS && !e->doubted && e->aimd.capacity && rate > ESTIMATE_DOUBTED * e->aimd.capacity;
  e->doubted = doubtful;
  if (verdict != MT_CLUSTER_NOTHING) {
    bool unsure = doubtful || verdict == MT_CLUSTER_UNSURE;
    e->figures.probed = unsure ? MT_PROBED_UNSURE : verdict == MT_CLUSTER_FITS ? MT_PROBED_FITS : MT_PROBED_TOO_MUCH;
    e->figures.probed_at = now;
    e->figures.probe_bitrate = (uint64_t)e->prober.bitrate;
  }
  if (doubtful) {
    e->prober.follow = false;
  } else if (verdict == MT_CLUSTER_FITS && rate > e->aimd.rate) {
    e->aimd.rate = rate;
    if (rate > e->aimd.capacity) e->aimd.capacity = 0;
    note_proof(e, rate, now);
  } else if (verdict == MT_CLUSTER_SATURATED) {
    double arriving = mt_throughput_rate(&e->throughput);
    mt_aimd_learn(&e->aimd, rate, now);
    rate *= ESTIMATE_TARGET;
    if (rate < arriving && arriving < e->aimd.rate) rate = arriving;
    e->aimd.rate = rate > e->aimd.rate || rate >= arriving ? rate : e->aimd.rate;
    e->aimd.held = true;
    e->aimd.decrease_at = now + (int64_t)e->figures.rtt_us + ESTIMATE_SILENCE_US / 2;
  }
  publish(e, MT_ESTIMATE_PROBE);
}

/* Most packets are lost, and some come all the time: the link carries a small part of what is sent. Runs of losses are then as long
 * as outages, of which mt_loss makes no observations. */
static bool is_flooded(mt_estimator *e, int64_t now) {
  mt_flood *f = &e->flood;
  if (!f->since) f->since = now;
  if (now - f->since < ESTIMATE_FLOOD_US) return false;
  bool much = f->received && f->lost > ESTIMATE_FLOOD_SHARE * (f->lost + f->received);
  f->stretches = much ? f->stretches + 1 : 0;
  f->since = now;
  f->lost = f->received = 0;
  return f->stretches >= ESTIMATE_FLOOD_STRETCHES;
}

static void loss_verdict(mt_estimator *e, int64_t now) {
  double bound;
  if (is_flooded(e, now)) {
    double arriving = mt_throughput_rate(&e->throughput);
    if (arriving < e->aimd.rate) e->aimd.rate = arriving;
    mt_aimd_learn(&e->aimd, arriving, now);
    mt_prober_overused(&e->prober, now);
    publish(e, MT_ESTIMATE_LOSS);
    return;
  }
  mt_loss_verdict verdict = mt_loss_judge(&e->loss, e->aimd.rate, mt_throughput_rate(&e->throughput), now, &bound);
  if (e->loss.recent_packets > 0) e->figures.loss = (float)mt_loss_share(&e->loss);
  if (verdict == MT_LOSS_NOTHING) return;
  if (verdict == MT_LOSS_BOUND && bound < e->aimd.rate) {
    e->aimd.rate = bound;
    mt_aimd_learn(&e->aimd, bound, now);
    mt_prober_overused(&e->prober, now);
  } else if (verdict == MT_LOSS_TAKEN_BACK && bound > e->aimd.rate) {
    e->aimd.rate = bound;
    e->aimd.capacity = 0;
  }
  publish(e, MT_ESTIMATE_LOSS);
}

/* Packets wait for each other on a link that is too slow for the next layer. A probe would only say so again. */
static bool is_full(const mt_estimator *e, int64_t now) {
  return now - e->full_at < ESTIMATE_FULL_US && now - e->fast_at > ESTIMATE_FAST_US;
}

/* From which length a queue counts that does not grow. */
static int64_t long_queue(const mt_estimator *e, double arriving) {
  int64_t length = ESTIMATE_LONG_QUEUE_US;
  if (arriving > 0) {
    double packets = ESTIMATE_PACKETS_WAIT * ESTIMATE_PACKET_BITS * MT_SECOND / arriving;
    if (packets > MT_SECOND) packets = MT_SECOND;
    if ((int64_t)packets > length) length = (int64_t)packets;
  }
  return length + e->queue.jitter;
}

/* Where growth ends, and only probes lead beyond. Beside other traffic a probe shows little, so there it has no bound. */
static double growth_bound(const mt_estimator *e, int64_t now) {
  double most = ESTIMATE_UNBOUNDED, link = ESTIMATE_ABOVE_LINK * mt_throughput_link(&e->throughput);
  if (e->demanded && e->next) most = ESTIMATE_BELOW_NEXT * (double)e->next;
  return is_full(e, now) && link > 0 && link < most ? link : most;
}

static void delay_verdict(mt_estimator *e, int64_t now) {
  double arriving = mt_throughput_rate(&e->throughput), busy = mt_throughput_busy(&e->throughput, ESTIMATE_BUSY_US);
  int64_t queue = e->queue.queue, empty = ESTIMATE_LEAST_QUEUE_US + e->queue.jitter / 2;
  int64_t tolerated = now < e->tolerated_until ? e->tolerated : 0;
  bool grows = e->trend.state == MT_TREND_OVERUSE && queue > empty, is_long = queue > long_queue(e, arriving);
  int64_t newest = e->trend.has_current ? mt_queue_newest(&e->queue, e->trend.current.delay) : 0;
  double fresh = mt_throughput_busy(&e->throughput, ESTIMATE_STEEP_BUSY_US);
  bool less = fresh > 0 && fresh < ESTIMATE_FAR_LESS * e->aimd.rate;
  if (less && !e->aimd.held && newest > ESTIMATE_STEEP_US + ESTIMATE_STEEP_JITTER * e->queue.jitter) {
    grows = true;
    if (busy <= 0) busy = fresh;
    if (newest > queue) queue = newest;
  }
  bool is_short = !is_long && busy <= 0; /* it may be one frame's own: the link carries what it has carried all the time */
  mt_aimd_input in = {
      .overused = (grows || is_long) && queue > tolerated,
      .competing = tolerated > 0,
      .queue = queue,
      .empty = tolerated > 2 * empty ? tolerated : 2 * empty,
      .arriving = arriving,
      .capacity = is_short ? mt_throughput_link(&e->throughput) : busy,
      .is_short = is_short,
      .most = tolerated ? ESTIMATE_UNBOUNDED : growth_bound(e, now),
      .rtt = e->figures.rtt_us,
      .sent = e->sent,
  };
  /* While a cluster runs, the queue is its own; its result comes soon. */
  if (e->prober.state == MT_PROBER_IDLE && now >= e->prober.drained) switch (mt_aimd_update(&e->aimd, &in, now)) {
    case MT_AIMD_STUCK: /* others fill the queue; who always yields to them gets nothing */
      e->tolerated = (int64_t)(ESTIMATE_TOLERANCE * (double)queue);
      e->tolerated_until = now + ESTIMATE_TOLERATED_US;
      /* fall through */
    case MT_AIMD_FELL:
      mt_prober_overused(&e->prober, now);
      publish(e, MT_ESTIMATE_DELAY);
      break;
    case MT_AIMD_GREW: publish(e, MT_ESTIMATE_GROWTH); break;
    case MT_AIMD_NOTHING: break;
    }
  if (!e->figures.overused) note_proof(e, arriving, now);
  e->figures.acknowledged = (uint64_t)arriving;
  e->figures.queue_us = (uint32_t)queue;
  e->figures.overused = e->aimd.held;
}

static void note_round_trip(mt_estimator *e, int64_t sample) {
  if (sample < 0) return;
  if (sample > ESTIMATE_TICK_US * 10) sample = ESTIMATE_TICK_US * 10;
  uint32_t rtt = e->figures.rtt_us;
  e->figures.rtt_us = !rtt || sample < rtt ? (uint32_t)sample : rtt + (uint32_t)(sample - rtt) / ESTIMATE_RTT_SHARE;
}

static void silence_ends(mt_estimator *e) {
  e->silent_at = 0;
  mt_trend_forget(&e->trend);
  e->throughput = (mt_throughput){0};
  if (e->before_silence * ESTIMATE_RETURN > e->aimd.rate) e->aimd.rate = e->before_silence * ESTIMATE_RETURN;
  publish(e, MT_ESTIMATE_GROWTH);
}

static void forget_reordering(mt_estimator *e, int64_t now) {
  int64_t elapsed = now - e->reorder_at;
  if (elapsed > ESTIMATE_REORDER_US) elapsed = ESTIMATE_REORDER_US;
  e->figures.reorder_us -= (uint32_t)((double)e->figures.reorder_us * (double)elapsed / ESTIMATE_REORDER_US);
  if (e->figures.reorder_us < MT_MS) e->figures.reorder_us = 0;
  e->reorder_at = now;
}

void mt_estimator_feedback(mt_estimator *e, mt_rtcp_twcc *feedback, int64_t now) {
  mt_rtcp_arrival a;
  int64_t newest = 0;
  if (!e->departures.next) return;
  forget_reordering(e, now);
  int64_t base = reference_time(e, feedback->reference_time);
  while (mt_rtcp_next_twcc(feedback, &a)) {
    uint64_t number = mt_departures_extend(&e->departures, a.sequence);
    if (number >= e->departures.next) continue; /* it was not sent */
    if (!a.received) {
      packets_lost(e, number, number + a.count, now);
      continue;
    }
    int64_t sent = packet_received(e, number, base + a.arrival, now);
    if (sent > newest) newest = sent;
  }
  e->last_feedback = now;
  if (!newest) return;
  e->unanswered = 0;
  if (e->silent_at) silence_ends(e);
  note_round_trip(e, now - newest);
  probe_result(e, now);
  loss_verdict(e, now);
  delay_verdict(e, now);
}

/* ---- time ---- */

void mt_estimator_moved(mt_estimator *e, int64_t now) {
  double arriving = (double)e->figures.acknowledged, trusted = arriving > (double)e->start ? arriving : (double)e->start;
  double rate = e->silent_at && e->before_silence > e->aimd.rate ? e->before_silence : e->aimd.rate;
  reset_path(e);
  e->loss = (mt_loss){0};
  mt_prober_init(&e->prober, now + ESTIMATE_PATH_US);
  e->unanswered = 0;
  e->silent_at = 0;
  e->aimd.rate = rate < trusted ? rate : trusted;
  publish(e, MT_ESTIMATE_PATH);
  e->figures.cause = MT_ESTIMATE_PATH;
}

static int64_t silence_due(const mt_estimator *e) {
  if (!e->unanswered) return INT64_MAX;
  int64_t wait = ESTIMATE_SILENT_TRIPS * (int64_t)e->figures.rtt_us;
  if (wait < ESTIMATE_SILENCE_US) wait = ESTIMATE_SILENCE_US;
  if (!e->last_feedback) wait = ESTIMATE_FIRST_SILENCE_US;
  return (e->silent_at ? e->silent_at : e->unanswered) + wait;
}

static void be_silent(mt_estimator *e, int64_t now) {
  double rate = e->aimd.rate * ESTIMATE_SILENT_FALL;
  if (!e->silent_at) e->before_silence = e->aimd.rate;
  e->silent_at = now;
  if (rate < ESTIMATE_SILENT_LEAST) rate = ESTIMATE_SILENT_LEAST;
  if (rate < e->aimd.rate) e->aimd.rate = rate;
  publish(e, MT_ESTIMATE_SILENCE);
}

static void begin_probe(mt_estimator *e, int64_t now) {
  mt_prober_input in = {e->aimd.rate, (double)e->next, (double)e->wanted, most_of(e), (double)e->queue.jitter};
  if (!e->demanded) in.next = in.wanted = 4 * e->aimd.rate;
  if (e->silent_at) {
    if (now - e->last_sent >= ESTIMATE_KNOCK_US) mt_prober_knock(&e->prober, e->aimd.rate, ESTIMATE_KNOCK_BYTES, now);
    return;
  }
  /* Without packets there is no feedback, and without feedback the rate would be held for ever. */
  if (e->aimd.held && now - e->last_feedback > ESTIMATE_IDLE_US) e->aimd.held = false;
  if (e->aimd.held || (e->prober.begun && !e->last_feedback)) return;
  if (e->prober.failures && is_full(e, now) && now - e->prober.failed_at < ESTIMATE_FULL_MOST_US) return;
  mt_prober_begin(&e->prober, &in, now);
}

int64_t mt_estimator_tick(mt_estimator *e, int64_t now) {
  int64_t due = now + ESTIMATE_TICK_US;
  if (silence_due(e) <= now) be_silent(e, now);
  mt_prober_expire(&e->prober, now);
  if (silence_due(e) < due) due = silence_due(e);
  if (e->silent_at && e->last_sent + ESTIMATE_KNOCK_US < due) due = e->last_sent + ESTIMATE_KNOCK_US;
  int64_t probe = e->prober.state == MT_PROBER_IDLE ? e->prober.due : e->prober.until;
  if (probe > now && probe < due) due = probe;
  return due < now + ESTIMATE_LEAST_TICK_US ? now + ESTIMATE_LEAST_TICK_US : due;
}

bool mt_estimator_probe(mt_estimator *e, mt_probe *out, int64_t now) {
  mt_prober_expire(&e->prober, now);
  begin_probe(e, now);
  if (e->prober.state != MT_PROBER_SENDING) return false;
  *out = (mt_probe){e->prober.id, (uint64_t)e->prober.bitrate, e->prober.left};
  return true;
}
