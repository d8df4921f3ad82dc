/* The estimator in a simulated network: bandwidths from 50 kbit/s to 50 Mbit/s, steps, outages, loss, jitter, other traffic.
 *
 *   scenarios             runs all, and fails if a bar is missed
 *   scenarios NAME FILE   runs one, and writes its curves to FILE
 */
#include "network.h"

#include "../check.h"

static const double LADDER[] = {40e3, 60e3, 100e3, 180e3, 300e3, 540e3, 900e3, 0}; /* three encodings, three temporal layers */
static const viewer_spec SFU = {.start = 600000, .least = 30000, .audio = 40e3, .ladder = LADDER};
static const viewer_spec GREEDY = {.start = 600000, .least = 30000, .greedy = true};
static const char *curves; /* where to write them */

static network *one(const link_spec *link, const viewer_spec *viewer, double seconds) {
  network *n = network_new(link, 7);
  network_viewer(n, viewer);
  network_run(n, seconds);
  return n;
}

static void end(network *n) {
  FILE *out = curves ? fopen(curves, "w") : NULL;
  if (out) {
    network_print(n, out);
    fclose(out);
  }
  network_free(n);
}

/* A viewer behind a cap with a deep queue: the right layer, hardly a queue, and most of the cap used. */
static void cap_300(void) {
  network *n = one(&(link_spec){.steps = {{0, 300e3}}, .delay_ms = 10, .queue_ms = 300}, &SFU, 25);
  CHECK(layer_share(n, 0, 1, 25, 180e3) >= 0.9);
  CHECK(queue_share(n, 0, 0, 25, 0.95) < 150);
  CHECK(arrived_rate(n, 0, 1, 25) >= 0.72 * 300e3); /* with redundancy it is more */
  CHECK(layer_changes(n, 0, 5, 25) <= 2);
  end(n);
}

static void cap_700(void) {
  network *n = one(&(link_spec){.steps = {{0, 700e3}}, .delay_ms = 10, .queue_ms = 300}, &SFU, 25);
  CHECK(layer_share(n, 0, 1, 25, 540e3) >= 0.9);
  CHECK(queue_share(n, 0, 0, 25, 0.95) < 150);
  CHECK(arrived_rate(n, 0, 1, 25) >= 0.75 * 700e3);
  CHECK(layer_changes(n, 0, 5, 25) <= 2);
  end(n);
}

/* A link that each large frame fills for a moment, though the stream fits. It has carried more before. */
static void uneven_frames(void) {
  viewer_spec spec = SFU;
  spec.uneven = true;
  network *n = one(&(link_spec){.steps = {{0, 20e6}, {5, 700e3}}, .delay_ms = 10, .queue_ms = 300}, &spec, 60);
  CHECK(layer_share(n, 0, 10, 60, 540e3) >= 0.95);
  CHECK(queue_share(n, 0, 10, 60, 0.95) < 150);
  CHECK(estimate_least(n, 0, 10, 60) > 0.7 * 660e3); /* the sound takes 40 kbit/s */
  CHECK(estimate_most(n, 0, 10, 60) < 1.15 * 660e3);
  CHECK(network_probes(n, 0) <= 14); /* the frames themselves show that the link is full */
  end(n);
}

static void cap_1500(void) {
  network *n = one(&(link_spec){.steps = {{0, 1500e3}}, .delay_ms = 10, .queue_ms = 300}, &SFU, 25);
  CHECK(first_layer(n, 0, 0, 900e3) < 1.5);
  CHECK(layer_share(n, 0, 2, 25, 900e3) == 1);
  CHECK(queue_share(n, 0, 0, 25, 0.95) < 60);
  end(n);
}

static void fast_link(void) {
  network *n = one(&(link_spec){.steps = {{0, 20e6}}, .delay_ms = 10, .queue_ms = 200}, &SFU, 25);
  CHECK(first_layer(n, 0, 0, 900e3) < 1);
  CHECK(layer_share(n, 0, 1, 25, 900e3) == 1);
  end(n);
}

/* 3 Mbit/s, then 500 kbit/s, then 3 Mbit/s. */
static void steps(void) {
  network *n = one(&(link_spec){.steps = {{0, 3e6}, {10, 500e3}, {20, 3e6}}, .delay_ms = 10, .queue_ms = 200}, &SFU, 30);
  CHECK(layer_share(n, 0, 3, 10, 900e3) == 1);
  CHECK(first_below(n, 0, 10, 500e3) < 1);
  CHECK(estimate_most(n, 0, 12, 20) < 600e3);
  CHECK(queue_share(n, 0, 12, 20, 0.95) < 100);
  CHECK(layer_share(n, 0, 12, 20, 300e3) >= 0.9);
  CHECK(first_layer(n, 0, 20, 900e3) < 2.8);
  end(n);
}

