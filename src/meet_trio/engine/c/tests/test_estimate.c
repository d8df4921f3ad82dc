/* The estimator's parts with traces of known answers, and the estimator with single events. What it does on whole networks is
 * tested in tests/estimate. */
#include "base/pool.c"
#include "estimate/aimd.c"
#include "estimate/cluster.c"
#include "estimate/departures.c"
#include "estimate/estimator.c"
#include "estimate/loss.c"
#include "estimate/prober.c"
#include "estimate/queue.c"
#include "estimate/throughput.c"
#include "estimate/trend.c"
#include "formats/rtcp.c"

#include "check.h"

static mt_pools pools;

static bool near(double value, double wanted, double by) { return fabs(value - wanted) <= by; }

/* ---- the rate ---- */

/* The number of falls after which a queue that stays is taken for somebody else's; 20: never. `share`: what leaves, of the rate. */
static unsigned falls_until_stuck(double share) {
  mt_aimd a = {.rate = 1e6};
  mt_aimd_input in = {.overused = true, .queue = 200 * MT_MS, .empty = 20 * MT_MS, .arriving = 500e3, .rtt = 100 * MT_MS};
  int64_t now = MT_SECOND, step = 300 * MT_MS;
  for (unsigned i = 1; i < 20; i++, now += step) {
    if (mt_aimd_update(&a, &in, now) == MT_AIMD_STUCK) return i;
    in.sent += (uint64_t)(share * a.rate / 8 * (double)step / MT_SECOND);
  }
  return 20;
}

static void test_stuck(void) {
  CHECK(falls_until_stuck(1) == 1 + AIMD_STUCK);
  CHECK(falls_until_stuck(1.3) == 20);
}

/* The rate after one fall from 600 kbit/s, with a short queue while 400 kbit/s arrive. */
static double fallen(bool is_short, double capacity) {
  mt_aimd a = {.rate = 600e3};
  mt_aimd_input in = {.overused = true, .queue = 20 * MT_MS, .empty = 20 * MT_MS, .arriving = 400e3, .rtt = 50 * MT_MS};
  in.is_short = is_short;
  in.capacity = capacity;
  CHECK(mt_aimd_update(&a, &in, MT_SECOND) == MT_AIMD_FELL);
  return a.rate;
}

static void test_short_queues(void) {
  CHECK(near(fallen(false, 0), AIMD_BACKOFF * 400e3, 1)); /* a queue that stands: the link carries what arrives */
  CHECK(near(fallen(true, 640e3), AIMD_GENTLE * 640e3, 1));
  CHECK(near(fallen(true, 0), AIMD_GENTLE * 600e3, 1)); /* nothing is known of the link, and the application sends less */
}

/* ---- departures ---- */

static void test_departures(void) {
  mt_departures *d = calloc(1, sizeof *d);
  if (!d || !mt_departures_init(d, &pools)) abort();
  uint64_t first = mt_departures_add(d, 65535, 100, 3, 1000);
  CHECK(first && mt_departures_add(d, 0, 200, 0, 2000) == first + 1); /* over the wrap */
  CHECK(!mt_departures_add(d, 65535, 100, 0, 3000));                  /* numbers rise */
  CHECK(mt_departures_extend(d, 65535) == first);
  mt_departure *p = mt_departures_find(d, first);
  CHECK(p && p->bytes == 100 && p->cluster == 3 && mt_departure_time(p, 5000) == 1000);
  CHECK(!mt_departures_find(d, first + 2) && !mt_departures_find(d, first - 1));
  CHECK(mt_departures_add(d, 10, 300, 0, 4000) == first + 11); /* numbers that were skipped are unknown */
  CHECK(!mt_departures_find(d, first + 5) && mt_departures_find(d, first + 1));
  for (unsigned i = 0; i < MT_DEPARTURES; i++) mt_departures_add(d, (uint16_t)(11 + i), 1, 0, 5000);
  CHECK(!mt_departures_find(d, first + 11) && mt_departures_find(d, first + 12)); /* the ring is full */
  mt_departures_add(d, (uint16_t)(d->next + 30000), 1, 0, 6000);
  CHECK(!mt_departures_find(d, d->next - 2) && mt_departures_find(d, d->next - 1));
  /* 2^32 microseconds and more */
  int64_t late = (INT64_C(7) << 32) + 5;
  mt_departures_add(d, (uint16_t)d->next, 1, 0, late);
  CHECK(mt_departure_time(mt_departures_find(d, d->next - 1), late + 70000000) == late);
  mt_departures_free(d);
  free(d);
}

