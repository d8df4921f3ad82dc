/* A publisher's endpoint and a viewer's, without a server between them: what one sends is handed to the other, or lost, repeated or
 * changed on the way. */
#include "crowd/endpoint.h"
#include "formats/rtcp.h"
#include "tests/check.h"

enum {
  SSRC = 1000,
  RTX_SSRC = 1001,
  FEED = 5 << 3,
  TRANSPORT_CC = 3,
  MS = 1000,
  FRAME = 33 * MS,
  QUEUE = 4096,
};

typedef struct {
  bool rtcp;
  size_t n;
  uint8_t p[MT_DATAGRAM_MAX];
} datagram;

typedef struct { /* one end, and what it has sent and told */
  mt_endpoint *endpoint;
  mt_crowd_totals totals;
  datagram sent[QUEUE];
  unsigned count, answered, begun, dtls;
} end;

static void sink_send(void *context, uint32_t id, bool rtcp, const uint8_t *p, size_t n) {
  end *e = context;
  (void)id;
  if (e->count == QUEUE || n > sizeof e->sent->p) abort();
  datagram *d = &e->sent[e->count++];
  d->rtcp = rtcp;
  d->n = n;
  memcpy(d->p, p, n);
}

static void sink_event(void *context, mt_endpoint_event event, uint32_t id, uint32_t number, int64_t at, const uint8_t *p,
                       size_t n) {
  end *e = context;
  (void)id, (void)number, (void)at, (void)p, (void)n;
  e->answered += event == MT_ENDPOINT_ANSWERED;
  e->begun += event == MT_ENDPOINT_FIRST;
  e->dtls += event == MT_ENDPOINT_DTLS;
}

typedef struct {
  mt_endpoint_sink sinks[2];
  end publisher, viewer;
  mt_feed *feed;
  int64_t now;
} world;

static mt_feed_spec camera(void) {
  mt_feed_spec spec = {
      .video = true,
      .number = FEED,
      .ssrc = SSRC,
      .rtx_ssrc = RTX_SSRC,
      .payload_type = 96,
      .rtx_payload_type = 97,
      .clock_rate = 90000,
      .interval_us = FRAME,
      .frame_bytes = 3001,
      .keyframe_bytes = 9000,
      .packet_bytes = 1000,
  };
  spec.ext_ids[MT_EXT_TRANSPORT_CC] = TRANSPORT_CC;
  return spec;
}

static void open_end(end *e, mt_endpoint_sink *sink, uint32_t id, uint8_t transport_cc_id, int64_t now) {
  mt_endpoint_spec spec = {.id = id, .ssrc = 7 + id, .transport_cc_id = transport_cc_id};
  *sink = (mt_endpoint_sink){e, sink_send, sink_event};
  e->endpoint = mt_endpoint_new(&spec, sink, &e->totals, now);
  if (!e->endpoint) abort();
}

static world *open_world(bool encrypted) {
  world *w = calloc(1, sizeof *w);
  if (!w) abort();
  w->now = 10 * MT_SECOND;
  open_end(&w->publisher, &w->sinks[0], 0, 0, w->now);
  open_end(&w->viewer, &w->sinks[1], 1, TRANSPORT_CC, w->now);
  if (encrypted) {
    uint8_t one[MT_SRTP_MAX_KEYING], other[MT_SRTP_MAX_KEYING];
    memset(one, 1, sizeof one);
    memset(other, 2, sizeof other);
    CHECK(mt_endpoint_set_keys(w->publisher.endpoint, MT_SRTP_AEAD_AES_128_GCM, one, other));
    CHECK(mt_endpoint_set_keys(w->viewer.endpoint, MT_SRTP_AEAD_AES_128_GCM, other, one));
  }
  mt_feed_spec spec = camera();
  w->feed = mt_feed_new(&spec, 65000, w->now);
  if (!w->feed) abort();
  mt_endpoint_add_feed(w->publisher.endpoint, w->feed);
  mt_viewed_spec viewed = {true, true, SSRC, RTX_SSRC, 90000, FEED};
  CHECK(mt_endpoint_add_viewed(w->viewer.endpoint, &viewed));
  return w;
}

