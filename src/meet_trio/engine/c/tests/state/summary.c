/* The summary of a record of figures: each object is counted once, in the right place. */
#include "state/figures.c"
#include "state/summary.c"

#include "../check.h"

static uint64_t count(const mt_distribution *d) {
  uint64_t n = 0;
  for (unsigned i = 0; i <= MT_SUMMARY_BOUNDS; i++) n += d->buckets[i];
  return n;
}

static void test_nothing(void) {
  mt_stats stats = {0};
  mt_summary s = mt_summarize(&stats);
  for (size_t i = 0; i < sizeof s; i++) CHECK(((const uint8_t *)&s)[i] == 0);
}

static void test_transports(void) {
  mt_transport_stats transports[] = {
      {.estimate = 0, .rtt_us = 0},
      {.path = {.kind = MT_PATH_UDP}, .has_srtp = true, .estimate = 100000, .rtt_us = 10000},
      {.path = {.kind = MT_PATH_TCP}, .has_srtp = true, .estimate = 100008, .rtt_us = 10001, .outgoing_loss = 3},
      {.path = {.kind = MT_PATH_PLAIN_RTP}, .estimate = UINT64_MAX, .rtt_us = UINT32_MAX, .outgoing_loss = UINT8_MAX},
  };
  mt_stats stats = {.transports = transports, .transport_count = 4};
  mt_summary s = mt_summarize(&stats);
  CHECK(s.transports[MT_CARRIER_NONE][0] == 1 && s.transports[MT_CARRIER_UDP][1] == 1);
  CHECK(s.transports[MT_CARRIER_TCP][1] == 1 && s.transports[MT_CARRIER_UDP][0] == 1);
  CHECK(count(&s.estimate) == 3 && count(&s.round_trip) == 3 && count(&s.outgoing_loss) == 3);
  CHECK(s.estimate.buckets[0] == 1); /* a value on a bound is below it */
  CHECK(s.estimate.buckets[1] == 1 && s.estimate.buckets[MT_SUMMARY_BOUNDS] == 1);
  CHECK(s.round_trip.buckets[0] == 1 && s.round_trip.buckets[1] == 1 && s.round_trip.buckets[MT_SUMMARY_BOUNDS] == 1);
  CHECK(s.outgoing_loss.buckets[0] == 1 && s.outgoing_loss.buckets[2] == 1 && s.outgoing_loss.buckets[MT_SUMMARY_BOUNDS] == 1);
  CHECK(s.outgoing_loss.sum == 258 / 256.0);
}

static void test_streams(void) {
  mt_producer_stats producers[] = {
      {.media = MT_MEDIA_AUDIO, .stream_count = 1, .streams = {{.active = true}}},
      {.media = MT_MEDIA_VIDEO, .stream_count = 2, .streams = {{.active = true}, {.active = false}, {.active = true}}},
      {.media = MT_MEDIA_VIDEO,
       .paused = true,
       .stream_count = MT_MAX_ENCODINGS,
       .streams = {[MT_MAX_ENCODINGS - 1] = {.active = true}}},
  };
  mt_consumer_stats consumers[] = {
      {.media = MT_MEDIA_AUDIO, .spatial = 0},
      {.media = MT_MEDIA_VIDEO, .spatial = -1, .paused = true},
      {.media = MT_MEDIA_VIDEO, .spatial = MT_MAX_ENCODINGS - 1},
      {.media = MT_MEDIA_VIDEO, .spatial = INT8_MAX},
      {.media = MT_MEDIA_UNKNOWN, .spatial = -1},
  };
  mt_stats stats = {.producers = producers, .producer_count = 3, .mirrors = producers, .mirror_count = 3};
  stats.consumers = consumers;
  stats.consumer_count = 5;
  mt_summary s = mt_summarize(&stats);
  CHECK(s.producers[MT_MEDIA_AUDIO][false] == 1 && s.producers[MT_MEDIA_VIDEO][false] == 1 &&
        s.producers[MT_MEDIA_VIDEO][true] == 1);
  CHECK(s.active_streams[MT_MEDIA_AUDIO][0] == 1 && s.active_streams[MT_MEDIA_VIDEO][0] == 1);
  CHECK(s.active_streams[MT_MEDIA_VIDEO][1] == 0 && s.active_streams[MT_MEDIA_VIDEO][2] == 0);
  CHECK(s.active_streams[MT_MEDIA_VIDEO][MT_MAX_ENCODINGS - 1] == 1);
  CHECK(s.consumers[MT_MEDIA_AUDIO][0] == 1 && s.consumers[MT_MEDIA_VIDEO][MT_MAX_ENCODINGS] == 2);
  CHECK(s.consumers[MT_MEDIA_VIDEO][MT_MAX_ENCODINGS - 1] == 1 && s.consumers[MT_MEDIA_UNKNOWN][MT_MAX_ENCODINGS] == 1);
  CHECK(s.paused_consumers[MT_MEDIA_VIDEO] == 1 && s.paused_consumers[MT_MEDIA_AUDIO] == 0);
}

static void test_sums(void) {
  mt_consumer_stats *consumers = calloc(3, sizeof *consumers);
  if (!consumers) abort();
  for (unsigned i = 0; i < 3; i++) consumers[i] = (mt_consumer_stats){.lost = -1 + (int)i * 10, .nacks = 1u << i, .plis = 8u << i};
  mt_transport_stats transports[] = {
      {.first_consumer = 0, .own_consumers = 2, .packets_in = 1, .bytes_in = 2, .packets_out = 3, .bytes_out = 4},
      {.first_consumer = 2, .own_consumers = 1},
      {.first_consumer = 3},
  };
  mt_stats stats = {.transports = transports, .transport_count = 3, .consumers = consumers, .consumer_count = 3};
  mt_transport_sums s = mt_sum_transport(&stats, &transports[0]);
  CHECK(s.packets_in == 1 && s.bytes_in == 2 && s.packets_out == 3 && s.bytes_out == 4);
  CHECK(s.lost == 8 && s.nacks == 3 && s.plis == 24);
  s = mt_sum_transport(&stats, &transports[1]);
  CHECK(s.lost == 19 && s.nacks == 4 && s.plis == 32);
  s = mt_sum_transport(&stats, &transports[2]);
  CHECK(s.lost == 0 && s.nacks == 0 && s.plis == 0);
  free(consumers);
}

int main(void) {
  test_nothing();
  test_transports();
  test_streams();
  test_sums();
  return check_result();
}