/* The ring follows what leaves in MT_DEPARTURES_KEPT_US, and keeps all of that when it grows. */
static uint32_t slots_for(unsigned packets_a_second) {
  mt_departures d;
  if (!mt_departures_init(&d, &pools)) abort();
  unsigned kept = 2 * packets_a_second < MT_DEPARTURES ? 2 * packets_a_second : MT_DEPARTURES;
  int64_t now = MT_SECOND;
  for (unsigned i = 0; i < 10 * packets_a_second; i++, now += MT_SECOND / packets_a_second) {
    mt_departures_add(&d, (uint16_t)(65000 + i), i % 1000 + 1, 0, now);
    for (unsigned back = 1; back < kept && back <= i + 1; back += 97) {
      const mt_departure *p = mt_departures_find(&d, d.next - back);
      if (!p || p->bytes != (i + 1 - back) % 1000 + 1) return 0;
    }
  }
  mt_departures_free(&d);
  return d.count;
}

static void test_departures_grow(void) {
  CHECK(slots_for(10) == MT_DEPARTURES_LEAST);
  CHECK(slots_for(120) == MT_DEPARTURES_LEAST);
  CHECK(slots_for(200) == 512);
  CHECK(slots_for(1000) == 2048);
  CHECK(slots_for(5000) == MT_DEPARTURES);
}

/* ---- trend ---- */

/* Packets every 20 ms whose delay grows by `slope`. Returns the slope that is found. */
static double ramp(mt_trend *t, double slope, unsigned packets) {
  mt_group ended;
  static int64_t sent;
  int64_t began = sent += 1000000;
  for (unsigned i = 0; i < packets; i++, sent += 20000) {
    int64_t delay = (int64_t)(slope * (double)(sent - began));
    mt_trend_packet(t, sent, 5000000 + sent + delay, &ended);
  }
  return t->slope;
}

static void test_trend(void) {
  mt_trend t;
  mt_trend_init(&t);
  CHECK(near(ramp(&t, 0, 60), 0, 1e-9) && t.state == MT_TREND_NORMAL && t.threshold == TREND_LEAST_THRESHOLD_MS);
  /* A link that gets 1.1 times what it carries: the delay grows by 0.1 for each unit of departure, 0.1 / 1.1 of arrival. */
  mt_trend_init(&t);
  CHECK(near(ramp(&t, 0.1, 200), 0.1 / 1.1, 0.001) && t.times_over + (t.state == MT_TREND_OVERUSE) > 0);
  CHECK(t.state == MT_TREND_OVERUSE);
  mt_trend_init(&t);
  CHECK(near(ramp(&t, -0.05, 200), -0.05 / 0.95, 0.001) && t.state == MT_TREND_UNDERUSE);
  /* A small slope is normal: 60 changes times 4 times the slope stay below the threshold. */
  mt_trend_init(&t);
  CHECK(near(ramp(&t, 0.01, 60), 0.01 / 1.01, 0.001) && t.state == MT_TREND_NORMAL);
}

static void test_groups(void) {
  mt_trend t;
  mt_group g;
  mt_trend_init(&t);
  CHECK(!mt_trend_packet(&t, 1000, 91000, &g));
  CHECK(!mt_trend_packet(&t, 3000, 92500, &g));  /* within the burst */
  CHECK(!mt_trend_packet(&t, 6000, 97000, &g));  /* 5 ms */
  CHECK(mt_trend_packet(&t, 20000, 111000, &g)); /* the next group */
  CHECK(g.first_sent == 1000 && g.last_sent == 6000 && g.first_arrival == 91000 && g.last_arrival == 97000 && g.delay == 89500);
  CHECK(!mt_trend_packet(&t, 5000, 112000, &g));  /* late: its group has ended */
  CHECK(!mt_trend_packet(&t, 30000, 113000, &g)); /* it arrives with the one before: they waited together */
  CHECK(mt_trend_packet(&t, 60000, 150000, &g) && g.last_sent == 30000);
}

/* ---- queue ---- */

