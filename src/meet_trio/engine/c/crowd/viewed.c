/* See viewed.h. */
#include "crowd/viewed.h"

#include "crowd/label.h"

#include <string.h>

enum { JITTER_SHARE = 16 /* RFC 3550 section 6.4.1 */, MAX_LOST = 0x7fffff, OSN = 2 /* bytes (RFC 4588 section 4) */ };

/* ---- the numbers that have come: the replay window of the stream, which retransmissions fill too ---- */

static bool has_come(const mt_srtp_window *w, uint64_t index) {
  if (!w->started || index > w->highest) return false;
  if (w->highest - index >= MT_SRTP_WINDOW_BITS) return true; /* too old to know */
  return w->bits[index % MT_SRTP_WINDOW_BITS / 64] >> (index % 64) & 1;
}

static void drop_missing(mt_viewed *v, uint64_t index) {
  unsigned kept = 0;
  for (unsigned i = 0; i < v->missing_count; i++)
    if (v->missing[i].index != index) v->missing[kept++] = v->missing[i];
  v->missing_count = kept;
}

/* The numbers from `from` to before `end` have not come. Of many the newest are asked for. */
static void add_missing(mt_viewed *v, uint64_t from, uint64_t end) {
  if (!v->spec.nack) return;
  if (end - from > MT_VIEWED_MISSING) from = end - MT_VIEWED_MISSING;
  unsigned count = (unsigned)(end - from), room = MT_VIEWED_MISSING - count;
  if (v->missing_count > room) {
    memmove(v->missing, v->missing + v->missing_count - room, room * sizeof *v->missing);
    v->missing_count = room;
  }
  for (uint64_t i = from; i < end; i++) v->missing[v->missing_count++] = (mt_missing_number){.index = i};
}

static mt_asked_number *find_asked(mt_viewed *v, uint64_t index) {
  for (unsigned i = 0; i < MT_VIEWED_MISSING; i++)
    if (v->asked[i].copies && v->asked[i].index == index) return &v->asked[i];
  return NULL;
}

static void note_asked(mt_viewed *v, uint64_t index) {
  mt_asked_number *a = find_asked(v, index);
  if (!a) {
    a = &v->asked[v->next_asked++ % MT_VIEWED_MISSING];
    *a = (mt_asked_number){.index = index};
  }
  a->copies++; /* at most MT_VIEWED_NACK_TRIES */
}

/* The index of this number that is nearest to the highest one. */
static uint64_t nearest(const mt_viewed *v, uint16_t sequence) {
  return v->window.highest + (uint64_t)(int64_t)(int16_t)(uint16_t)(sequence - (uint16_t)v->window.highest);
}

/* A number has come for the second time. */
static void count_again(mt_viewed *v, mt_crowd_totals *totals, uint16_t sequence) {
  mt_asked_number *a = find_asked(v, nearest(v, sequence));
  if (!a) {
    totals->duplicates++;
    return;
  }
  a->copies--;
  totals->repeated_as_asked++;
}

static void count_jitter(mt_viewed *v, const mt_rtp *h, int64_t arrived) {
  int64_t transit = arrived * v->spec.clock_rate / MT_SECOND - h->timestamp;
  if (v->has_transit) {
    int32_t d = (int32_t)(uint32_t)(uint64_t)(transit - v->transit);
    v->jitter += ((d < 0 ? -(double)d : d) - v->jitter) / JITTER_SHARE;
  }
  v->transit = transit;
  v->has_transit = true;
}

/* Looks at the payload of a packet that has come for the first time. */
static void check_label(mt_viewed *v, mt_crowd_totals *totals, const uint8_t *payload, size_t n, uint64_t index, int64_t arrived,
                        bool repeated) {
  mt_label label;
  if (!mt_label_read_untrusted(payload, n, v->spec.video, &label)) {
    totals->unlabelled++;
    return;
  }
  if ((label.feed ^ v->spec.feed) & ~(uint32_t)MT_VIEWED_LAYERS) {
    totals->wrong_feed++;
    return;
  }
  if (repeated) return; /* its delay is that of the loss */
  mt_histogram_add(&totals->delay, arrived - label.sent);
  uint32_t distance = label.number - (uint32_t)index;
  int32_t left_out = (int32_t)(distance - v->distance);
  bool goes_on = v->has_label && label.feed == v->labelled_feed;
  /* a packet that comes late has an older distance */
  if (goes_on && left_out < 0) return;
  if (goes_on) totals->left_out_packets += (uint32_t)left_out;
  v->has_label = true;
  v->labelled_feed = label.feed;
  v->distance = distance;
}

static void count_new(mt_viewed *v, mt_crowd_totals *totals, size_t n) {
  v->received++;
  totals->received_packets++;
  totals->received_bytes += n;
}

