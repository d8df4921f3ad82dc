/* Whether the queue in front of the receiver grows: draft-ietf-rmcat-gcc-02 sections 5.1 to 5.4, with libwebrtc's trendline instead
 * of the Kalman filter.
 *
 * Packets that leave within TREND_BURST_US are a group. The difference between the distance of two groups on arrival and on
 * departure is the change of the delay. The slope of a line through the newest changes' sum, over time of arrival, is compared with
 * a threshold that adapts to the slope's usual size: so a stream beside TCP traffic is not starved.
 */
#ifndef MT_ESTIMATE_TREND_H
#define MT_ESTIMATE_TREND_H

#include <stdbool.h>
#include <stdint.h>

enum { MT_TREND_WINDOW = 20 }; /* groups that the line goes through */

typedef enum { MT_TREND_NORMAL, MT_TREND_OVERUSE, MT_TREND_UNDERUSE } mt_trend_state;

typedef struct {
  int64_t first_sent, last_sent, first_arrival, last_arrival; /* microseconds */
  int64_t delay;                                              /* microseconds: the least from departure to arrival, by two clocks */
} mt_group;

typedef struct {
  mt_group current, previous;
  bool has_current, has_previous;
  unsigned reordered; /* groups in turn that came before the group that left before them */
  struct {
    double arrival, delay; /* milliseconds */
  } points[MT_TREND_WINDOW];
  unsigned count, at;      /* points; slot of the next one */
  unsigned changes;        /* delay changes so far, at most TREND_MAX_CHANGES */
  int64_t origin;          /* microseconds: arrival of the first group */
  double sum, smoothed;    /* milliseconds */
  double slope, threshold; /* milliseconds of queue for each millisecond; milliseconds */
  double over;             /* milliseconds above the threshold; below 0: not above it */
  unsigned times_over;     /* groups above the threshold in turn */
  int64_t threshold_at;    /* microseconds: when the threshold was adapted last */
  mt_trend_state state;
} mt_trend;

void mt_trend_init(mt_trend *t);
/* Forgets the line and keeps the threshold: for a change of the delay that has another cause than the rate. */
void mt_trend_forget(mt_trend *t);
/* A packet, in the order of departure. True: a group ended; it is in `*ended`. */
bool mt_trend_packet(mt_trend *t, int64_t sent, int64_t arrival, mt_group *ended);

#endif