static void test_queue(void) {
  mt_queue q = {0};
  int64_t t = 1000000;
  for (unsigned i = 0; i < 50; i++, t += 50000) mt_queue_group(&q, t, -7000000 + (int64_t)(i % 3) * 40000);
  CHECK(q.queue == 0); /* jitter of 80 ms is no queue */
  CHECK(q.jitter > 20000 && q.jitter < 50000);
  for (unsigned i = 0; i < 6; i++, t += 50000) mt_queue_group(&q, t, -6900000 + (int64_t)(i % 3) * 40000);
  CHECK(q.queue == 100000); /* all are 100 ms later */
  CHECK(mt_queue_of(&q, -6950000) == 50000 && mt_queue_of(&q, -8000000) == 0 && mt_queue_of(&q, INT64_C(1) << 50) == QUEUE_MOST_US);
  for (unsigned i = 0; i < 500; i++, t += 50000) mt_queue_group(&q, t, -6900000);
  CHECK(q.queue == 0); /* after 20 s it is the path's own delay */
}

/* ---- throughput ---- */

static void test_throughput(void) {
  mt_throughput x = {0};
  int64_t t = 2000000;
  CHECK(mt_throughput_rate(&x) == 0 && mt_throughput_busy(&x, 120000) == 0);
  for (unsigned i = 0; i < 100; i++, t += 10000) mt_throughput_packet(&x, t, 1250, 50000, i >= 50);
  CHECK(near(mt_throughput_rate(&x), 1e6, 30e3)); /* 1,250 bytes in 10 ms */
  CHECK(near(mt_throughput_busy(&x, 120000), 1e6, 1));
  t += 20000; /* idle, and then a burst behind a queue that drains at 4 Mbit/s */
  mt_throughput_packet(&x, t, 1250, 0, false);
  CHECK(mt_throughput_busy(&x, 120000) == 0);
  for (unsigned i = 0; i < 60; i++, t += 2500) mt_throughput_packet(&x, t, 1250, 50000, true);
  CHECK(near(mt_throughput_busy(&x, 120000), 4e6, 1e3));
  mt_throughput_packet(&x, t + (INT64_C(1) << 40), 1250, 0, true); /* a clock that jumps */
  CHECK(mt_throughput_rate(&x) == 0);
}

/* For a second, frames of four packets of 1,000 bytes every 100 ms over a link of `capacity` bit/s. They leave at `paced` bit/s. */
static void send_frames(mt_throughput *x, int64_t *t, double paced, double capacity) {
  for (unsigned frame = 0; frame < 10; frame++, *t += 100000) {
    double sent = 0, arrived = 0;
    for (unsigned i = 0; i < 4; i++, sent += 8e9 / paced) {
      arrived = (arrived > sent ? arrived : sent) + 8e9 / capacity;
      mt_throughput_packet(x, *t + (int64_t)arrived, 1000, (int64_t)(arrived - sent), false);
    }
  }
}

static void test_link(void) {
  mt_throughput x = {0};
  int64_t t = 2000000;
  send_frames(&x, &t, 640e3, 800e3); /* they do not wait for each other */
  CHECK(mt_throughput_link(&x) == 0 && !x.pair.waited && near(x.pair.rate, 640e3, 1e3));
  send_frames(&x, &t, 900e3, 640e3);
  CHECK(near(mt_throughput_rate(&x), 320e3, 70e3) && mt_throughput_busy(&x, 120000) == 0);
  CHECK(near(mt_throughput_link(&x), 640e3, 1e3) && x.pair.waited && near(x.pair.rate, 640e3, 1e3));
  for (unsigned i = 0; i < 8; i++) send_frames(&x, &t, 900e3, 400e3);
  CHECK(near(mt_throughput_link(&x), 400e3, 20e3)); /* what is old hardly counts */
  for (unsigned i = 0; i < 9; i++) send_frames(&x, &t, 900e3, 3e6);
  CHECK(near(mt_throughput_link(&x), 400e3, 20e3) && !x.pair.waited);
  for (unsigned i = 0; i < 3; i++) send_frames(&x, &t, 900e3, 3e6);
  CHECK(mt_throughput_link(&x) == 0);
}

/* ---- loss ---- */

/* Reports one second of packets of 1,000 bytes; every `every`-th is lost, and all above `bound` bit/s. */
static mt_loss_verdict second(mt_loss *l, int64_t *t, double rate, unsigned every, double bound, double estimate, double *out) {
  static unsigned count;
  mt_loss_verdict verdict = MT_LOSS_NOTHING;
  double credit = 0;
  for (double sent = 0; sent < rate; sent += 8000) {
    *t += (int64_t)(8000 / rate * 1000000);
    credit += bound / rate;
    bool lost = every && count++ % every == 0;
    if (credit < 1) lost = true;
    else credit -= 1;
    if (lost) mt_loss_lost(l, *t, 1000);
    else mt_loss_received(l, *t, 1000);
    double bound_now;
    mt_loss_verdict now = mt_loss_judge(l, estimate, 0, *t, &bound_now);
    if (now == MT_LOSS_NOTHING) continue;
    verdict = now;
    *out = bound_now;
  }
  return verdict;
}

