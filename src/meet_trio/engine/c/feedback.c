/* RTCP both ways: what publishers are told (missing packets, key frames wanted, receiver reports, transport-cc, REMB), and what publishers and viewers say.
 *
 * NACK (RFC 4585 §6.2.1): a gap may be reordering for `nack_delay`; then it is asked for, every `nack_interval`, `nack_tries` times, after which a key frame is
 * wanted instead. Key frames are asked for at most once in `keyframe_interval` for a stream, and again until one comes.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "rtcp.h"

/* ---- missing packets */

void mt_stream_gap(mt_stream *s, uint64_t from, uint64_t to) {
  if (!s->producer->spec.nack) return;
  if (to - from > MT_MAX_MISSING / 2 || s->missing_count + (to - from) > MT_MAX_MISSING) {
    /* more than asking can mend */
    s->missing_count = 0;
    if (!s->producer->spec.audio) mt_ask_keyframe(s);
    if (to - from > MT_MAX_MISSING / 2) return;
  }
  for (uint64_t i = from; i < to; i++) s->missing[s->missing_count++] = (mt_missing){.index = i, .since = s->transport->core->now};
}

static void forget_missing(mt_stream *s, unsigned at) {
  memmove(&s->missing[at], &s->missing[at + 1], (s->missing_count - at - 1) * sizeof s->missing[0]);
  s->missing_count--;
}

bool mt_stream_found(mt_stream *s, uint64_t index) {
  for (unsigned i = 0; i < s->missing_count; i++)
    if (s->missing[i].index == index) {
      forget_missing(s, i);
      return true;
    }
  return false;
}

static void ask_missing(mt_stream *s) {
  mt_core *core = s->transport->core;
  const mt_core_settings *set = &core->settings;
  uint16_t wanted[MT_MAX_MISSING];
  unsigned count = 0;
  bool lost = false;
  for (unsigned i = 0; i < s->missing_count;) {
    mt_missing *m = &s->missing[i];
    if (m->tries >= set->nack_tries && core->now - m->sent >= set->nack_interval_us) {
      forget_missing(s, i);
      lost = true;
      continue;
    }
    bool due = m->tries == 0 ? core->now - m->since >= set->nack_delay_us : core->now - m->sent >= set->nack_interval_us;
    if (due) {
      m->tries++;
      m->sent = core->now;
      wanted[count++] = (uint16_t)m->index;
    }
    i++;
  }
  if (lost && !s->producer->spec.audio) mt_ask_keyframe(s);
  uint8_t rtcp[1200];
  for (unsigned at = 0; at < count;) {
    unsigned n = count - at < 200 ? count - at : 200;
    s->nacks += n;
    mt_transport_send_rtcp(s->transport, rtcp, mt_rtcp_write_nack(rtcp, sizeof rtcp, s->transport->own_ssrc, s->ssrc, wanted + at, n));
    at += n;
  }
}

/* ---- key frames */

static void send_keyframe_request(mt_stream *s) {
  mt_core *core = s->transport->core;
  if (s->keyframe_asked != 0 && core->now - s->keyframe_asked < core->settings.keyframe_interval_us) return;
  uint8_t rtcp[64];
  size_t n = 0;
  if (s->producer->spec.pli)
    n = mt_rtcp_write_pli(rtcp, sizeof rtcp, s->transport->own_ssrc, s->ssrc);
  else if (s->producer->spec.fir)
    n = mt_rtcp_write_fir(rtcp, sizeof rtcp, s->transport->own_ssrc, s->ssrc, s->fir_sequence++);
  if (n == 0) return;
  s->keyframe_asked = core->now;
  s->plis++;
  mt_transport_send_rtcp(s->transport, rtcp, n);
}

void mt_ask_keyframe(mt_stream *s) {
  s->keyframe_wanted = true;
  if (!s->producer->paused) send_keyframe_request(s);
}

void mt_want_keyframe(mt_producer *p, unsigned encoding) {
  if (p->spec.audio) return;
  mt_stream *s = p->encodings[encoding].stream;
  if (s != NULL && s->started)
    mt_ask_keyframe(s);
  else
    p->keyframe_wanted = true; /* asked when a stream has come */
}