static void close_world(world *w) {
  mt_endpoint_free(w->publisher.endpoint);
  mt_endpoint_free(w->viewer.endpoint);
  CHECK(w->publisher.totals.endpoints == 0);
  free(w);
}

static void hand_over(world *w, end *from, end *to, unsigned i) {
  (void)from;
  datagram copy = from->sent[i];
  bytes b = bytes_copy(copy.p, copy.n);
  mt_endpoint_take(to->endpoint, w->now + 2 * MS, b.p, b.n);
  free(b.p);
}

/* Sends a frame; its packets wait in the publisher's queue. */
static unsigned frame(world *w) {
  w->publisher.count = 0;
  w->now += FRAME;
  mt_endpoint_send_frame(w->publisher.endpoint, w->feed, w->now);
  return w->publisher.count;
}

static void deliver_frames(world *w, unsigned frames) {
  for (; frames; frames--)
    for (unsigned i = 0, count = frame(w); i < count; i++) hand_over(w, &w->publisher, &w->viewer, i);
}

/* Lets the viewer do what is due, and hands its RTCP to the publisher. */
static void round_trip(world *w) {
  w->viewer.count = 0;
  mt_endpoint_round(w->viewer.endpoint, w->now);
  w->publisher.count = 0;
  for (unsigned i = 0; i < w->viewer.count; i++) hand_over(w, &w->viewer, &w->publisher, i);
}

static uint64_t lost(const world *w) { return mt_viewed_lost(w->viewer.endpoint->viewed); }

static void test_histogram(void) {
  unsigned before = 0;
  for (int64_t time = 0; time < 1 << 20; time += 1 + time / 100) {
    unsigned bucket = mt_histogram_bucket(time);
    CHECK(bucket >= before && bucket <= before + 2 && bucket < MT_HISTOGRAM_BUCKETS);
    before = bucket;
  }
  CHECK(mt_histogram_bucket(-5) == 0);
  CHECK(mt_histogram_bucket(31) == 31 && mt_histogram_bucket(32) == 32 && mt_histogram_bucket(63) == 63);
  CHECK(mt_histogram_bucket(64) == 64 && mt_histogram_bucket(65) == 64 && mt_histogram_bucket(66) == 65);
  CHECK(mt_histogram_bucket(INT64_MAX) == MT_HISTOGRAM_BUCKETS - 1);
  CHECK(mt_histogram_bucket((INT64_C(1) << 26) - 1) == MT_HISTOGRAM_BUCKETS - 2);
}

static void test_frames(void) {
  mt_feed_spec spec = camera();
  spec.keyframe_interval = 3;
  mt_feed *s = mt_feed_new(&spec, 9, 0);
  for (unsigned n = 0; n < 8; n++) {
    if (n == 4) s->keyframe_wanted = true;
    bool key = n == 0 || n == 3 || n == 4 || n == 7;
    unsigned count = mt_feed_begin(s);
    CHECK(s->is_keyframe == key);
    CHECK(count == (key ? 9 : 4));
    for (unsigned i = 0; i < count; i++) {
      uint8_t out[MT_DATAGRAM_MAX];
      size_t header;
      uint64_t index;
      size_t len = mt_feed_write(s, i, 1234567, 0, out, &header, &index);
      /* 3001 bytes in four packets: the last one has the odd byte */
      CHECK(len - header == (key ? 1000u : i == 3 ? 751u : 750u));
      CHECK(out[1] >> 7 == (i + 1 == count));
      mt_label label;
      CHECK(mt_label_read_untrusted(out + header, len - header, true, &label));
      CHECK(label.sent == 1234567 && label.feed == FEED && label.number == index - 9);
    }
  }
  CHECK(s->due == 8 * FRAME);
  mt_feed_free(s);
  spec.packet_bytes = 30;
  CHECK(!mt_feed_new(&spec, 0, 0)); /* no label fits */
}