static void test_loss(void) {
  mt_loss l = {0};
  int64_t t = 1000000;
  double bound = 0;
  for (unsigned i = 0; i < 20; i++) CHECK(second(&l, &t, i % 2 ? 1e6 : 600e3, 10, 1e9, 2e6, &bound) == MT_LOSS_NOTHING);
  CHECK(near(mt_loss_share(&l), 0.1, 0.03) && near(l.own, 0.1, 0.03));
  /* a link that carries 750 kbit/s: only the faster seconds lose */
  bool bounded = false;
  for (unsigned i = 0; i < 20; i++)
    if (second(&l, &t, i % 2 ? 1e6 : 600e3, 0, i % 2 ? 750e3 : 1e9, 2e6, &bound) == MT_LOSS_BOUND) bounded = true;
  CHECK(bounded && bound > 550e3 && bound < 950e3);
}

static void test_loss_trial(void) {
  for (unsigned stays = 0; stays < 2; stays++) {
    mt_loss l = {0};
    int64_t t = 1000000;
    double bound = 0;
    for (unsigned i = 0; i < 10; i++) CHECK(second(&l, &t, 1e6, 0, 1e9, 1e6, &bound) == MT_LOSS_NOTHING);
    CHECK(second(&l, &t, 1e6, 3, 1e9, 1e6, &bound) == MT_LOSS_BOUND); /* suddenly a third is lost */
    CHECK(near(bound, 0.9 * 0.667e6, 60e3) && l.trial > 0);
    mt_loss_verdict verdict = second(&l, &t, 0.55e6, stays ? 3 : 0, 1e9, bound, &bound);
    CHECK(verdict == (stays ? MT_LOSS_TAKEN_BACK : MT_LOSS_NOTHING) && l.trial == 0);
    if (stays) CHECK(bound == 1e6); /* at the lower rate as much is lost: the rate is not the reason */
  }
}

static void test_loss_outage(void) {
  mt_loss l = {0};
  int64_t t = 1000000;
  double bound = 0;
  for (unsigned i = 0; i < 5; i++) second(&l, &t, 1e6, 0, 1e9, 1e6, &bound);
  for (unsigned i = 0; i < 200; i++) mt_loss_lost(&l, t += 8000, 1000); /* 1.6 s */
  for (unsigned i = 0; i < 3; i++) CHECK(second(&l, &t, 1e6, 0, 1e9, 1e6, &bound) == MT_LOSS_NOTHING);
  CHECK(mt_loss_share(&l) == 0);
}

/* ---- clusters ---- */

/* `packets` of 500 bytes at `rate` over a link of `capacity` bit/s, with jitter of `jitter` us to both sides; each `every`-th is lost. */
static mt_cluster_verdict probe(unsigned packets, double rate, double capacity, int64_t jitter, unsigned every, double loss,
                                double *found) {
  mt_cluster c = {0};
  int64_t sent = 1000000, free_at = 0;
  for (unsigned i = 0; i < packets; i++, sent += (int64_t)(500 * 8e6 / rate)) {
    mt_cluster_sent(&c, i + 1, 500, sent);
    if (free_at < sent) free_at = sent;
    free_at += (int64_t)(500 * 8e6 / capacity);
    if (every && i % every == 0) mt_cluster_lost(&c);
    else mt_cluster_received(&c, sent, free_at + 33000000 + (i % 3 == 0 ? jitter : i % 3 == 1 ? -jitter : 0), 500);
  }
  return mt_cluster_judge(&c, loss, found);
}

