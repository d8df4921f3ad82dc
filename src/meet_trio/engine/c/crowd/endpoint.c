/* See endpoint.h. */
#include "crowd/endpoint.h"

#include "base/list.h"
#include "base/sequence.h"
#include "formats/stun.h"

#include <stdlib.h>
#include <string.h>

enum {
  FIRST_CHECK_US = 50 * MT_MS,
  LONGEST_CHECK_US = 1000 * MT_MS,
  CONSENT_US = 2500 * MT_MS,
  REPORT_US = MT_SECOND,
  FEEDBACK_US = 100 * MT_MS,
  MAX_RTCP = 1200, /* bytes */
  MAX_REPORTS = 31,
  MAX_REPEATED = 64, /* retransmissions for one NACK packet */
  FIRST_SLOTS = 16,
  FIRST_CYCLE = 0x10000, /* extended numbers begin one roll-over above 0 */
  STUN_SUCCESS = 0x0101,
  TRANSACTION_AT = 8,
  NTP_UNIX = 2208988800u, /* seconds from 1900 to 1970; only differences count */
  PROBING_SSRC = 1234,    /* mediasoup's stream of padding that tries a viewer's link; signaling does not tell of it */
};

mt_endpoint *mt_endpoint_new(const mt_endpoint_spec *spec, const mt_endpoint_sink *sink, mt_crowd_totals *totals, int64_t now) {
  mt_endpoint *e = calloc(1, sizeof *e);
  if (!e) return NULL;
  e->spec = *spec;
  e->sink = sink;
  e->totals = totals;
  e->check_due = now;
  e->check_wait = FIRST_CHECK_US;
  if (!spec->check_len) e->srtp = mt_srtp_new_null();
  if (spec->transport_cc_id) e->arrivals = malloc(MT_ARRIVALS * sizeof *e->arrivals);
  /* endpoints report at different times */
  e->report_due = now + (int64_t)(mt_hash64(spec->id) % REPORT_US);
  e->feedback_due = now + (int64_t)(mt_hash64(spec->id) % FEEDBACK_US);
  bool ok = mt_table_init(&e->by_ssrc, FIRST_SLOTS) && (spec->check_len || e->srtp) && (!spec->transport_cc_id || e->arrivals);
  totals->endpoints++;
  if (ok) return e;
  mt_endpoint_free(e);
  return NULL;
}

void mt_endpoint_free(mt_endpoint *e) {
  if (!e) return;
  for (mt_feed *s = e->feeds; s;) {
    mt_feed *next = s->next;
    mt_feed_free(s);
    s = next;
  }
  for (mt_viewed *v = e->viewed; v;) {
    mt_viewed *next = v->next;
    free(v);
    v = next;
  }
  mt_table_free(&e->by_ssrc);
  mt_srtp_free(e->srtp);
  free(e->arrivals);
  e->totals->endpoints--;
  free(e);
}

bool mt_endpoint_set_keys(mt_endpoint *e, uint32_t profile, const uint8_t *tx, const uint8_t *rx) {
  mt_srtp *srtp = mt_srtp_new((mt_srtp_profile)profile, mt_aead_fastest(), tx, rx);
  if (!srtp) return false;
  mt_srtp_free(e->srtp);
  e->srtp = srtp;
  return true;
}

void mt_endpoint_add_feed(mt_endpoint *e, mt_feed *s) {
  s->owner = e;
  s->next = e->feeds;
  e->feeds = s;
}

static void count_unknown(mt_endpoint *e, uint32_t ssrc) {
  unsigned i = 0;
  e->totals->unknown_ssrc++;
  while (i < e->unknown_count && e->unknown[i].ssrc != ssrc) i++;
  if (i == MT_UNKNOWN) return;
  if (i == e->unknown_count) {
    e->unknown_count++;
    e->unknown[i].ssrc = ssrc;
    e->unknown[i].packets = 0;
  }
  e->unknown[i].packets++;
}

