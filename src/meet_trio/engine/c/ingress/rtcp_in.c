/* See rtcp_in.h. */
#include "ingress/rtcp_in.h"

#include "base/bytes.h"
#include "egress/downlink.h"
#include "egress/fanout.h"
#include "egress/keyframes.h"
#include "egress/relay.h"
#include "egress/scores.h"
#include "egress/resend.h"
#include "egress/viewer.h"
#include "formats/rtcp.h"
#include "ingress/policing.h"
#include "ingress/rebinding.h"
#include "ingress/sources.h"
#include "ingress/stream.h"
#include "state/trace.h"

enum {
  MAX_NACKED = 1024,           /* packets that one datagram may ask for: more than a consumer remembers */
  LEAST_RTT_US = MT_MS,        /* clients' clocks are no finer */
  MAX_RTT_US = 10 * MT_SECOND, /* a longer round trip is not believed */
  ANSWERED_US = 100 * MT_MS,   /* and a round trip: a key frame that was sent so recently answers a request */
  DELAY_SECOND = 65536,        /* units of "delay since last SR" in a second (RFC 3550 section 6.4.1) */
  LEAST_RTCP = 8,              /* bytes: the common header and the sender's SSRC */
  SSRC_OFFSET = 4,             /* bytes: the sender's SSRC in the first packet, which SRTCP leaves in clear */
};

/* `ssrc`: a consumer's SSRC or RTX SSRC. NULL: this transport has no such consumer. */
static mt_consumer *find_consumer(mt_transport *t, uint32_t ssrc) {
  mt_node *n = mt_table_first(&t->consumers_by_ssrc, mt_hash64(ssrc));
  return n ? MT_OF(n, mt_consumer_by_ssrc, node)->consumer : NULL;
}

static void sender_report(mt_core *core, mt_transport *t, const mt_rtcp_packet *p, int64_t now) {
  mt_rtcp_sender_info info;
  if (!mt_rtcp_read_sender_info(p, &info)) return;
  mt_source *source = mt_source_find(t, info.ssrc);
  if (!source || !source->stream || source->rtx) return;
  mt_stream *s = source->stream;
  s->has_sr = true;
  s->sr_ntp = info.ntp;
  s->sr_timestamp = info.rtp_timestamp;
  s->sr_arrival = now;
  mt_relay_state(core, s, now);
}

static void measure_rtt(mt_consumer *c, const mt_rtcp_report *r, int64_t now) {
  if (!r->last_sr) return;
  for (unsigned i = 0; i < MT_SR_MEMORY; i++) {
    if (c->reports[i].ntp_middle != r->last_sr || !c->reports[i].sent) continue;
    int64_t rtt = now - c->reports[i].sent - (int64_t)r->delay_since_last_sr * MT_SECOND / DELAY_SECOND;
    if (rtt < LEAST_RTT_US) rtt = LEAST_RTT_US;
    if (rtt > MAX_RTT_US) return;
    c->stats.rtt_us = (uint32_t)rtt;
    c->transport->stats.rtt_us = (uint32_t)rtt;
    return;
  }
}

static void receiver_reports(mt_core *core, mt_transport *t, const mt_rtcp_packet *p, int64_t now) {
  mt_rtcp_report r;
  for (unsigned i = 0; mt_rtcp_read_report(p, i, &r); i++) {
    mt_consumer *c = find_consumer(t, r.ssrc);
    if (!c || r.ssrc != c->spec.ssrc || !c->producer) continue;
    uint32_t rate = c->producer->spec.clock_rate;
    c->stats.fraction_lost = r.fraction_lost;
    c->stats.lost = r.total_lost;
    c->stats.jitter_us = rate ? (uint32_t)((uint64_t)r.jitter * MT_SECOND / rate) : 0;
    measure_rtt(c, &r, now);
    mt_viewer_reported(core, c, r.total_lost, now);
    mt_consumer_score(core, c, r.fraction_lost, now);
  }
}

/* `left`: number of packets that this datagram may still ask for. */
static void nack(mt_core *core, mt_transport *t, const mt_rtcp_packet *p, unsigned *left, int64_t now) {
  uint32_t sender, media;
  if (!mt_rtcp_read_feedback(p, &sender, &media)) return;
  mt_consumer *c = find_consumer(t, media);
  if (!c) return;
  uint16_t pid, blp;
  for (unsigned i = 0; mt_rtcp_read_nack(p, i, &pid, &blp); i++) {
    uint32_t wanted = (uint32_t)blp << 1 | 1;
    for (unsigned bit = 0; wanted >> bit; bit++) {
      if (!(wanted >> bit & 1)) continue;
      if (!*left) return;
      --*left;
      c->stats.nacks++;
      core->counters.nacks_in++;
      mt_consumer_resend(core, c, (uint16_t)(pid + bit), now);
    }
  }
}