/* A capacity that swings all the time. */
static void swings(void) {
  network *n =
      one(&(link_spec){.steps = {{0, 2e6}, {8, 400e3}, {16, 1200e3}, {24, 250e3}, {32, 5e6}}, .delay_ms = 30, .queue_ms = 300},
          &SFU, 40);
  CHECK(queue_share(n, 0, 10, 16, 0.95) < 150);
  CHECK(layer_share(n, 0, 10, 16, 180e3) >= 0.9);
  CHECK(layer_share(n, 0, 20, 24, 540e3) >= 0.9);
  CHECK(queue_share(n, 0, 26, 32, 0.95) < 200);
  CHECK(layer_share(n, 0, 26, 32, 100e3) >= 0.9);
  CHECK(layer_share(n, 0, 36, 40, 900e3) >= 0.9);
  end(n);
}

static void outage(double seconds, double most) {
  link_spec link = {.steps = {{0, 20e6}, {10, 0}, {10 + seconds, 20e6}}, .delay_ms = 10, .queue_ms = 200};
  network *n = one(&link, &SFU, 15 + seconds);
  CHECK(first_below(n, 0, 10, 600e3) < 2);
  CHECK(first_above(n, 0, 10 + seconds, 900e3) <= most);
  CHECK(layer_share(n, 0, 10.5 + seconds, 15 + seconds, 900e3) == 1);
  end(n);
}

static void outage_2(void) { outage(2, 0.2); }
static void outage_8(void) { outage(8, 0.2); }

/* Loss that does not depend on the rate is no congestion. */
static void random_loss(void) {
  for (unsigned i = 0; i < 4; i++)
    for (unsigned runs = 1; runs <= 4; runs += 3) {
      const double losses[] = {0.01, 0.05, 0.1, 0.2};
      link_spec link = {.steps = {{0, 20e6}}, .delay_ms = 10, .queue_ms = 200, .loss = losses[i], .burst = runs};
      network *n = one(&link, &SFU, 40);
      CHECK(first_layer(n, 0, 0, 900e3) < 3);
      CHECK(layer_share(n, 0, 5, 40, 900e3) >= 0.98);
      double figure = mt_estimator_estimate(network_estimator(n, 0))->loss;
      CHECK(figure > losses[i] / 6 - 0.02 && figure < losses[i] * 3 + 0.05); /* of some seconds, in runs */
      end(n);
    }
}

static void loss_10(void) {
  network *n = one(&(link_spec){.steps = {{0, 20e6}}, .delay_ms = 10, .queue_ms = 200, .loss = 0.1}, &SFU, 25);
  CHECK(estimate_least(n, 0, 3, 25) > 900e3);
  end(n);
}

/* Loss that begins in the middle of a call. */
static void sudden_loss(void) {
  network *n = network_new(&(link_spec){.steps = {{0, 20e6}}, .delay_ms = 10, .queue_ms = 200}, 3);
  network_viewer(n, &SFU);
  network_run(n, 10);
  network_set_loss(n, 0.2);
  network_run(n, 40);
  CHECK(layer_share(n, 0, 10, 40, 900e3) >= 0.95);
  end(n);
}

/* A queue too short to show as delay: loss is the only sign of the cap. */
static void short_queue(void) {
  network *n = one(&(link_spec){.steps = {{0, 300e3}}, .delay_ms = 10, .queue_ms = 40}, &SFU, 30);
  CHECK(estimate_mean(n, 0, 5, 30) < 330e3);
  CHECK(layer_share(n, 0, 5, 30, 180e3) >= 0.9);
  end(n);
  n = one(&(link_spec){.steps = {{0, 5e6}, {10, 600e3}}, .delay_ms = 10, .queue_ms = 20}, &SFU, 30);
  CHECK(first_below(n, 0, 10, 600e3) < 3);
  CHECK(estimate_mean(n, 0, 15, 30) < 700e3);
  CHECK(layer_share(n, 0, 15, 30, 300e3) >= 0.9);
  end(n);
}

static void jitter(void) {
  for (unsigned reorders = 0; reorders < 2; reorders++) {
    link_spec link = {.steps = {{0, 20e6}}, .delay_ms = 40, .queue_ms = 200, .jitter_ms = 30, .reorders = reorders};
    network *n = one(&link, &SFU, 40);
    CHECK(first_layer(n, 0, 0, 900e3) < 10);
    CHECK(layer_share(n, 0, 10, 40, 900e3) >= 0.9);
    uint32_t late = mt_estimator_estimate(network_estimator(n, 0))->reorder_us;
    CHECK(reorders ? late > 5000 && late < 100000 : late == 0);
    end(n);
  }
}