/* The SSRC's stream is known now: its packets so far were early. */
static void becomes_known(mt_endpoint *e, uint32_t ssrc) {
  for (unsigned i = 0; i < e->unknown_count; i++) {
    if (e->unknown[i].ssrc != ssrc) continue;
    e->totals->unknown_ssrc -= e->unknown[i].packets;
    e->totals->early += e->unknown[i].packets;
    e->unknown[i] = e->unknown[--e->unknown_count];
    return;
  }
}

bool mt_endpoint_add_viewed(mt_endpoint *e, const mt_viewed_spec *spec) {
  mt_viewed *v = calloc(1, sizeof *v);
  if (!v) return false;
  v->spec = *spec;
  v->next = e->viewed;
  e->viewed = v;
  v->key.viewed = v->rtx_key.viewed = v;
  mt_table_insert(&e->by_ssrc, &v->key.node, mt_hash64(spec->ssrc));
  if (spec->rtx_ssrc) mt_table_insert(&e->by_ssrc, &v->rtx_key.node, mt_hash64(spec->rtx_ssrc));
  becomes_known(e, spec->ssrc);
  if (spec->rtx_ssrc) becomes_known(e, spec->rtx_ssrc);
  e->totals->streams++;
  e->totals->silent_streams++;
  return true;
}

static mt_viewed *find_viewed(const mt_endpoint *e, uint32_t ssrc) {
  mt_node *node = mt_table_first(&e->by_ssrc, mt_hash64(ssrc)); /* the hash is a bijection */
  return node ? MT_OF(node, mt_viewed_key, node)->viewed : NULL;
}

/* ---- sending ---- */

static void send_rtcp(mt_endpoint *e, uint8_t *p, size_t n, size_t cap) {
  if (!n || !e->srtp) return;
  size_t len = mt_srtcp_protect(e->srtp, e->rtcp_index++, p, n, cap);
  if (!len) return;
  e->sink->send(e->sink->context, e->spec.id, true, p, len);
  e->totals->reports_sent++;
}

void mt_endpoint_send_frame(mt_endpoint *e, mt_feed *s, int64_t now) {
  if (!e->srtp) { /* it cannot be sent yet */
    s->due += s->spec.interval_us;
    return;
  }
  unsigned count = mt_feed_begin(s);
  for (unsigned i = 0; i < count; i++) {
    uint8_t out[MT_DATAGRAM_MAX];
    size_t header_len;
    uint64_t index;
    uint16_t number = s->spec.ext_ids[MT_EXT_TRANSPORT_CC] ? e->transport_number++ : 0;
    size_t len = mt_feed_write(s, i, now, number, out, &header_len, &index);
    e->totals->sent_packets++;
    e->totals->sent_bytes += len;
    len = mt_srtp_protect(e->srtp, index, out, header_len, len - header_len, NULL, 0);
    if (len) e->sink->send(e->sink->context, e->spec.id, false, out, len);
  }
  e->totals->sent_frames++;
  if (s->is_keyframe) e->totals->sent_keyframes++;
}

static void repeat(mt_endpoint *e, mt_feed *s, uint16_t sequence, int64_t now) {
  uint8_t out[MT_DATAGRAM_MAX];
  size_t header_len;
  uint64_t index;
  uint16_t number = s->spec.ext_ids[MT_EXT_TRANSPORT_CC] ? e->transport_number : 0;
  size_t len = mt_feed_repeat(s, sequence, now, number, out, &header_len, &index);
  if (!len) return;
  if (s->spec.ext_ids[MT_EXT_TRANSPORT_CC]) e->transport_number++;
  len = mt_srtp_protect(e->srtp, index, out, header_len, len - header_len, NULL, 0);
  if (!len) return;
  e->sink->send(e->sink->context, e->spec.id, false, out, len);
  e->totals->repeated_packets++;
}

/* ---- receiving ---- */

