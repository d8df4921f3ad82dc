/* Which rate the loss allows: loss that does not grow with the rate is the path's own, and no reason to send less.
 *
 * In the manner of libwebrtc's later loss-based estimator. Feedback is cut into observations of some packets each: how fast they
 * left, and how many came. Two models explain the newest observations: "each packet is lost with probability p" and "what is above
 * the rate c is lost, and of the rest the share p". Only if the second one is much more likely than the first one, c is a bound.
 *
 * A rate that never changes cannot tell the models apart. If much suddenly gets lost, the bound is what came, for a trial. If the
 * share of loss stays, the loss is the path's own, and the bound is taken back.
 */
#ifndef MT_ESTIMATE_LOSS_H
#define MT_ESTIMATE_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MT_LOSS_OBSERVATIONS = 24 };

typedef struct {
  double packets, lost;
  double rate;  /* bit/s, as it left */
  int64_t last; /* microseconds: the last departure */
} mt_loss_observation;

typedef struct {
  mt_loss_observation seen[MT_LOSS_OBSERVATIONS];
  unsigned count, at;    /* observations; slot of the next one */
  struct {               /* the observation that is being made */
    int64_t first, last; /* departure; microseconds. first 0: nothing was reported yet */
    unsigned packets, lost;
    uint64_t bytes;
  } now;
  struct { /* packets reported lost since the newest one that came */
    int64_t first;
    unsigned packets;
    uint64_t bytes;
  } missing;
  double recent_packets, recent_lost; /* decaying */
  double losses, runs;                /* packets lost, and runs of such packets; decaying */
  double own;                         /* share that the path loses at any rate, as far as is known */
  double trial;                       /* share that was lost when the trial began; 0: no trial */
  double trial_rate;                  /* bit/s: the estimate before the trial */
  double trial_sent;                  /* bit/s that left before the trial */
  int64_t trial_from;                 /* packets that left before are not of the trial; microseconds */
  double sudden;                      /* packets of the observations in turn of which suddenly much was lost */
  unsigned calm;                      /* observations until the next trial may begin */
} mt_loss;

typedef enum { MT_LOSS_NOTHING, MT_LOSS_BOUND, MT_LOSS_TAKEN_BACK } mt_loss_verdict;

void mt_loss_lost(mt_loss *l, int64_t sent, size_t bytes);
void mt_loss_received(mt_loss *l, int64_t sent, size_t bytes);
void mt_loss_late(mt_loss *l); /* a packet that was reported lost came after all */
/* Ends an observation if it is large enough. `rate`: the estimate, `arriving`: what arrives, both in bit/s. `*bound`: the highest rate that loss allows, or the
 * rate before the trial that failed. */
mt_loss_verdict mt_loss_judge(mt_loss *l, double rate, double arriving, int64_t now, double *bound);
double mt_loss_share(const mt_loss *l); /* of the last seconds: 0 to 1 */

#endif