static void test_all_arrives(bool encrypted) {
  world *w = open_world(encrypted);
  deliver_frames(w, 200); /* numbers wrap */
  const mt_crowd_totals *t = &w->viewer.totals;
  CHECK(t->received_packets == w->publisher.totals.sent_packets && t->received_packets == 9 + 199 * 4);
  CHECK(t->received_bytes == w->publisher.totals.sent_bytes);
  CHECK(lost(w) == 0 && t->duplicates == 0 && t->left_out_packets == 0 && t->wrong_feed == 0 && t->unlabelled == 0);
  CHECK(t->delay.counts[mt_histogram_bucket(2 * MS)] == t->received_packets && t->delay.longest == 2 * MS);
  CHECK(w->viewer.begun == 1 && t->silent_streams == 0);
  CHECK(w->publisher.totals.sent_frames == 200 && w->publisher.totals.sent_keyframes == 1);
  close_world(w);
}

static void test_loss_is_repaired(bool encrypted) {
  world *w = open_world(encrypted);
  deliver_frames(w, 3);
  unsigned count = frame(w);
  for (unsigned i = 0; i < count; i++)
    if (i != 1) hand_over(w, &w->publisher, &w->viewer, i);
  CHECK(lost(w) == 1);
  round_trip(w);
  CHECK(w->viewer.totals.nacks_sent == 1 && w->publisher.totals.nacks_received == 1);
  CHECK(w->publisher.totals.repeated_packets == 1 && w->publisher.count == 1);
  hand_over(w, &w->publisher, &w->viewer, 0);
  CHECK(lost(w) == 0 && w->viewer.totals.recovered == 1);
  hand_over(w, &w->publisher, &w->viewer, 0);
  CHECK(w->viewer.totals.duplicates == 1 && w->viewer.totals.recovered == 1);
  round_trip(w);
  CHECK(w->viewer.totals.nacks_sent == 1);
  close_world(w);
}

/* Loses packets 1 and 2 of a frame, asks for them `times`, and lets `copies` of each come. */
static void ask_and_take(world *w, unsigned times, unsigned copies) {
  for (unsigned i = 0, count = frame(w); i < count; i++)
    if (i != 1 && i != 2) hand_over(w, &w->publisher, &w->viewer, i);
  datagram held[] = {w->publisher.sent[1], w->publisher.sent[2]};
  for (; times; times--) {
    round_trip(w);
    w->now += MT_VIEWED_NACK_US;
  }
  for (unsigned i = 1; i <= 2; i++) {
    w->publisher.sent[i] = held[i - 1];
    for (unsigned k = 0; k < copies; k++) hand_over(w, &w->publisher, &w->viewer, i);
  }
}

/* Without RTX a retransmission is the packet itself: with the first copy, which was late, there are two. */
static void test_repeated_as_asked(bool encrypted) {
  world *w = open_world(encrypted);
  mt_crowd_totals *t = &w->viewer.totals;
  w->viewer.endpoint->viewed->spec.rtx_ssrc = 0;
  deliver_frames(w, 3);
  ask_and_take(w, 1, 2);
  CHECK(t->nacks_sent == 2 && t->late == 2 && lost(w) == 0);
  CHECK(t->repeated_as_asked == 2 && t->duplicates == 0);
  hand_over(w, &w->publisher, &w->viewer, 1); /* once more than was asked for */
  CHECK(t->repeated_as_asked == 2 && t->duplicates == 1);
  deliver_frames(w, 1);
  hand_over(w, &w->publisher, &w->viewer, 2); /* nobody has asked for it */
  CHECK(t->repeated_as_asked == 2 && t->duplicates == 2);
  ask_and_take(w, 3, 5);
  CHECK(t->nacks_sent == 8 && t->repeated_as_asked == 8 && t->duplicates == 4);
  /* what was asked for last is known, however many numbers were asked for before */
  for (unsigned i = 0; i < 2 * MT_VIEWED_MISSING; i++) ask_and_take(w, 1, 2);
  CHECK(t->repeated_as_asked == 8 + 4 * MT_VIEWED_MISSING && t->duplicates == 4);
  close_world(w);
  w = open_world(encrypted); /* with RTX it comes by the other SSRC */
  deliver_frames(w, 3);
  ask_and_take(w, 1, 2);
  CHECK(w->viewer.totals.repeated_as_asked == 0 && w->viewer.totals.duplicates == 2);
  close_world(w);
}