static void take_stun(mt_endpoint *e, int64_t now, const uint8_t *p, size_t n) {
  mt_stun m;
  if (!mt_stun_parse_untrusted(p, n, &m)) {
    e->totals->malformed++;
    return;
  }
  bool mine = e->spec.check_len && memcmp(m.transaction, e->spec.check + TRANSACTION_AT, sizeof m.transaction) == 0;
  if (m.type != STUN_SUCCESS || !mine || e->answered) return;
  e->answered = true;
  e->check_due = now + CONSENT_US;
  e->sink->event(e->sink->context, MT_ENDPOINT_ANSWERED, e->spec.id, 0, now, NULL, 0);
}

/* Notes when a transport-wide number came. */
static void note_arrival(mt_endpoint *e, uint16_t number, uint32_t ssrc, int64_t arrived) {
  e->feedback_ssrc = ssrc;
  if (!e->has_arrivals) {
    e->has_arrivals = true;
    e->arrivals_next = e->arrivals_end = FIRST_CYCLE + number;
  }
  uint64_t sequence = mt_sequence_extend(e->arrivals_end - 1, number);
  if (sequence < e->arrivals_next) return; /* it was reported as lost */
  if (sequence >= e->arrivals_end) {
    uint64_t end = sequence + 1;
    if (end - e->arrivals_next > MT_ARRIVALS) e->arrivals_next = end - MT_ARRIVALS;
    uint64_t from = e->arrivals_end > e->arrivals_next ? e->arrivals_end : e->arrivals_next;
    for (uint64_t i = from; i < end; i++) e->arrivals[i % MT_ARRIVALS] = -1;
    e->arrivals_end = end;
  }
  e->arrivals[sequence % MT_ARRIVALS] = arrived;
}

/* Of a packet that is authentic. */
static void note_number(mt_endpoint *e, const mt_rtp *h, const uint8_t *p, int64_t now) {
  const mt_rtp_ext *ext = e->arrivals ? mt_rtp_find_ext(h, e->spec.transport_cc_id) : NULL;
  if (ext && ext->len == 2) note_arrival(e, mt_load16(p + ext->offset), h->ssrc, now);
}

static void take_probe(mt_endpoint *e, const mt_rtp *h, uint8_t *p, size_t n, int64_t now) {
  size_t len;
  uint64_t index;
  if (!e->srtp) return;
  mt_srtp_status status = mt_srtp_unprotect(e->srtp, &e->probing_window, p, n, h->header_len, &len, &index);
  if (status == MT_SRTP_REPLAYED) e->totals->duplicates++;
  else if (status != MT_SRTP_OK) e->totals->unauthentic++;
  else e->totals->probes++;
  if (status == MT_SRTP_OK) note_number(e, h, p, now);
}

static void take_rtp(mt_endpoint *e, int64_t now, uint8_t *p, size_t n) {
  mt_rtp h;
  if (!mt_rtp_parse_untrusted(p, n, &h)) {
    e->totals->malformed++;
    return;
  }
  mt_viewed *v = find_viewed(e, h.ssrc);
  if (!v) {
    if (h.ssrc == PROBING_SSRC) take_probe(e, &h, p, n, now);
    else count_unknown(e, h.ssrc);
    return;
  }
  if (!e->srtp) return;
  mt_viewed_result result = mt_viewed_take(v, e->srtp, e->totals, p, n, &h, now);
  if (result == MT_VIEWED_REFUSED) return;
  if (result == MT_VIEWED_BEGUN) {
    e->totals->silent_streams--;
    e->sink->event(e->sink->context, MT_ENDPOINT_FIRST, e->spec.id, h.ssrc, now, NULL, 0);
  }
  note_number(e, &h, p, now);
}