/* ---- transport-cc (draft-holmer-rmcat-transport-wide-cc-extensions-01) */

void mt_twcc_arrived(mt_transport *t, uint16_t sequence) {
  if (!t->twcc_started) {
    t->twcc_started = true;
    t->twcc_base = t->twcc_next = (1u << 16) + (uint64_t)sequence;
  }
  int16_t ahead = (int16_t)(sequence - (uint16_t)t->twcc_next);
  uint64_t index = t->twcc_next + (uint64_t)(int64_t)ahead;
  if (index >= t->twcc_next) {
    if (index - t->twcc_base >= MT_TWCC_RING) t->twcc_base = t->twcc_next = index; /* a jump: begin anew */
    for (uint64_t i = t->twcc_next; i < index; i++) t->arrivals[i % MT_TWCC_RING] = -1;
    t->twcc_next = index + 1;
  } else if (index < t->twcc_base) {
    return; /* reported as lost already */
  }
  t->arrivals[index % MT_TWCC_RING] = t->core->now;
}

static void send_twcc(mt_transport *t) {
  uint8_t rtcp[1200];
  int64_t run[1024];
  uint32_t media = t->producers != NULL && t->producers->encodings[0].stream != NULL ? t->producers->encodings[0].stream->ssrc : 0;
  while (t->twcc_base < t->twcc_next) {
    unsigned n = 0;
    while (n < 1024 && t->twcc_base + n < t->twcc_next) {
      run[n] = t->arrivals[(t->twcc_base + n) % MT_TWCC_RING];
      n++;
    }
    unsigned consumed = 0;
    size_t len = mt_rtcp_write_twcc(rtcp, sizeof rtcp, t->own_ssrc, media, (uint16_t)t->twcc_base, run, n, t->twcc_count, &consumed);
    if (len == 0 || consumed == 0) { /* nothing of it has come */
      t->twcc_base += n;
      continue;
    }
    t->twcc_count++;
    t->twcc_base += consumed;
    mt_transport_send_rtcp(t, rtcp, len);
  }
}

/* ---- reports to publishers */

static uint32_t middle(uint64_t ntp) { return (uint32_t)(ntp >> 16); }

static mt_rtcp_report report_on(mt_stream *s) {
  mt_core *core = s->transport->core;
  uint64_t expected = s->highest - s->first + 1;
  int64_t lost = (int64_t)(expected - s->received);
  uint64_t expected_now = expected - s->expected_prior, received_now = s->received - s->received_prior;
  s->expected_prior = expected;
  s->received_prior = s->received;
  s->fraction_lost = expected_now == 0 || received_now >= expected_now ? 0 : (uint8_t)(((expected_now - received_now) * 255) / expected_now);
  uint8_t score = (uint8_t)(10 - (s->fraction_lost * 10 + 127) / 255);
  s->score = mt_stream_is_live(s) ? (score == 0 ? 1 : score) : 0;
  if (lost > 0x7fffff) lost = 0x7fffff;
  if (lost < 0) lost = 0;
  return (mt_rtcp_report){
      .ssrc = s->ssrc,
      .fraction_lost = s->fraction_lost,
      .total_lost = (int32_t)lost,
      .highest_sequence = (uint32_t)(s->highest - (1u << 16)),
      .jitter = (uint32_t)s->jitter,
      .last_sr = s->has_sr ? middle(s->sr_ntp) : 0,
      .delay_since_last_sr = s->has_sr ? (uint32_t)((core->now - s->sr_arrived) * 65536 / MT_SECOND) : 0,
  };
}

static void tell_scores(mt_producer *p, const uint8_t *before) {
  uint8_t scores[MT_MAX_ENCODINGS] = {0};
  for (unsigned i = 0; i < p->spec.encoding_count; i++) scores[i] = p->encodings[i].stream != NULL ? p->encodings[i].stream->score : 0;
  if (memcmp(scores, before, sizeof scores) != 0)
    mt_core_event_data(p->transport->core, MT_EVENT_PRODUCER_SCORE, p->id, scores, p->spec.encoding_count);
}