/* A sender that takes all it gets, on links of all sizes. */
static void all_rates(void) {
  const double rates[] = {50e3, 100e3, 300e3, 1e6, 5e6, 20e6, 50e6};
  for (unsigned i = 0; i < 7; i++) {
    viewer_spec viewer = GREEDY;
    if (rates[i] < 600e3) viewer.start = (uint64_t)(rates[i] * 0.8);
    network *n = one(&(link_spec){.steps = {{0, rates[i]}}, .delay_ms = 20, .queue_ms = 300}, &viewer, 30);
    CHECK(arrived_rate(n, 0, 10, 30) >= 0.8 * rates[i]);
    CHECK(estimate_mean(n, 0, 10, 30) <= 1.1 * rates[i]);
    CHECK(queue_share(n, 0, 10, 30, 0.95) < (rates[i] < 200e3 ? 320 : 150));
    end(n);
  }
}

static void long_path(void) {
  network *n = one(&(link_spec){.steps = {{0, 2e6}}, .delay_ms = 150, .queue_ms = 300}, &SFU, 30);
  CHECK(first_layer(n, 0, 0, 900e3) < 3);
  CHECK(layer_share(n, 0, 4, 30, 900e3) == 1);
  end(n);
}

static void slow_feedback(void) {
  link_spec link = {.steps = {{0, 700e3}}, .delay_ms = 30, .queue_ms = 300, .feedback_ms = 250, .feedback_loss = 0.1};
  network *n = one(&link, &SFU, 30);
  CHECK(layer_share(n, 0, 3, 30, 540e3) >= 0.9);
  CHECK(queue_share(n, 0, 0, 30, 0.95) < 150);
  end(n);
}

/* A download begins beside the call, and ends. */
static void competitor(void) {
  for (unsigned i = 0; i < 3; i++) {
    const double rates[] = {1e6, 5e6, 20e6};
    network *n = network_new(&(link_spec){.steps = {{0, rates[i]}}, .delay_ms = 20, .queue_ms = 200}, 5);
    network_viewer(n, &GREEDY);
    network_competitor(n, 10, 40);
    network_run(n, 60);
    CHECK(arrived_rate(n, 0, 5, 10) >= 0.8 * rates[i]);
    CHECK(arrived_rate(n, 0, 15, 40) >= 0.15 * rates[i]); /* it is not starved, */
    CHECK(competitor_rate(n, 15, 40) >= 0.15 * rates[i]); /* and it does not starve the other */
    CHECK(arrived_rate(n, 0, 50, 60) >= 0.8 * rates[i]);
    end(n);
  }
}

/* Two viewers share a link: within a factor of two. */
static void two_viewers(void) {
  const double rates[] = {1e6, 2e6, 5e6, 20e6};
  for (unsigned i = 0; i < 4; i++) {
    network *n = network_new(&(link_spec){.steps = {{0, rates[i]}}, .delay_ms = 20, .queue_ms = 300}, 5);
    viewer_spec later = GREEDY;
    later.from = 10;
    network_viewer(n, &GREEDY);
    network_viewer(n, &later);
    network_run(n, 70);
    double a = arrived_rate(n, 0, 40, 70), b = arrived_rate(n, 1, 40, 70);
    CHECK(a < 2 * b && b < 2 * a);
    CHECK(a + b >= 0.8 * rates[i]);
    CHECK(queue_share(n, 0, 20, 70, 0.95) < 200);
    end(n);
  }
}

/* An application that needs less than the link has. */
static void limited(void) {
  static const double low[] = {100e3, 0};
  viewer_spec viewer = SFU;
  viewer.ladder = low;
  network *n = one(&(link_spec){.steps = {{0, 2e6}}, .delay_ms = 20, .queue_ms = 300}, &viewer, 60);
  CHECK(layer_share(n, 0, 1, 60, 100e3) == 1);
  CHECK(arrived_rate(n, 0, 5, 60) < 150e3); /* nothing is probed that nobody needs */
  end(n);
}

static const struct {
  const char *name;
  void (*run)(void);
} all[] = {
    {"cap_300", cap_300},
    {"cap_700", cap_700},
    {"uneven_frames", uneven_frames},
    {"cap_1500", cap_1500},
    {"fast_link", fast_link},
    {"steps", steps},
    {"swings", swings},
    {"outage_2", outage_2},
    {"outage_8", outage_8},
    {"random_loss", random_loss},
    {"loss_10", loss_10},
    {"sudden_loss", sudden_loss},
    {"short_queue", short_queue},
    {"jitter", jitter},
    {"all_rates", all_rates},
    {"long_path", long_path},
    {"slow_feedback", slow_feedback},
    {"competitor", competitor},
    {"two_viewers", two_viewers},
    {"limited", limited},
};

int main(int argc, char **argv) {
  for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
    if (argc > 1 && strcmp(argv[1], all[i].name) != 0) continue;
    curves = argc > 2 ? argv[2] : NULL;
    all[i].run();
  }
  return check_result();
}