static void take_nack(mt_endpoint *e, mt_feed *s, const mt_rtcp_packet *packet, int64_t now) {
  uint16_t pid, blp;
  unsigned done = 0;
  for (unsigned i = 0; done < MAX_REPEATED && mt_rtcp_read_nack(packet, i, &pid, &blp); i++) {
    for (unsigned bit = 0; bit <= 16 && done < MAX_REPEATED; bit++) {
      if (bit > 0 && !(blp >> (bit - 1) & 1)) continue;
      e->totals->nacks_received++;
      repeat(e, s, (uint16_t)(pid + bit), now);
      done++;
    }
  }
}

static void want_keyframe(mt_endpoint *e, mt_feed *s) {
  e->totals->keyframe_requests++;
  s->keyframe_wanted = s->spec.video;
}

static void take_rtcp_packet(mt_endpoint *e, const mt_rtcp_packet *packet, int64_t now) {
  uint32_t sender, media, ssrc;
  uint8_t number;
  mt_rtcp_sender_info info;
  if (mt_rtcp_read_sender_info(packet, &info)) {
    mt_viewed *v = find_viewed(e, info.ssrc);
    if (v && v->spec.ssrc == info.ssrc) mt_viewed_sender_report(v, &info, now);
    return;
  }
  if (!mt_rtcp_read_feedback(packet, &sender, &media)) return;
  for (mt_feed *s = e->feeds; s; s = s->next) {
    if (packet->type == MT_RTCP_RTPFB && packet->count == MT_RTPFB_NACK && media == s->spec.ssrc) take_nack(e, s, packet, now);
    if (packet->type == MT_RTCP_PSFB && packet->count == MT_PSFB_PLI && media == s->spec.ssrc) want_keyframe(e, s);
    for (unsigned i = 0; packet->count == MT_PSFB_FIR && mt_rtcp_read_fir(packet, i, &ssrc, &number); i++)
      if (ssrc == s->spec.ssrc) want_keyframe(e, s);
  }
}

static void take_rtcp(mt_endpoint *e, int64_t now, uint8_t *p, size_t n) {
  mt_srtp_window any = {0}; /* a repeated report does no harm here */
  size_t len, offset = 0;
  mt_rtcp_packet packet;
  if (!e->srtp) return;
  if (mt_srtcp_unprotect(e->srtp, &any, p, n, &len) != MT_SRTP_OK) {
    e->totals->unauthentic++;
    return;
  }
  e->totals->rtcp_received++;
  while (mt_rtcp_next_untrusted(p, len, &offset, &packet)) take_rtcp_packet(e, &packet, now);
}

void mt_endpoint_take(mt_endpoint *e, int64_t now, uint8_t *p, size_t n) {
  if (n < 2) e->totals->malformed++;
  else if (mt_is_rtp_or_rtcp(p, n) && mt_is_rtcp(p, n)) take_rtcp(e, now, p, n);
  else if (mt_is_rtp_or_rtcp(p, n)) take_rtp(e, now, p, n);
  else if (p[0] < 4) take_stun(e, now, p, n);
  else if (p[0] >= 20 && p[0] < 64) e->sink->event(e->sink->context, MT_ENDPOINT_DTLS, e->spec.id, 0, now, p, n);
  else e->totals->malformed++;
}

/* ---- rounds ---- */

static void check(mt_endpoint *e, int64_t now) {
  if (!e->spec.check_len || now < e->check_due) return;
  e->sink->send(e->sink->context, e->spec.id, false, e->spec.check, e->spec.check_len);
  if (e->answered) {
    e->check_due = now + CONSENT_US;
    return;
  }
  e->check_due = now + e->check_wait;
  e->check_wait = e->check_wait * 2 > LONGEST_CHECK_US ? LONGEST_CHECK_US : e->check_wait * 2;
}