static void keyframe_request(mt_core *core, mt_transport *t, uint32_t ssrc, int64_t now) {
  mt_consumer *c = find_consumer(t, ssrc);
  if (!c || c->paused) return;
  c->stats.plis++;
  core->counters.keyframe_requests_in++;
  /* It was sent before the key frame can have arrived. A client that still has none repeats its request. */
  if (c->keyframe_sent && now - c->keyframe_sent < mt_viewer_rtt_us(c->transport) + ANSWERED_US) return;
  mt_consumer_request_keyframe(core, c, now);
}

static void payload_feedback(mt_core *core, mt_transport *t, const mt_rtcp_packet *p, int64_t now) {
  uint32_t sender, media, ssrc;
  uint8_t sequence;
  uint64_t bitrate;
  if (!mt_rtcp_read_feedback(p, &sender, &media)) return;
  if (p->count == MT_PSFB_PLI) keyframe_request(core, t, media, now);
  for (unsigned i = 0; p->count == MT_PSFB_FIR && mt_rtcp_read_fir(p, i, &ssrc, &sequence); i++)
    keyframe_request(core, t, ssrc, now);
  if (p->count == MT_PSFB_AFB && mt_rtcp_read_remb(p, &bitrate)) {
    t->stats.remb = bitrate;
    mt_downlink_remb(core, t, bitrate, now);
  }
}

static void transport_cc(mt_core *core, mt_transport *t, const mt_rtcp_packet *p, int64_t now) {
  t->stats.transport_cc_received++;
  mt_downlink_feedback(core, t, p, now);
}

/* The SSRC ends (RFC 3550 section 6.6). Another one may feed the stream after it. */
static void bye(mt_core *core, mt_transport *t, const mt_rtcp_packet *p, int64_t now) {
  uint32_t ssrc;
  for (unsigned i = 0; mt_rtcp_read_bye(p, i, &ssrc); i++) {
    mt_source *source = mt_source_find(t, ssrc);
    mt_stream *s = source ? source->stream : NULL;
    if (!s || source->rtx) continue;
    mt_source_detach(source);
    s->main = NULL;
    mt_stream_reset(core, s, now);
    mt_producer_choose_layers(core, s->producer, true, now);
  }
}

static void handle(mt_core *core, mt_transport *t, const mt_rtcp_packet *p, unsigned *nacks_left, int64_t now) {
  switch (p->type) {
  case MT_RTCP_SR:
    sender_report(core, t, p, now);
    receiver_reports(core, t, p, now);
    break;
  case MT_RTCP_RR: receiver_reports(core, t, p, now); break;
  case MT_RTCP_BYE: bye(core, t, p, now); break;
  case MT_RTCP_RTPFB:
    if (p->count == MT_RTPFB_NACK) nack(core, t, p, nacks_left, now);
    else if (p->count == MT_RTPFB_TRANSPORT_CC) transport_cc(core, t, p, now);
    break;
  case MT_RTCP_PSFB: payload_feedback(core, t, p, now); break;
  default: break; /* SDES and other packets carry nothing that the core uses */
  }
}

void mt_rtcp_datagram(mt_core *core, int64_t now, mt_transport *t, uint8_t *data, size_t len) {
  t->stats.packets_in++;
  t->stats.bytes_in += len;
  if (!t->srtp) {
    core->counters.dropped_no_keys++;
    return;
  }
  if (len < LEAST_RTCP) {
    core->counters.dropped_rtcp_malformed++;
    return;
  }
  if (!mt_transport_takes(core, t, now)) return;
  uint32_t ssrc = mt_load32(data + SSRC_OFFSET);
  mt_source *source = mt_source_find(t, ssrc);
  mt_srtp_window recalled;
  if (!source) mt_source_recall(core, t, ssrc, NULL, &recalled);
  size_t plain_len;
  if (mt_srtcp_unprotect(t->srtp, source ? &source->rtcp : &recalled, data, len, &plain_len) != MT_SRTP_OK) {
    core->counters.dropped_rtcp_unauthentic++;
    return;
  }
  if (t->trace) mt_trace_received(core, t, true, data, plain_len);
  mt_transport_charge(t, len);
  if (!source) {
    source = mt_source_add(core, t, ssrc);
    if (!source) return;
    source->rtcp = recalled;
  }
  if (mt_rebinding_note_rtcp(core, source)) t->advances++;
  mt_rtcp_packet p;
  size_t offset = 0;
  unsigned nacks_left = MAX_NACKED;
  while (mt_rtcp_next_untrusted(data, plain_len, &offset, &p)) handle(core, t, &p, &nacks_left, now);
  if (offset != plain_len) core->counters.dropped_rtcp_malformed++;
}
