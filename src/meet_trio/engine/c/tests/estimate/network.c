/* See network.h. */
#include "network.h"

#include "base/limits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
  SAMPLE_US = 100 * MT_MS,
  SAMPLES = LONGEST_RUN * 10,
  IN_FLIGHT = 1 << 14, /* numbers that a client remembers */
  MAX_WAITING = 4096,  /* packets in a pacer */
  MAX_FEEDBACKS = 64,
  FRAME_US = 50 * MT_MS,
  PACKET = 1200,
  PADDING = 250,
  AUDIO_US = 20 * MT_MS,
  SEGMENT = 1500,
};
static const double PACING = 2.5, SLOW_PACING = 1.3;
static const double LARGE_FRAME = 1.6, SMALL_FRAME = 0.8; /* of the mean of four */
static const double KEY_FRAME = 4;                        /* times a usual frame */

typedef struct {
  int64_t at;
  size_t bytes;
  uint8_t data[1500];
} datagram;

typedef struct {
  sample samples[SAMPLES];
  double layers[SAMPLES]; /* of the newest frame */
  double arrived[SAMPLES];
  uint32_t waits[SAMPLES][40]; /* packets by queueing delay: steps of 10 ms */
  unsigned frames[SAMPLES];
} record;

typedef struct {
  viewer_spec spec;
  mt_pools departures;
  mt_estimator *e;
  record *r;
  uint16_t number;
  double budget;
  size_t waiting[MAX_WAITING];
  unsigned first, count; /* of the pacer */
  int64_t next_frame, next_audio, next_tick, next_feedback;
  double layer;
  unsigned made, probes; /* frames; clusters of packets */
  uint8_t probe;         /* the newest cluster */
  /* the client */
  int64_t arrivals[IN_FLIGHT]; /* by number; 0: lost */
  uint64_t sent_numbers, reported;
  uint64_t late; /* the oldest number below `reported` that came later; UINT64_MAX: none */
  bool again[IN_FLIGHT];
  uint8_t feedback_count;
  datagram feedback[MAX_FEEDBACKS];
  unsigned feedback_first, feedback_waiting;
} viewer;

typedef struct {
  double from, until;
  double window, in_flight;        /* packets */
  double acks[LONGEST_RUN * 1000]; /* by millisecond of arrival at the sender */
  double losses[LONGEST_RUN * 1000];
  int64_t calm_until;
} competitor;

struct network {
  link_spec link;
  int64_t now, busy_until;
  uint64_t state;
  bool losing;
  viewer *viewers[MAX_FLOWS];
  unsigned viewer_count;
  competitor *tcp;
  int64_t last_arrival;
};