/* An SR and its SDES for each feed that has sent something. */
static void report_feeds(mt_endpoint *e, int64_t now) {
  for (mt_feed *s = e->feeds; s; s = s->next) {
    if (!s->next_number || now < s->report_due) continue;
    s->report_due = now + REPORT_US;
    uint8_t out[MAX_RTCP];
    mt_rtcp_sender_info info = {
        .ssrc = s->spec.ssrc,
        .ntp = ((uint64_t)NTP_UNIX << 32) + (uint64_t)(((unsigned __int128)now << 32) / MT_SECOND),
        .rtp_timestamp = s->timestamp,
        .packets = s->next_number,
        .octets = s->octets,
    };
    size_t n = mt_rtcp_write_sr(out, sizeof out - MT_SRTCP_MAX_OVERHEAD, &info, NULL, 0);
    n += mt_rtcp_write_sdes_cname(out + n, sizeof out - MT_SRTCP_MAX_OVERHEAD - n, s->spec.ssrc, s->spec.cname.text,
                                  s->spec.cname.len);
    send_rtcp(e, out, n, sizeof out);
  }
}

static void send_reports(mt_endpoint *e, const mt_rtcp_report *reports, unsigned count) {
  uint8_t out[MAX_RTCP];
  if (!count) return;
  size_t n = mt_rtcp_write_rr(out, sizeof out - MT_SRTCP_MAX_OVERHEAD, e->spec.ssrc, reports, count);
  send_rtcp(e, out, n, sizeof out);
}

static void report_viewed(mt_endpoint *e, int64_t now) {
  mt_rtcp_report reports[MAX_REPORTS];
  unsigned count = 0;
  if (now < e->report_due) return;
  e->report_due = now + REPORT_US;
  for (mt_viewed *v = e->viewed; v; v = v->next) {
    if (mt_viewed_report(v, now, &reports[count])) count++;
    if (count < MAX_REPORTS) continue;
    send_reports(e, reports, count);
    count = 0;
  }
  send_reports(e, reports, count);
}

static void ask_for_missing(mt_endpoint *e, int64_t now) {
  for (mt_viewed *v = e->viewed; v; v = v->next) {
    uint16_t numbers[MT_VIEWED_MISSING];
    uint8_t out[MAX_RTCP];
    unsigned count = v->missing_count ? mt_viewed_nacks(v, now, numbers) : 0;
    if (!count) continue;
    size_t n = mt_rtcp_write_nack(out, sizeof out - MT_SRTCP_MAX_OVERHEAD, e->spec.ssrc, v->spec.ssrc, numbers, count);
    send_rtcp(e, out, n, sizeof out);
    e->totals->nacks_sent += count;
  }
}

static void send_feedback(mt_endpoint *e, int64_t now) {
  if (!e->has_arrivals || e->arrivals_next >= e->arrivals_end) return;
  if (now < e->feedback_due && e->arrivals_end - e->arrivals_next < MT_ARRIVALS / 2) return;
  e->feedback_due = now + FEEDBACK_US;
  while (e->arrivals_next < e->arrivals_end) {
    int64_t arrivals[MT_ARRIVALS];
    uint8_t out[MAX_RTCP];
    unsigned count = 0, consumed = 0;
    for (uint64_t i = e->arrivals_next; i < e->arrivals_end; i++) arrivals[count++] = e->arrivals[i % MT_ARRIVALS];
    size_t n = mt_rtcp_write_twcc(out, sizeof out - MT_SRTCP_MAX_OVERHEAD, e->spec.ssrc, e->feedback_ssrc,
                                  (uint16_t)e->arrivals_next, arrivals, count, e->feedback_count, &consumed);
    if (!n || !consumed) { /* a gap that is too long for one report */
      e->arrivals_next++;
      continue;
    }
    e->feedback_count++;
    e->arrivals_next += consumed;
    e->totals->feedback_sent++;
    send_rtcp(e, out, n, sizeof out);
  }
}

void mt_endpoint_round(mt_endpoint *e, int64_t now) {
  check(e, now);
  if (!e->srtp) return;
  report_feeds(e, now);
  if (!e->viewed) return;
  ask_for_missing(e, now);
  send_feedback(e, now);
  report_viewed(e, now);
}