static void test_clusters(void) {
  double rate;
  CHECK(probe(20, 1e6, 20e6, 0, 0, 0, &rate) == MT_CLUSTER_FITS && near(rate, 1e6, 10e3));
  CHECK(probe(20, 1e6, 500e3, 0, 0, 0, &rate) == MT_CLUSTER_SATURATED && near(rate, 500e3, 5e3));
  CHECK(probe(20, 1e6, 850e3, 0, 0, 0, &rate) == MT_CLUSTER_SATURATED && near(rate, 850e3, 9e3));
  CHECK(probe(3, 1e6, 20e6, 0, 0, 0, &rate) == MT_CLUSTER_NOTHING);
  CHECK(probe(10, 1e6, 20e6, 30000, 0, 0, &rate) == MT_CLUSTER_UNSURE); /* 40 ms under jitter of 30 ms */
  CHECK(probe(100, 1e6, 20e6, 5000, 0, 0, &rate) == MT_CLUSTER_FITS);
  CHECK(probe(20, 1e6, 20e6, 0, 5, 0.2, &rate) == MT_CLUSTER_FITS); /* the path's own loss */
  CHECK(probe(20, 1e6, 20e6, 0, 3, 0, &rate) == MT_CLUSTER_SATURATED);
}

/* ---- the estimator ---- */

typedef struct {
  mt_estimator *e;
  int64_t now;
  uint16_t number, reported;
  int64_t arrivals[1000];
} world;

static world create(uint64_t start, uint64_t least, uint64_t most) {
  world w = {.now = 1000000};
  w.e = mt_estimator_new(&(mt_estimator_spec){start, least, most, &pools}, w.now);
  if (!w.e) abort();
  return w;
}

static uint64_t rate_of(const world *w) { return mt_estimator_estimate(w->e)->bitrate; }

/* `ms` of packets of `size` bytes every 10 ms that arrive after `delay` us, with feedback every 100 ms. */
static void talk(world *w, unsigned ms, size_t size, int64_t delay) {
  for (unsigned t = 0; t < ms; t += 10, w->now += 10000) {
    mt_probe p;
    mt_estimator_sent(w->e, w->number, size, mt_estimator_probe(w->e, &p, w->now) ? p.id : 0, w->now);
    w->arrivals[(uint16_t)(w->number++ - w->reported)] = w->now + delay;
    mt_estimator_tick(w->e, w->now);
    if (t % 100 != 90 || delay < 0) continue;
    uint8_t out[1200];
    unsigned consumed;
    size_t offset = 0, n = mt_rtcp_write_twcc(out, sizeof out, 1, 2, w->reported, w->arrivals, (uint16_t)(w->number - w->reported),
                                              0, &consumed);
    mt_rtcp_packet packet;
    mt_rtcp_twcc feedback;
    if (!n || !mt_rtcp_next_untrusted(out, n, &offset, &packet) || !mt_rtcp_read_twcc(&packet, &feedback)) abort();
    mt_estimator_feedback(w->e, &feedback, w->now + delay);
    w->reported = w->number;
  }
}

static void test_bounds(void) {
  world w = create(10, 100000, 500000);
  CHECK(rate_of(&w) == 100000 && mt_estimator_estimate(w.e)->cause == MT_ESTIMATE_START);
  mt_estimator_limit(w.e, 50000); /* holds below the least */
  CHECK(rate_of(&w) == 50000 && mt_estimator_estimate(w.e)->cause == MT_ESTIMATE_LIMIT);
  mt_estimator_limit(w.e, 0);
  talk(&w, 10000, 2000, 20000); /* 1.6 Mbit/s arrive */
  CHECK(rate_of(&w) == 500000 && near((double)mt_estimator_estimate(w.e)->acknowledged, 1.6e6, 50e3));
  CHECK(near(mt_estimator_estimate(w.e)->rtt_us, 20000, 3000) && mt_estimator_estimate(w.e)->loss == 0);
  mt_estimator_free(w.e);
  mt_estimator_free(NULL);
}

static void test_remb(void) {
  world w = create(600000, 30000, 0);
  mt_estimator_remb(w.e, 250000, w.now);
  CHECK(rate_of(&w) == 250000 && mt_estimator_estimate(w.e)->cause == MT_ESTIMATE_REMB);
  mt_estimator_remb(w.e, UINT64_MAX, w.now);
  CHECK(rate_of(&w) == (uint64_t)ESTIMATE_UNBOUNDED);
  mt_estimator_loss_report(w.e, 0.25f, 70000);
  CHECK(mt_estimator_estimate(w.e)->loss == 0.25f && mt_estimator_estimate(w.e)->rtt_us == 70000);
  mt_estimator_remb(w.e, 600000, w.now);
  talk(&w, 200, 500, 20000);
  uint64_t before = rate_of(&w);
  mt_estimator_remb(w.e, 50000, w.now); /* there is feedback */
  CHECK(rate_of(&w) == before);
  mt_estimator_free(w.e);
}

