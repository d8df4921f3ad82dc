/* See reports.h. */
#include "periodic/reports.h"

#include "egress/scores.h"
#include "egress/sent.h"
#include "formats/rtcp.h"
#include "ingress/missing.h"
#include "ingress/stream.h"
#include "paths/outlet.h"
#include "state/arriving.h"
#include "state/marks.h"

enum {
  REPORT_US = MT_SECOND,    /* time between two reports, on average */
  SPREAD_US = 200 * MT_MS,  /* range of a random part of it, so that the reports of many transports do not go at once */
  MTU = 1200,               /* bytes of a compound packet before it is protected */
  REPORTS_PER_PACKET = 31,  /* report blocks of a receiver report: the count has 5 bits (RFC 3550 section 6.4.2) */
  REPORT_PACKETS = 4,       /* receiver reports for one transport; further streams are not reported */
  LOSS_UNITS = 256,         /* fraction_lost is in 1/256 (RFC 3550 section 6.4.1) */
  LEAST_ESTIMATE = 100000,  /* bit/s */
  MOST_ESTIMATE = 10000000, /* bit/s, where no limit is set */
  /* The bounds of libwebrtc's loss-based control, 10 % and 2 %, in 1/256. */
  LOWERING_LOSS = 26,                /* the estimate falls with a loss above this */
  RAISING_LOSS = 5,                  /* the estimate rises with a loss below this */
  LOWERING_DIVISOR = 512,            /* the estimate falls by half the loss: by loss / 512 of itself */
  RAISING_DIVISOR = 12,              /* the estimate rises by a twelfth of itself in each report, about 8 % */
  SR_BYTES = 28,                     /* without report blocks (RFC 3550 section 6.4.1) */
  SDES_BYTES = 12 + MT_MAX_TEXT + 4, /* at most: header, SSRC, CNAME, end and padding (section 6.5) */
  NTP_MIDDLE_SHIFT = 16,             /* "last SR" of a report is the middle 32 bits of an NTP timestamp */
  NTP_SECOND_SHIFT = 32,             /* NTP timestamps are in 1/2^32 s */
};

static const char receiver_cname[] = "meet-trio";

/* ---- to publishers ---- */

static uint8_t score_stream(const mt_stream *s, const mt_rtcp_report *r, bool active) {
  if (!active || !s->started) return 0;
  return mt_score_of_loss(r->fraction_lost);
}

/* Appends the producer's report blocks to `reports`, up to `cap` in all, and returns their number. Also takes the bitrates and
 * scores of the last second. */
static unsigned producer_reports(mt_core *core, mt_producer *p, mt_rtcp_report *reports, unsigned count, unsigned cap, int64_t now,
                                 int64_t elapsed) {
  bool changed = false;
  for (uint8_t i = 0; i < p->spec.encoding_count; i++) {
    mt_stream *s = &p->streams[i];
    mt_rtcp_report r = {0};
    bool active = mt_stream_active(core, s, now);
    mt_rate_update(&s->rate, s->stats.bytes, elapsed);
    if (s->started && s->main) {
      mt_stream_report(core, s, &r, now);
      mt_loss_level_sample(&s->loss, (double)r.fraction_lost / LOSS_UNITS);
      mt_loss_level_adapt(&s->loss, now);
      mt_missing_calm(s);
      if (count < cap) reports[count++] = r;
    }
    uint8_t score = score_stream(s, &r, active);
    changed = changed || score != s->stats.score;
    s->stats.score = score;
  }
  if (changed) mt_change(core, &p->changes, MT_CHANGED_SCORE);
  return count;
}

static void adapt_estimate(mt_transport *t, const mt_rtcp_report *reports, unsigned count) {
  uint64_t most = t->max_bitrate ? t->max_bitrate : MOST_ESTIMATE;
  uint8_t worst = 0;
  for (unsigned i = 0; i < count; i++)
    if (reports[i].fraction_lost > worst) worst = reports[i].fraction_lost;
  if (!t->estimate) t->estimate = most;
  if (worst > LOWERING_LOSS) {
    uint64_t reached = t->rate_in.bitrate < t->estimate ? t->rate_in.bitrate : t->estimate;
    t->estimate = reached - reached * worst / LOWERING_DIVISOR;
  } else if (worst < RAISING_LOSS) {
    t->estimate += t->estimate / RAISING_DIVISOR;
  }
  if (t->estimate < LEAST_ESTIMATE) t->estimate = LEAST_ESTIMATE;
  if (t->estimate > most) t->estimate = most;
}