static void send_receiver_reports(mt_transport *t) {
  mt_rtcp_report reports[31];
  unsigned count = 0;
  uint8_t rtcp[1200];
  for (mt_producer *p = t->producers; p != NULL; p = p->next) {
    uint8_t before[MT_MAX_ENCODINGS] = {0};
    for (unsigned i = 0; i < p->spec.encoding_count; i++) {
      mt_stream *s = p->encodings[i].stream;
      if (s == NULL) continue;
      before[i] = s->score;
      s->bitrate = (uint32_t)(s->rate_bytes * 8);
      s->rate_bytes = 0;
      if (s->started && count < 31) reports[count++] = report_on(s);
    }
    tell_scores(p, before);
  }
  if (count > 0) mt_transport_send_rtcp(t, rtcp, mt_rtcp_write_rr(rtcp, sizeof rtcp, t->own_ssrc, reports, count));
}

void mt_feedback_tick(mt_transport *t) {
  mt_core *core = t->core;
  if (t->srtp == NULL) return;
  for (mt_producer *p = t->producers; p != NULL; p = p->next) {
    for (unsigned i = 0; i < p->spec.encoding_count; i++) {
      mt_stream *s = p->encodings[i].stream;
      if (s == NULL || !s->started) continue;
      if (s->missing_count > 0) ask_missing(s);
      if (p->keyframe_wanted) {
        p->keyframe_wanted = false;
        s->keyframe_wanted = true;
      }
      if (s->keyframe_wanted && !p->paused && mt_stream_is_live(s)) send_keyframe_request(s);
    }
  }
  if (t->twcc && t->twcc_base < t->twcc_next && core->now - t->twcc_sent >= MT_SECOND / 10) {
    t->twcc_sent = core->now;
    send_twcc(t);
  }
  if (core->now - t->rr_sent >= MT_SECOND) {
    t->rr_sent = core->now;
    send_receiver_reports(t);
  }
  if (t->remb && t->max_incoming > 0 && core->now - t->remb_sent >= MT_SECOND) {
    t->remb_sent = core->now;
    uint32_t ssrcs[32];
    unsigned count = 0;
    for (mt_producer *p = t->producers; p != NULL; p = p->next)
      for (unsigned i = 0; p->spec.remb && i < p->spec.encoding_count; i++)
        if (p->encodings[i].stream != NULL && p->encodings[i].stream->started && count < 32) ssrcs[count++] = p->encodings[i].stream->ssrc;
    uint8_t rtcp[256];
    if (count > 0) mt_transport_send_rtcp(t, rtcp, mt_rtcp_write_remb(rtcp, sizeof rtcp, t->own_ssrc, t->max_incoming, ssrcs, count));
  }
}

/* ---- what comes */

static mt_srtp_window *rtcp_window(mt_transport *t, uint32_t ssrc) {
  for (unsigned i = 0; i < t->rtcp_source_count; i++)
    if (t->rtcp_sources[i].ssrc == ssrc) return &t->rtcp_sources[i].window;
  return NULL;
}

/* A source's window is kept from its first authentic packet on. When there are too many sources, further ones are refused: forgetting a
 * window would open it for replays. */
static bool keep_rtcp_window(mt_transport *t, uint32_t ssrc, const mt_srtp_window *w) {
  if (t->rtcp_source_count == MT_MAX_RTCP_SOURCES) return false;
  void *more = realloc(t->rtcp_sources, (t->rtcp_source_count + 1) * sizeof *t->rtcp_sources);
  if (more == NULL) return false;
  t->rtcp_sources = more;
  t->rtcp_sources[t->rtcp_source_count].ssrc = ssrc;
  t->rtcp_sources[t->rtcp_source_count++].window = *w;
  return true;
}

static mt_consumer *consumer_of(mt_transport *t, uint32_t ssrc) {
  for (mt_consumer *c = t->consumers; c != NULL; c = c->next)
    if (c->spec.ssrc == ssrc || (c->spec.rtx_ssrc != 0 && c->spec.rtx_ssrc == ssrc)) return c;
  return NULL;
}

static mt_stream *stream_of(mt_transport *t, uint32_t ssrc) {
  return mt_map_get(&t->core->streams, t->core->seed, (uint64_t)t->id << 32 | ssrc);
}