static void test_nacks_end(void) {
  world *w = open_world(false);
  deliver_frames(w, 1);
  frame(w); /* lost */
  deliver_frames(w, 1);
  CHECK(lost(w) == 4);
  for (unsigned i = 0; i < 40; i++) {
    w->now += MT_ENDPOINT_ROUND;
    mt_endpoint_round(w->viewer.endpoint, w->now);
  }
  CHECK(w->viewer.totals.nacks_sent == 4 * MT_VIEWED_NACK_TRIES);
  CHECK(lost(w) == 4);
  close_world(w);
}

static void test_what_is_wrong_is_counted(void) {
  world *w = open_world(true);
  deliver_frames(w, 1);
  mt_crowd_totals *t = &w->viewer.totals;
  frame(w);
  hand_over(w, &w->publisher, &w->viewer, 0);
  hand_over(w, &w->publisher, &w->viewer, 0);
  CHECK(t->duplicates == 1);
  w->publisher.sent[1].p[40] ^= 1;
  hand_over(w, &w->publisher, &w->viewer, 1);
  CHECK(t->unauthentic == 1);
  w->publisher.sent[2].p[11] ^= 16; /* another SSRC */
  hand_over(w, &w->publisher, &w->viewer, 2);
  CHECK(t->unknown_ssrc == 1);
  hand_over(w, &w->publisher, &w->viewer, 3);
  CHECK(lost(w) == 2);
  w->feed->spec.number = FEED + 1; /* another encoding of it */
  deliver_frames(w, 1);
  CHECK(t->wrong_feed == 0);
  w->feed->spec.number = FEED + 8;
  deliver_frames(w, 1);
  CHECK(t->wrong_feed == 4);
  close_world(w);
}

/* mediasoup tries a viewer's link by packets of an SSRC that signaling does not tell of. */
static void test_probes(void) {
  world *w = open_world(false);
  mt_crowd_totals *t = &w->viewer.totals;
  deliver_frames(w, 1);
  uint64_t received = t->received_packets;
  frame(w);
  mt_store32(w->publisher.sent[0].p + 8, 1234);
  hand_over(w, &w->publisher, &w->viewer, 0);
  hand_over(w, &w->publisher, &w->viewer, 0);
  CHECK(t->probes == 1 && t->duplicates == 1 && t->unknown_ssrc == 0 && t->received_packets == received);
  CHECK(w->viewer.endpoint->feedback_ssrc == 1234); /* transport-wide feedback tells of it too */
  close_world(w);
}