static mt_viewed_result take_repeated(mt_viewed *v, mt_srtp *srtp, mt_crowd_totals *totals, uint8_t *p, size_t n, const mt_rtp *h,
                                      int64_t arrived) {
  size_t len, payload_len;
  uint64_t index;
  mt_srtp_status status = mt_srtp_unprotect(srtp, &v->rtx_window, p, n, h->header_len, &len, &index);
  if (status == MT_SRTP_REPLAYED) totals->duplicates++;
  else if (status != MT_SRTP_OK) totals->unauthentic++;
  if (status != MT_SRTP_OK) return MT_VIEWED_REFUSED;
  if (!mt_rtp_payload_untrusted(p, len, h, &payload_len)) {
    totals->malformed++;
    return MT_VIEWED_REFUSED;
  }
  uint16_t sequence = payload_len > OSN ? mt_load16(p + h->header_len) : 0;
  uint64_t original = nearest(v, sequence);
  if (payload_len <= OSN || !v->window.started || original > v->window.highest || original < v->first ||
      has_come(&v->window, original)) {
    totals->redundant++;
    return MT_VIEWED_TAKEN;
  }
  v->window.bits[original % MT_SRTP_WINDOW_BITS / 64] |= UINT64_C(1) << (original % 64);
  drop_missing(v, original);
  count_new(v, totals, len);
  totals->recovered++;
  check_label(v, totals, p + h->header_len + OSN, payload_len - OSN, original, arrived, true);
  return MT_VIEWED_TAKEN;
}

mt_viewed_result mt_viewed_take(mt_viewed *v, mt_srtp *srtp, mt_crowd_totals *totals, uint8_t *p, size_t n, const mt_rtp *h,
                                int64_t arrived) {
  if (h->ssrc != v->spec.ssrc) return take_repeated(v, srtp, totals, p, n, h, arrived);
  bool begins = !v->window.started;
  uint64_t before = v->window.highest, index;
  size_t len, payload_len;
  mt_srtp_status status = mt_srtp_unprotect(srtp, &v->window, p, n, h->header_len, &len, &index);
  if (status == MT_SRTP_REPLAYED) count_again(v, totals, mt_load16(p + 2));
  else if (status != MT_SRTP_OK) totals->unauthentic++;
  if (status != MT_SRTP_OK) return MT_VIEWED_REFUSED;
  if (begins || index < v->first) v->first = index;
  else if (index > before + 1) add_missing(v, before + 1, index);
  if (!begins && index < before) {
    totals->late++;
    drop_missing(v, index);
  }
  count_new(v, totals, len);
  count_jitter(v, h, arrived);
  if (!mt_rtp_payload_untrusted(p, len, h, &payload_len)) totals->malformed++;
  else if (payload_len) check_label(v, totals, p + h->header_len, payload_len, index, arrived, false);
  return begins ? MT_VIEWED_BEGUN : MT_VIEWED_TAKEN;
}

uint64_t mt_viewed_lost(const mt_viewed *v) {
  uint64_t expected = v->window.started ? v->window.highest - v->first + 1 : 0;
  return expected > v->received ? expected - v->received : 0;
}

unsigned mt_viewed_nacks(mt_viewed *v, int64_t now, uint16_t out[MT_VIEWED_MISSING]) {
  unsigned kept = 0, count = 0;
  for (unsigned i = 0; i < v->missing_count; i++) {
    mt_missing_number m = v->missing[i];
    if (m.tries >= MT_VIEWED_NACK_TRIES) continue;
    if (!m.asked || now - m.asked >= MT_VIEWED_NACK_US) {
      m.asked = now;
      m.tries++;
      out[count++] = (uint16_t)m.index;
      if (!v->spec.rtx_ssrc) note_asked(v, m.index);
    }
    v->missing[kept++] = m;
  }
  v->missing_count = kept;
  return count;
}

void mt_viewed_sender_report(mt_viewed *v, const mt_rtcp_sender_info *info, int64_t now) {
  v->last_sr = (uint32_t)(info->ntp >> 16);
  v->last_sr_came = now;
}

bool mt_viewed_report(mt_viewed *v, int64_t now, mt_rtcp_report *out) {
  if (!v->window.started) return false;
  uint64_t highest = v->window.highest, expected = highest - v->reported_highest, came = v->received - v->reported_received;
  if (!v->reported_highest) expected = highest - v->first + 1;
  uint64_t lost = mt_viewed_lost(v);
  *out = (mt_rtcp_report){
      .ssrc = v->spec.ssrc,
      .fraction_lost = expected > came ? (uint8_t)((expected - came) * 255 / expected) : 0,
      .total_lost = (int32_t)(lost > MAX_LOST ? MAX_LOST : lost),
      .highest_sequence = (uint32_t)highest,
      .jitter = (uint32_t)v->jitter,
      .last_sr = v->last_sr,
      .delay_since_last_sr = v->last_sr_came ? (uint32_t)((now - v->last_sr_came) * 65536 / MT_SECOND) : 0,
  };
  v->reported_highest = highest;
  v->reported_received = v->received;
  return true;
}
