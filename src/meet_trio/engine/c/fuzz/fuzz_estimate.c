/* The estimator: packets that leave, feedback of any bytes, all other calls in any order. The estimate stays within its bounds, its
 * figures are finite, and feedback is read in a number of steps that its bytes bound. */
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

#include "fuzz.h"

/* An instruction is a byte, and the bytes that it takes. */
const char *const mt_fuzz_seeds[] = {
    "00 40 00 40 00 40 00 40 01 10 20 ff 0000 0004 000001 00 2004 10101010 00 40 00 40",
    "00 ff 00 ff 01 30 14 00 0000 0002 000001 00 2002 0404 00 ff 00 ff 00 ff 01 30 14 00 0002 0003 000001 01 2003 080808 07 00 07 "
    "ff",
    "03 20 04 30 05 80 80 00 20 00 20 06 07 ff 07 ff 02 40 08 08",
    "00 20 00 20 01 10 18 00 0000 1fff 7fffff 00 1fff 0000 00 00 00 20 01 10 18 00 0000 0002 800000 00 4002 7fff8000",
    NULL,
};

enum { START = 600000, LEAST = 30000, MOST = 5000000, MAX_CALLS = 4000 };

typedef struct {
  const uint8_t *p;
  size_t left;
} input;

static unsigned take(input *in) {
  if (!in->left) return 0;
  in->left--;
  return *in->p++;
}

static void check(const mt_estimator *e, uint64_t limit) {
  const mt_estimate *x = mt_estimator_estimate(e);
  uint64_t most = limit && limit < MOST ? limit : MOST;
  MUST(x->bitrate <= most && (x->bitrate >= LEAST || x->bitrate == most));
  MUST(x->loss >= 0 && x->loss <= 1);
  MUST(x->cause <= MT_ESTIMATE_PATH);
  MUST(x->reorder_us <= 1000000 && x->queue_us <= 10000000);
  MUST(isfinite(e->aimd.rate) && isfinite(e->aimd.capacity) && isfinite(e->trend.slope) && isfinite(e->trend.threshold));
  MUST(isfinite(e->loss.own) && e->loss.own >= 0 && e->loss.own <= 1 && e->queue.queue >= 0);
}

static void feed(mt_estimator *e, input *in, int64_t now) {
  uint8_t body[300] = {0};
  size_t n = take(in);
  mt_rtcp_packet p = {MT_RTCP_RTPFB, MT_RTPFB_TRANSPORT_CC, body, (uint16_t)n};
  mt_rtcp_twcc t;
  uint64_t reported = e->reported;
  for (size_t i = 8; i < n && i < sizeof body; i++) body[i] = (uint8_t)take(in);
  if (!mt_rtcp_read_twcc(&p, &t)) return;
  mt_estimator_feedback(e, &t, now);
  MUST(t.done == t.packet_count || !e->departures.next); /* read to its end */
  MUST(e->reported >= reported && e->reported <= e->departures.next);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *copy = fuzz_exact(data, size);
  input in = {copy, size};
  mt_pools pools;
  mt_departures_pools(&pools);
  mt_estimator_spec spec = {START, LEAST, MOST, &pools};
  int64_t now = 1;
  mt_estimator *e = mt_estimator_new(&spec, now);
  uint16_t number = 65500;
  uint64_t limit = 0;
  MUST(e);
  for (unsigned calls = 0; in.left && calls < MAX_CALLS; calls++) {
    unsigned what = take(&in);
    mt_probe probe;
    now += 1 + (int64_t)(what >> 4) * (what >> 4) * 100;
    switch (what & 15) {
    case 0: {
      bool probing = mt_estimator_probe(e, &probe, now);
      if (probing) MUST(probe.bytes > 0 && probe.id > 0 && probe.bitrate > 0);
      mt_estimator_sent(e, number++, take(&in) * 6, probing ? probe.id : 0, now);
      break;
    }
    case 1: feed(e, &in, now); break;
    case 2: mt_estimator_remb(e, (uint64_t)take(&in) << (take(&in) & 63), now); break;
    case 3: mt_estimator_limit(e, limit = (uint64_t)take(&in) * 20000); break;
    case 4: mt_estimator_loss_report(e, (float)take(&in) / 100, take(&in) << 16); break;
    case 5: mt_estimator_demand(e, (uint64_t)take(&in) << 14, (uint64_t)take(&in) << 14); break;
    case 6: mt_estimator_moved(e, now); break;
    case 7: {
      int64_t due = mt_estimator_tick(e, now);
      MUST(due > now && due <= now + MT_SECOND);
      now += take(&in) * 10000;
      break;
    }
    case 8: mt_estimator_sent(e, (uint16_t)(take(&in) << 8 | take(&in)), 1200, (uint8_t)take(&in), now); break;
    case 9: number = (uint16_t)(number + take(&in) * 100); break;
    default: /* a few packets and honest feedback of them */
      for (unsigned i = 0; i < (what >> 4); i++)
        mt_estimator_sent(e, number++, 1000, mt_estimator_probe(e, &probe, now) ? probe.id : 0, now + i);
      (void)mt_estimator_packet_fate(e, (uint16_t)(number - take(&in)));
    }
    check(e, limit);
  }
  mt_estimator_free(e);
  mt_pools_free(&pools);
  free(copy);
  return 0;
}