static void viewer_report(mt_transport *t, const mt_rtcp_report *r) {
  mt_consumer *c = consumer_of(t, r->ssrc);
  if (c == NULL || r->ssrc != c->spec.ssrc) return;
  c->fraction_lost = r->fraction_lost;
  c->lost = r->total_lost;
  if (r->last_sr != 0) {
    uint32_t round = middle(t->core->ntp) - r->last_sr - r->delay_since_last_sr;
    if (round < 10u << 16) c->rtt_us = (uint32_t)((uint64_t)round * MT_SECOND / 65536);
  }
  uint8_t score = (uint8_t)(10 - (r->fraction_lost * 10 + 127) / 255);
  if (score == 0) score = 1;
  if (score != c->score && mt_core_event(t->core, MT_EVENT_CONSUMER_SCORE, c->id, score, 0)) c->score = score;
}

static void viewer_wants_keyframe(mt_transport *t, uint32_t ssrc) {
  mt_consumer *c = consumer_of(t, ssrc);
  if (c == NULL || c->producer == NULL || c->paused) return;
  c->plis++;
  int encoding = c->current >= 0 ? c->current : c->target;
  if (encoding >= 0) mt_want_keyframe(c->producer, (unsigned)encoding);
}

static void publisher_left(mt_transport *t, uint32_t ssrc) {
  mt_stream *s = stream_of(t, ssrc);
  if (s != NULL && s->started) s->last_arrival = t->core->now - 10 * MT_SECOND; /* not live from now on; the producer's end is a request's matter */
}

void mt_receive_rtcp(mt_transport *t, uint8_t *data, size_t len) {
  mt_core *core = t->core;
  if (len < 8) {
    core->drops.malformed++;
    return;
  }
  uint32_t source = mt_load32(data + 4);
  mt_srtp_window *known = rtcp_window(t, source), fresh = {0};
  switch (mt_srtcp_unprotect(t->srtp, known != NULL ? known : &fresh, data, len, &len)) {
    case MT_SRTP_OK: break;
    case MT_SRTP_REPLAYED: core->drops.srtp_replayed++; return;
    default: core->drops.srtp_refused++; return;
  }
  if (known == NULL && !keep_rtcp_window(t, source, &fresh)) return;
  size_t offset = 0;
  mt_rtcp_packet p;
  while (mt_rtcp_next_untrusted(data, len, &offset, &p)) {
    mt_rtcp_sender_info info;
    mt_rtcp_report report;
    uint32_t from, media, ssrc;
    uint16_t pid, blp;
    uint8_t sequence;
    if (p.type == MT_RTCP_SR && mt_rtcp_read_sender_info(&p, &info)) {
      mt_stream *s = stream_of(t, info.ssrc);
      if (s != NULL) {
        s->has_sr = true;
        s->sr_ntp = info.ntp;
        s->sr_timestamp = info.rtp_timestamp;
        s->sr_arrived = core->now;
      }
    }
    if (p.type == MT_RTCP_SR || p.type == MT_RTCP_RR)
      for (unsigned i = 0; mt_rtcp_read_report(&p, i, &report); i++) viewer_report(t, &report);
    if (p.type == MT_RTCP_BYE)
      for (unsigned i = 0; mt_rtcp_read_bye(&p, i, &ssrc); i++) publisher_left(t, ssrc);
    if ((p.type == MT_RTCP_RTPFB || p.type == MT_RTCP_PSFB) && mt_rtcp_read_feedback(&p, &from, &media)) {
      if (p.type == MT_RTCP_RTPFB && p.count == MT_RTPFB_NACK) {
        mt_consumer *c = consumer_of(t, media);
        for (unsigned i = 0; c != NULL && mt_rtcp_read_nack(&p, i, &pid, &blp); i++) mt_consumer_nack(c, pid, blp);
      } else if (p.type == MT_RTCP_PSFB && p.count == MT_PSFB_PLI)
        viewer_wants_keyframe(t, media);
      else if (p.type == MT_RTCP_PSFB && p.count == MT_PSFB_FIR)
        for (unsigned i = 0; mt_rtcp_read_fir(&p, i, &ssrc, &sequence); i++) viewer_wants_keyframe(t, ssrc);
    }
  }
}