static size_t write_remb(mt_transport *t, uint8_t *out, size_t cap) {
  uint32_t ssrcs[REPORTS_PER_PACKET];
  unsigned count = 0;
  MT_EACH (item, &t->producers) {
    const mt_producer *p = MT_OF(item, mt_producer, in_transport);
    for (uint8_t i = 0; p->spec.remb && i < p->spec.encoding_count; i++)
      if (p->streams[i].main && count < REPORTS_PER_PACKET) ssrcs[count++] = p->streams[i].stats.ssrc;
  }
  uint64_t bitrate = t->twcc_id ? t->max_bitrate : t->estimate;
  if (!count || !bitrate) return 0;
  return mt_rtcp_write_remb(out, cap, t->rtcp_ssrc, bitrate, ssrcs, count);
}

static void report_to_publisher(mt_core *core, mt_transport *t, int64_t now, int64_t elapsed) {
  enum { CAP = REPORT_PACKETS * REPORTS_PER_PACKET };
  mt_rtcp_report reports[CAP];
  unsigned count = 0;
  MT_EACH (item, &t->producers)
    count = producer_reports(core, MT_OF(item, mt_producer, in_transport), reports, count, CAP, now, elapsed);
  if (!count) return;
  if (!t->twcc_id) adapt_estimate(t, reports, count);
  for (unsigned at = 0; at < count; at += REPORTS_PER_PACKET) {
    uint8_t *out = mt_reserve(core);
    unsigned part = count - at < REPORTS_PER_PACKET ? count - at : REPORTS_PER_PACKET;
    size_t n = mt_rtcp_write_rr(out, MTU, t->rtcp_ssrc, reports + at, part);
    n += mt_rtcp_write_sdes_cname(out + n, MTU - n, t->rtcp_ssrc, receiver_cname, sizeof receiver_cname - 1);
    if (at == 0) n += write_remb(t, out + n, MTU - n);
    mt_send_srtcp(core, t, out, n);
  }
}

/* ---- to viewers ---- */

/* False: the consumer sends nothing, or its publisher has not sent a report. */
static bool sender_info(mt_consumer *c, mt_rtcp_sender_info *out, int64_t now) {
  const mt_epoch *e = &c->epochs[0];
  if (!c->producer || !e->open || !c->packets) return false;
  const mt_stream *s = &c->producer->streams[e->stream];
  if (!s->has_sr) return false;
  uint64_t since = (uint64_t)(now - s->sr_arrival);
  out->ssrc = c->spec.ssrc;
  out->ntp = s->sr_ntp + (since / MT_SECOND << NTP_SECOND_SHIFT) + ((since % MT_SECOND) << NTP_SECOND_SHIFT) / MT_SECOND;
  out->rtp_timestamp = s->sr_timestamp + e->timing.delta + (uint32_t)(since * c->producer->spec.clock_rate / MT_SECOND);
  out->packets = (uint32_t)c->packets;
  out->octets = (uint32_t)c->octets;
  c->reports[c->report_next].ntp_middle = (uint32_t)(out->ntp >> NTP_MIDDLE_SHIFT);
  c->reports[c->report_next].sent = now;
  c->report_next = (c->report_next + 1) % MT_SR_MEMORY;
  return true;
}

/* A datagram takes the reports of as many consumers as fit. */
static void report_to_viewer(mt_core *core, mt_transport *t, int64_t now) {
  uint8_t *out = NULL;
  size_t n = 0;
  MT_EACH (item, &t->consumers) {
    mt_consumer *c = MT_OF(item, mt_consumer, in_transport);
    mt_rtcp_sender_info info;
    if (!sender_info(c, &info, now)) continue;
    if (n + SR_BYTES + SDES_BYTES > MTU) {
      mt_send_srtcp(core, t, out, n);
      n = 0;
    }
    if (n == 0) out = mt_reserve(core);
    n += mt_rtcp_write_sr(out + n, MTU - n, &info, NULL, 0);
    n += mt_rtcp_write_sdes_cname(out + n, MTU - n, c->spec.ssrc, c->spec.cname.text, c->spec.cname.len);
  }
  if (n) mt_send_srtcp(core, t, out, n);
}

void mt_transport_report(mt_core *core, mt_transport *t, int64_t now) {
  int64_t elapsed = now - t->reported;
  t->reported = now;
  t->next_report = now + REPORT_US - SPREAD_US / 2 + (int64_t)(mt_random(core) % SPREAD_US);
  mt_rate_update(&t->rate_in, t->stats.bytes_in, elapsed);
  mt_rate_update(&t->rate_out, t->stats.bytes_out, elapsed);
  MT_EACH (item, &t->consumers) {
    mt_consumer *c = MT_OF(item, mt_consumer, in_transport);
    mt_rate_update(&c->rate, c->octets, elapsed);
    mt_rate_update(&c->redundant_rate, c->redundant_bytes, elapsed);
    mt_sent_shrink(core, c, now);
  }
  report_to_publisher(core, t, now, elapsed);
  report_to_viewer(core, t, now);
}