/* Media may overtake the signaling that tells of it. */
static void test_early_packets(void) {
  world *w = open_world(false);
  mt_crowd_totals *t = &w->viewer.totals;
  mt_viewed_spec viewed = {true, true, 5, 6, 90000, FEED};
  for (uint32_t ssrc = 5; ssrc < 5 + 2 * MT_UNKNOWN; ssrc++) {
    frame(w);
    for (unsigned i = 0; i < 2; i++) {
      mt_store32(w->publisher.sent[i].p + 8, ssrc);
      hand_over(w, &w->publisher, &w->viewer, i);
    }
  }
  CHECK(t->unknown_ssrc == 4 * MT_UNKNOWN && t->early == 0);
  CHECK(mt_endpoint_add_viewed(w->viewer.endpoint, &viewed));
  CHECK(t->unknown_ssrc == 4 * MT_UNKNOWN - 4 && t->early == 4);
  viewed.ssrc = 5 + 2 * MT_UNKNOWN; /* nothing came by it */
  viewed.rtx_ssrc = 0;
  CHECK(mt_endpoint_add_viewed(w->viewer.endpoint, &viewed));
  CHECK(t->early == 4);
  close_world(w);
}

/* A server that leaves packets out numbers the others without a gap. */
static void test_left_out_packets(void) {
  world *w = open_world(false);
  deliver_frames(w, 1);
  frame(w); /* left out: 4 packets */
  unsigned count = frame(w);
  for (unsigned i = 0; i < count; i++) {
    uint8_t *p = w->publisher.sent[i].p;
    mt_store16(p + 2, (uint16_t)(mt_load16(p + 2) - 4));
    hand_over(w, &w->publisher, &w->viewer, i);
  }
  CHECK(lost(w) == 0 && w->viewer.totals.left_out_packets == 4);
  close_world(w);
}

static void test_keyframe_on_request(void) {
  world *w = open_world(false);
  deliver_frames(w, 2);
  uint8_t pli[64];
  size_t n = mt_rtcp_write_pli(pli, sizeof pli, 1, SSRC);
  mt_endpoint_take(w->publisher.endpoint, w->now, pli, n);
  CHECK(w->publisher.totals.keyframe_requests == 1);
  CHECK(frame(w) == 9);
  n = mt_rtcp_write_fir(pli, sizeof pli, 1, SSRC, 1);
  mt_endpoint_take(w->publisher.endpoint, w->now, pli, n);
  CHECK(frame(w) == 9);
  n = mt_rtcp_write_pli(pli, sizeof pli, 1, SSRC + 2);
  mt_endpoint_take(w->publisher.endpoint, w->now, pli, n);
  CHECK(frame(w) == 4 && w->publisher.totals.keyframe_requests == 2);
  close_world(w);
}

/* The feedback tells of each packet, and the report of the loss. */
static void test_feedback(void) {
  world *w = open_world(false);
  deliver_frames(w, 5);
  unsigned count = frame(w);
  for (unsigned i = 1; i < count; i++) hand_over(w, &w->publisher, &w->viewer, i);
  w->now += MT_SECOND;
  w->viewer.count = 0;
  mt_endpoint_round(w->viewer.endpoint, w->now);
  unsigned arrived = 0, missing = 0, reports = 0;
  for (unsigned i = 0; i < w->viewer.count; i++) {
    mt_rtcp_packet packet;
    mt_rtcp_twcc twcc;
    mt_rtcp_arrival arrival;
    mt_rtcp_report report;
    size_t offset = 0;
    CHECK(w->viewer.sent[i].rtcp);
    while (mt_rtcp_next_untrusted(w->viewer.sent[i].p, w->viewer.sent[i].n, &offset, &packet)) {
      if (mt_rtcp_read_report(&packet, 0, &report)) {
        reports++;
        CHECK(report.ssrc == SSRC && report.total_lost == 1 && report.fraction_lost == 255 / (9 + 5 * 4));
      }
      if (!mt_rtcp_read_twcc(&packet, &twcc)) continue;
      while (mt_rtcp_next_twcc(&twcc, &arrival)) {
        arrived += arrival.received;
        missing += arrival.received ? 0 : arrival.count;
      }
    }
  }
  CHECK(arrived == 9 + 4 * 4 + 3 && missing == 1 && reports == 1);
  close_world(w);
}