static double random_unit(network *n) {
  uint64_t z = n->state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

static double capacity_at(const network *n, int64_t t) {
  double rate = n->link.steps[0].rate;
  for (unsigned i = 1; i < MAX_STEPS && n->link.steps[i].from > 0; i++)
    if ((double)t >= n->link.steps[i].from * MT_SECOND) rate = n->link.steps[i].rate;
  return rate;
}

static bool loses(network *n) {
  double p = n->link.loss, run = n->link.burst;
  if (p <= 0) return false;
  if (run <= 1) return random_unit(n) < p;
  /* two states with the mean length of a run */
  n->losing = n->losing ? random_unit(n) >= 1 / run : random_unit(n) < p / (1 - p) / run;
  return n->losing;
}

/* Passes a packet over the link. Returns its arrival; 0: it is lost. `*waited`: microseconds in the queue. */
static int64_t pass(network *n, size_t bytes, double *waited) {
  double rate = capacity_at(n, n->now);
  if (n->busy_until < n->now) n->busy_until = n->now;
  *waited = (double)(n->busy_until - n->now);
  if (rate <= 0 || *waited > n->link.queue_ms * MT_MS) return 0;
  n->busy_until += (int64_t)((double)bytes * 8 * MT_SECOND / rate);
  if (loses(n)) return 0;
  int64_t arrival = n->busy_until + (int64_t)(n->link.delay_ms * MT_MS);
  if (n->link.jitter_ms > 0) arrival += (int64_t)((2 * random_unit(n) - 1) * n->link.jitter_ms * MT_MS);
  if (!n->link.reorders && arrival < n->last_arrival) arrival = n->last_arrival;
  if (arrival < n->now) arrival = n->now;
  n->last_arrival = arrival;
  return arrival;
}

static unsigned sample_of(int64_t t) {
  int64_t i = t / SAMPLE_US;
  return i < SAMPLES ? (unsigned)i : SAMPLES - 1;
}

static void note_arrival(viewer *v, int64_t arrival, size_t bytes) { v->r->arrived[sample_of(arrival)] += (double)bytes; }

static void note_wait(network *n, viewer *v, double waited) {
  unsigned k = (unsigned)(waited / (10 * MT_MS)), i = sample_of(n->now);
  v->r->waits[i][k < 40 ? k : 39]++;
  if (waited / MT_MS > v->r->samples[i].queue_ms) v->r->samples[i].queue_ms = waited / MT_MS;
}

static void send_packet(network *n, viewer *v, size_t bytes, uint8_t cluster) {
  double waited;
  mt_estimator_sent(v->e, v->number++, bytes, cluster, n->now);
  int64_t arrival = pass(n, bytes, &waited);
  uint64_t k = v->sent_numbers++;
  v->arrivals[k % IN_FLIGHT] = arrival;
  v->again[k % IN_FLIGHT] = false;
  v->r->samples[sample_of(n->now)].sent += (double)bytes * 8 / 0.1;
  note_wait(n, v, waited);
  if (arrival) note_arrival(v, arrival, bytes);
}

static void send_audio(network *n, viewer *v) {
  double waited;
  if (v->spec.audio <= 0 || n->now < v->next_audio) return;
  size_t bytes = (size_t)(v->spec.audio * AUDIO_US / MT_SECOND / 8);
  v->next_audio = n->now + AUDIO_US;
  int64_t arrival = pass(n, bytes, &waited);
  if (arrival) note_arrival(v, arrival, bytes);
  note_wait(n, v, waited);
}

static double chosen_layer(const viewer *v, double *next, double *wanted) {
  uint64_t rate = mt_estimator_estimate(v->e)->bitrate;
  double layer = 0;
  *next = *wanted = 0;
  for (const double *l = v->spec.ladder; *l > 0; l++) {
    if (*l <= (double)rate) layer = *l;
    else if (*next == 0) *next = *l;
    *wanted = *l;
  }
  return layer;
}

static void queue_bytes(viewer *v, double bytes) {
  while (bytes >= 1 && v->count < MAX_WAITING) {
    double packet = bytes > PACKET ? PACKET : bytes < 60 ? 60 : bytes;
    v->waiting[(v->first + v->count++) % MAX_WAITING] = (size_t)packet;
    bytes -= packet;
  }
}

static void make_frame(network *n, viewer *v) {
  double next, wanted;
  if (n->now < v->next_frame) return;
  int64_t interval = v->spec.uneven ? 2 * FRAME_US : FRAME_US;
  v->next_frame = n->now + interval;
  double layer = chosen_layer(v, &next, &wanted);
  mt_estimator_demand(v->e, (uint64_t)wanted, (uint64_t)next);
  double bytes = layer / 8 * (double)interval / MT_SECOND * (0.8 + 0.4 * random_unit(n));
  if (v->spec.uneven) bytes *= v->made++ % 4 ? SMALL_FRAME : LARGE_FRAME;
  if (layer > v->layer && v->layer > 0) bytes *= KEY_FRAME;
  if (layer != v->layer && layer < v->layer) v->count = 0; /* what waits of the higher layer is not sent */
  v->layer = layer;
  unsigned i = sample_of(n->now);
  v->r->layers[i] = layer;
  v->r->frames[i]++;
  queue_bytes(v, bytes);
}

static void send_video(network *n, viewer *v) {
  const mt_estimate *est = mt_estimator_estimate(v->e);
  mt_probe probe;
  double rate = (v->spec.greedy ? 1.0 : v->spec.uneven ? SLOW_PACING : PACING) * (double)est->bitrate;
  bool probing = mt_estimator_probe(v->e, &probe, n->now);
  if (probing) rate = (double)probe.bitrate;
  if (v->spec.greedy) {
    size_t bytes = est->bitrate > 400000 ? PACKET : (size_t)(est->bitrate / 8 / 50 + 60);
    v->waiting[v->first] = bytes;
    v->count = 1;
  } else if (!v->spec.greedy) make_frame(n, v);
  v->budget += rate * STEP_US / MT_SECOND / 8;
  if (v->budget > rate * 5 * MT_MS / MT_SECOND / 8 + PACKET) v->budget = rate * 5 * MT_MS / MT_SECOND / 8 + PACKET;
  while (v->budget > 0) {
    size_t bytes = PADDING;
    probing = mt_estimator_probe(v->e, &probe, n->now);
    if (v->count) {
      bytes = v->waiting[v->first];
      if (!v->spec.greedy) {
        v->first = (v->first + 1) % MAX_WAITING;
        v->count--;
      }
    } else if (!probing) {
      break;
    }
    v->budget -= (double)bytes;
    if (probing && probe.id != v->probe) {
      v->probe = probe.id;
      v->probes++;
    }
    send_packet(n, v, bytes, probing ? probe.id : 0);
  }
  if (!v->spec.greedy && !v->count && v->budget > 0 && !probing) v->budget = 0;
}

/* The client: feedback of what came since the last one. */
static void send_feedback(network *n, viewer *v) {
  int64_t times[2000];
  unsigned consumed;
  if (n->now < v->next_feedback) return;
  v->next_feedback = n->now + (int64_t)((n->link.feedback_ms > 0 ? n->link.feedback_ms : 100) * MT_MS);
  uint64_t last = v->reported;
  for (uint64_t k = v->reported; k < v->sent_numbers; k++)
    if (v->arrivals[k % IN_FLIGHT] && v->arrivals[k % IN_FLIGHT] <= n->now) last = k + 1;
  uint64_t from = v->reported;
  for (uint64_t k = from > 64 ? from - 64 : 0; k < v->reported; k++) /* what came late is reported with what follows it */
    if (v->again[k % IN_FLIGHT] && v->arrivals[k % IN_FLIGHT] <= n->now) {
      from = k;
      v->again[k % IN_FLIGHT] = false;
      break;
    }
  if (last == v->reported && from == v->reported) return;
  while (from < last) {
    unsigned count = 0;
    for (uint64_t k = from; k < last && count < 1000; k++) {
      int64_t arrival = v->arrivals[k % IN_FLIGHT];
      bool came = arrival && arrival <= n->now;
      if (arrival && !came) v->again[k % IN_FLIGHT] = true; /* it is on its way */
      else v->again[k % IN_FLIGHT] = false;
      times[count++] = came ? arrival + 7000000 : -1;
    }
    datagram *d = &v->feedback[(v->feedback_first + v->feedback_waiting) % MAX_FEEDBACKS];
    d->bytes = mt_rtcp_write_twcc(d->data, 1200, 1, 2, (uint16_t)from, times, count, v->feedback_count++, &consumed);
    if (!consumed) { /* a gap that is too long for one reference time */
      from++;
      continue;
    }
    d->at = n->now + (int64_t)(n->link.delay_ms * MT_MS);
    if (v->feedback_waiting < MAX_FEEDBACKS && random_unit(n) >= n->link.feedback_loss && capacity_at(n, n->now) > 0)
      v->feedback_waiting++;
    from += consumed;
  }
  v->reported = last;
}

static void take_feedback(network *n, viewer *v) {
  while (v->feedback_waiting && v->feedback[v->feedback_first].at <= n->now) {
    const datagram *d = &v->feedback[v->feedback_first];
    size_t offset = 0;
    mt_rtcp_packet p;
    mt_rtcp_twcc t;
    if (!mt_rtcp_next_untrusted(d->data, d->bytes, &offset, &p) || !mt_rtcp_read_twcc(&p, &t)) abort();
    mt_estimator_feedback(v->e, &t, n->now);
    v->feedback_first = (v->feedback_first + 1) % MAX_FEEDBACKS;
    v->feedback_waiting--;
  }
}

static void step_viewer(network *n, viewer *v) {
  double seconds = (double)n->now / MT_SECOND;
  unsigned i = sample_of(n->now);
  sample *s = &v->r->samples[i];
  s->time = (double)(i * SAMPLE_US) / MT_SECOND;
  s->capacity = capacity_at(n, n->now);
  if (seconds < v->spec.from || (v->spec.until > 0 && seconds >= v->spec.until)) return;
  if (!v->e) {
    mt_estimator_spec spec = {v->spec.start, v->spec.least, v->spec.most, &v->departures};
    mt_departures_pools(&v->departures);
    v->e = mt_estimator_new(&spec, n->now);
    if (!v->e) abort();
    if (v->spec.greedy) mt_estimator_demand(v->e, 1000000000, 1000000000);
  }
  take_feedback(n, v);
  if (n->now >= v->next_tick) v->next_tick = mt_estimator_tick(v->e, n->now);
  send_audio(n, v);
  send_video(n, v);
  send_feedback(n, v);
  s->estimate = (double)mt_estimator_estimate(v->e)->bitrate;
  s->cause = mt_estimator_estimate(v->e)->cause;
}

static void step_tcp(network *n, competitor *t) {
  unsigned ms = (unsigned)(n->now / MT_MS), last = LONGEST_RUN * 1000 - 1;
  double waited, seconds = (double)n->now / MT_SECOND;
  if (seconds < t->from || seconds >= t->until || ms >= last) return;
  if (t->acks[ms] > 0) {
    t->in_flight -= t->acks[ms];
    t->window += t->window < 10 && t->calm_until == 0 ? t->acks[ms] : t->acks[ms] / t->window;
  }
  if (t->losses[ms] > 0) {
    t->in_flight -= t->losses[ms];
    if (n->now >= t->calm_until) {
      t->window = t->window / 2 < 2 ? 2 : t->window / 2;
      t->calm_until = n->now + (int64_t)((2 * n->link.delay_ms + n->link.queue_ms) * MT_MS);
    }
  }
  for (unsigned k = 0; k < 20 && t->in_flight < t->window; k++) {
    int64_t arrival = pass(n, SEGMENT, &waited);
    int64_t heard =
        (arrival ? arrival : n->now + (int64_t)(waited + n->link.delay_ms * MT_MS)) + (int64_t)(n->link.delay_ms * MT_MS);
    unsigned at = (unsigned)(heard / MT_MS);
    if (at <= ms) at = ms + 1;
    if (at > last) at = last;
    *(arrival ? &t->acks[at] : &t->losses[at]) += 1;
    t->in_flight++;
  }
}

network *network_new(const link_spec *link, uint64_t seed) {
  network *n = calloc(1, sizeof *n);
  if (!n) abort();
  n->link = *link;
  n->now = STEP_US;
  n->state = seed;
  return n;
}

unsigned network_viewer(network *n, const viewer_spec *spec) {
  viewer *v = calloc(1, sizeof *v);
  if (!v || n->viewer_count == MAX_FLOWS) abort();
  v->r = calloc(1, sizeof *v->r);
  if (!v->r) abort();
  v->spec = *spec;
  n->viewers[n->viewer_count] = v;
  return n->viewer_count++;
}

void network_competitor(network *n, double from, double until) {
  n->tcp = calloc(1, sizeof *n->tcp);
  if (!n->tcp) abort();
  n->tcp->from = from;
  n->tcp->until = until;
  n->tcp->window = 4;
}

void network_free(network *n) {
  for (unsigned i = 0; i < n->viewer_count; i++) {
    mt_estimator_free(n->viewers[i]->e);
    if (n->viewers[i]->e) mt_pools_free(&n->viewers[i]->departures);
    free(n->viewers[i]->r);
    free(n->viewers[i]);
  }
  free(n->tcp);
  free(n);
}

void network_set_loss(network *n, double loss) { n->link.loss = loss; }

mt_estimator *network_estimator(network *n, unsigned i) { return n->viewers[i]->e; }

unsigned network_probes(const network *n, unsigned i) { return n->viewers[i]->probes; }

void network_run(network *n, double until) {
  for (; (double)n->now < until * MT_SECOND; n->now += STEP_US) {
    for (unsigned i = 0; i < n->viewer_count; i++) step_viewer(n, n->viewers[(i + (unsigned)(n->now / STEP_US)) % n->viewer_count]);
    if (n->tcp) step_tcp(n, n->tcp);
  }
}

/* ---- what came of it ---- */

#define EACH_SAMPLE(i, from, to) \
  for (unsigned i = sample_of((int64_t)((from) * MT_SECOND)); i < sample_of((int64_t)((to) * MT_SECOND)); i++)

double arrived_rate(const network *n, unsigned v, double from, double to) {
  double bytes = 0;
  EACH_SAMPLE(i, from, to) bytes += n->viewers[v]->r->arrived[i];
  return bytes * 8 / (to - from);
}

double competitor_rate(const network *n, double from, double to) {
  double acks = 0;
  for (unsigned ms = (unsigned)(from * 1000); ms < (unsigned)(to * 1000); ms++) acks += n->tcp->acks[ms];
  return acks * SEGMENT * 8 / (to - from);
}

double queue_share(const network *n, unsigned v, double from, double to, double share) {
  double all = 0, seen = 0;
  EACH_SAMPLE(i, from, to)
  for (unsigned k = 0; k < 40; k++) all += n->viewers[v]->r->waits[i][k];
  for (unsigned k = 0; k < 40; k++) {
    EACH_SAMPLE(i, from, to) seen += n->viewers[v]->r->waits[i][k];
    if (seen >= share * all) return 10.0 * (k + 1);
  }
  return 400;
}

double estimate_least(const network *n, unsigned v, double from, double to) {
  double least = 1e12;
  EACH_SAMPLE(i, from, to) if (n->viewers[v]->r->samples[i].estimate < least) least = n->viewers[v]->r->samples[i].estimate;
  return least;
}

double estimate_most(const network *n, unsigned v, double from, double to) {
  double most = 0;
  EACH_SAMPLE(i, from, to) if (n->viewers[v]->r->samples[i].estimate > most) most = n->viewers[v]->r->samples[i].estimate;
  return most;
}

double estimate_mean(const network *n, unsigned v, double from, double to) {
  double sum = 0;
  unsigned count = 0;
  EACH_SAMPLE(i, from, to) {
    sum += n->viewers[v]->r->samples[i].estimate;
    count++;
  }
  return sum / count;
}

double layer_share(const network *n, unsigned v, double from, double to, double layer) {
  double all = 0, good = 0;
  EACH_SAMPLE(i, from, to) {
    all += n->viewers[v]->r->frames[i];
    if (n->viewers[v]->r->layers[i] >= layer) good += n->viewers[v]->r->frames[i];
  }
  return all > 0 ? good / all : 0;
}

unsigned layer_changes(const network *n, unsigned v, double from, double to) {
  unsigned count = 0;
  EACH_SAMPLE(i, from + 0.1, to) count += n->viewers[v]->r->layers[i] != n->viewers[v]->r->layers[i - 1];
  return count;
}

double first_below(const network *n, unsigned v, double from, double rate) {
  EACH_SAMPLE(i, from, LONGEST_RUN) if (n->viewers[v]->r->samples[i].estimate <= rate) return i / 10.0 - from;
  return 1000;
}

double first_above(const network *n, unsigned v, double from, double rate) {
  EACH_SAMPLE(i, from, LONGEST_RUN) if (n->viewers[v]->r->samples[i].estimate >= rate) return i / 10.0 - from;
  return 1000;
}

double first_layer(const network *n, unsigned v, double from, double layer) {
  EACH_SAMPLE(i, from, LONGEST_RUN) if (n->viewers[v]->r->layers[i] >= layer) return i / 10.0 - from;
  return 1000;
}

void network_print(const network *n, FILE *out) {
  unsigned end = sample_of(n->now);
  fprintf(out, "viewer,time,capacity,estimate,sent,arrived,queue_ms,cause,layer\n");
  for (unsigned v = 0; v < n->viewer_count; v++)
    for (unsigned i = 0; i < end; i++) {
      const sample *s = &n->viewers[v]->r->samples[i];
      fprintf(out, "%u,%.1f,%.0f,%.0f,%.0f,%.0f,%.0f,%d,%.0f\n", v, s->time, s->capacity, s->estimate, s->sent,
              n->viewers[v]->r->arrived[i] * 80, s->queue_ms, (int)s->cause, n->viewers[v]->r->layers[i]);
    }
}