static void test_silence(void) {
  world w = create(1000000, 30000, 0);
  mt_estimator_demand(w.e, 400000, 0);
  talk(&w, 2000, 500, 20000);
  uint64_t before = rate_of(&w);
  talk(&w, 450, 500, -1);
  CHECK(rate_of(&w) == before);
  talk(&w, 100, 500, -1);
  CHECK(rate_of(&w) == before / 2 && mt_estimator_estimate(w.e)->cause == MT_ESTIMATE_SILENCE);
  talk(&w, 5000, 500, -1);
  CHECK(rate_of(&w) == ESTIMATE_SILENT_LEAST);
  w.reported = w.number; /* the client has seen none of them */
  talk(&w, 100, 500, 20000);
  CHECK(rate_of(&w) > before / 5 * 4 && rate_of(&w) <= before);
  mt_estimator_free(w.e);
}

static void test_knocks(void) {
  world w = create(1000000, 30000, 0);
  mt_probe p;
  mt_estimator_demand(w.e, 400000, 0);
  talk(&w, 1000, 500, 20000);
  talk(&w, 700, 500, -1);
  w.now += 100000; /* the application sends nothing now */
  CHECK(mt_estimator_probe(w.e, &p, w.now) && p.bytes == ESTIMATE_KNOCK_BYTES);
  mt_estimator_sent(w.e, w.number++, 250, p.id, w.now);
  CHECK(!mt_estimator_probe(w.e, &p, w.now));
  mt_estimator_free(w.e);
}

static void test_moved(void) {
  world w = create(300000, 30000, 0);
  talk(&w, 8000, 1000, 20000);
  CHECK(rate_of(&w) > 850000);
  mt_estimator_moved(w.e, w.now);
  CHECK(mt_estimator_estimate(w.e)->cause == MT_ESTIMATE_PATH && near((double)rate_of(&w), 800e3, 30e3)); /* what is proven */
  talk(&w, 1000, 1000, 220000);                                                                           /* a longer path */
  CHECK(rate_of(&w) > 750000 && mt_estimator_estimate(w.e)->queue_us == 0);
  mt_estimator_free(w.e);
}

static void test_fate(void) {
  world w = create(300000, 30000, 0);
  CHECK(mt_estimator_packet_fate(w.e, 5) == MT_FATE_UNKNOWN);
  for (unsigned i = 0; i < 4; i++) mt_estimator_sent(w.e, (uint16_t)(65534 + i), 100, 0, w.now += 1000);
  bytes b = bytes_hex("8fcd0006 00000001 00000002 fffe0003 00000a07 b400 04 04 00000000"); /* came, lost, came */
  b.p[20] = 0xa8;
  b.p[21] = 0;
  size_t offset = 0;
  mt_rtcp_packet p;
  mt_rtcp_twcc t;
  CHECK(mt_rtcp_next_untrusted(b.p, b.n, &offset, &p) && mt_rtcp_read_twcc(&p, &t));
  mt_estimator_feedback(w.e, &t, w.now);
  CHECK(mt_estimator_packet_fate(w.e, 65534) == MT_FATE_RECEIVED && mt_estimator_packet_fate(w.e, 65535) == MT_FATE_LOST);
  CHECK(mt_estimator_packet_fate(w.e, 0) == MT_FATE_RECEIVED && mt_estimator_packet_fate(w.e, 1) == MT_FATE_UNKNOWN);
  b.p[15] = 2; /* the second one came after all */
  b.p[20] = 0x9c;
  CHECK(mt_rtcp_read_twcc(&p, &t));
  mt_estimator_feedback(w.e, &t, w.now);
  CHECK(mt_estimator_packet_fate(w.e, 65535) == MT_FATE_LOST || mt_estimator_packet_fate(w.e, 65535) == MT_FATE_RECEIVED);
  free(b.p);
  mt_estimator_free(w.e);
}

static void test_size(void) { CHECK(sizeof(struct mt_estimator) <= 48 * 1024); }

int main(void) {
  test_stuck();
  test_short_queues();
  mt_departures_pools(&pools);
  test_departures();
  test_departures_grow();
  test_trend();
  test_groups();
  test_queue();
  test_throughput();
  test_link();
  test_loss();
  test_loss_trial();
  test_loss_outage();
  test_clusters();
  test_bounds();
  test_remb();
  test_silence();
  test_knocks();
  test_moved();
  test_fate();
  test_size();
  return check_result();
}