static void test_sender_reports(void) {
  world *w = open_world(false);
  deliver_frames(w, 40);
  w->publisher.count = 0;
  mt_endpoint_round(w->publisher.endpoint, w->now);
  CHECK(w->publisher.count == 1 && w->publisher.sent[0].rtcp);
  hand_over(w, &w->publisher, &w->viewer, 0);
  CHECK(w->viewer.endpoint->viewed->last_sr != 0);
  mt_endpoint_round(w->publisher.endpoint, w->now + 100 * MS);
  CHECK(w->publisher.count == 1); /* one in a second */
  close_world(w);
}

/* The check is repeated until it is answered, ever more slowly, and then for consent. */
static void test_checks(void) {
  end *e = calloc(1, sizeof *e);
  mt_endpoint_sink sink = {e, sink_send, sink_event};
  mt_endpoint_spec spec = {.id = 0, .check_len = 20, .check = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3}};
  int64_t now = MT_SECOND;
  e->endpoint = mt_endpoint_new(&spec, &sink, &e->totals, now);
  for (unsigned i = 0; i < 100; i++) mt_endpoint_round(e->endpoint, now += MT_ENDPOINT_ROUND);
  CHECK(e->count == 6); /* in two seconds */
  uint8_t answer[20] = {1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 4};
  mt_endpoint_take(e->endpoint, now, answer, sizeof answer);
  CHECK(e->answered == 0); /* it answers another check */
  answer[10] = 3;
  mt_endpoint_take(e->endpoint, now, answer, sizeof answer);
  mt_endpoint_take(e->endpoint, now, answer, sizeof answer);
  CHECK(e->answered == 1);
  e->count = 0;
  for (unsigned i = 0; i < 500; i++) mt_endpoint_round(e->endpoint, now += MT_ENDPOINT_ROUND);
  CHECK(e->count == 4); /* in ten seconds */
  uint8_t dtls[] = {22, 254, 253};
  mt_endpoint_take(e->endpoint, now, dtls, sizeof dtls);
  CHECK(e->dtls == 1);
  mt_endpoint_free(e->endpoint);
  free(e);
}

/* Whatever a server sends, nothing is read behind a datagram. */
static void test_garbage(void) {
  world *w = open_world(false);
  uint64_t random = 1;
  deliver_frames(w, 1);
  for (unsigned i = 0; i < 20000; i++) {
    random = mt_hash64(random + 1);
    bool to_viewer = random & 1;
    unsigned count = 1;
    if (i % 10 == 0) {
      count = frame(w);
      w->viewer.count = 0;
      mt_endpoint_round(w->viewer.endpoint, w->now);
      if (w->viewer.count && (random >> 1 & 1)) w->publisher.sent[0] = w->viewer.sent[0];
    }
    datagram d = w->publisher.sent[(random >> 8) % count];
    for (unsigned k = 0; k < (random >> 16) % 4; k++) d.p[(random >> (20 + 7 * k)) % 64 % d.n] = (uint8_t)(random >> (30 + 5 * k));
    bytes b = bytes_copy(d.p, (random >> 4) % 3 ? d.n : (random >> 40) % (d.n + 1));
    mt_endpoint_take((to_viewer ? &w->viewer : &w->publisher)->endpoint, w->now, b.p, b.n);
    free(b.p);
    if (w->publisher.count > QUEUE / 2) w->publisher.count = 1;
  }
  close_world(w);
}

int main(void) {
  test_histogram();
  test_frames();
  test_all_arrives(false);
  test_all_arrives(true);
  test_loss_is_repaired(false);
  test_loss_is_repaired(true);
  test_repeated_as_asked(false);
  test_repeated_as_asked(true);
  test_nacks_end();
  test_what_is_wrong_is_counted();
  test_probes();
  test_early_packets();
  test_left_out_packets();
  test_keyframe_on_request();
  test_feedback();
  test_sender_reports();
  test_checks();
  test_garbage();
  return check_result();
}
