/* Incoming RTP: which stream is it, is it authentic, is it new; then into the history and on to the consumers.
 *
 * A stream is found by its SSRC. One that is not known yet is looked for by what its first packets carry: MID and RID (RFC 8843, RFC 8852), the
 * repaired RID of an RTX stream, or a producer's only encoding with that payload type. Nothing is remembered of an SSRC that fits nothing:
 * media often comes before the request that announces it.
 *
 * RTX (RFC 4588): a packet is taken if it fills a gap. Most of what a browser sends as RTX is bandwidth probing with old packets; that is dropped.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static uint64_t stream_key(const mt_transport *t, uint32_t ssrc) { return (uint64_t)t->id << 32 | ssrc; }

static mt_stream *stream_add(mt_producer *p, unsigned encoding, uint32_t ssrc, bool is_rtx) {
  mt_transport *t = p->transport;
  mt_core *core = t->core;
  mt_encoding *e = &p->encodings[encoding];
  if (core->streams.count >= core->settings.max_streams) return NULL;
  mt_stream *s = calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  s->transport = t;
  s->producer = p;
  s->encoding = encoding;
  s->ssrc = ssrc;
  s->is_rtx = is_rtx;
  if (!is_rtx) {
    unsigned n = p->spec.audio ? core->settings.audio_history : core->settings.video_history;
    s->history = calloc(n, sizeof *s->history);
    s->history_mask = n - 1;
  }
  if ((!is_rtx && s->history == NULL) || !mt_map_put(&core->streams, core->seed, stream_key(t, ssrc), s)) {
    free(s->history);
    free(s);
    core->drops.no_memory++;
    return NULL;
  }
  /* a publisher that restarts an encoding with another SSRC */
  if (is_rtx) {
    if (e->rtx != NULL) mt_stream_remove(e->rtx);
    e->rtx = s;
  } else {
    if (e->stream != NULL) mt_stream_remove(e->stream);
    e->stream = s;
  }
  if (e->rtx != NULL) e->rtx->repairs = e->stream;
  return s;
}

void mt_stream_remove(mt_stream *s) {
  mt_core *core = s->transport->core;
  mt_encoding *e = &s->producer->encodings[s->encoding];
  if (e->stream == s) {
    e->stream = NULL;
    if (e->rtx != NULL) e->rtx->repairs = NULL;
    for (mt_consumer *c = s->producer->consumers; c != NULL; c = c->next_of_producer) mt_consumer_lost_stream(c, s->encoding);
  }
  if (e->rtx == s) e->rtx = NULL;
  mt_map_remove(&core->streams, core->seed, stream_key(s->transport, s->ssrc));
  free(s->history);
  free(s);
}

bool mt_stream_is_live(const mt_stream *s) { return s != NULL && s->started && s->transport->core->now - s->last_arrival < MT_SECOND; }

void mt_producer_add(mt_transport *t, uint32_t id, const mt_producer_spec *spec) {
  mt_core *core = t->core;
  mt_producer *p = calloc(1, sizeof *p);
  if (p == NULL || mt_map_get(&core->producers, core->seed, id) != NULL || !mt_map_put(&core->producers, core->seed, id, p)) {
    free(p);
    core->drops.no_memory++;
    return;
  }
  p->id = id;
  p->transport = t;
  p->spec = *spec;
  p->paused = spec->paused;
  p->next = t->producers;
  t->producers = p;
  /* one BUNDLE, one set of ids (RFC 8843 §9.2) */
  for (int i = 0; i < MT_EXT_COUNT; i++)
    if (spec->ext_ids[i] != 0) t->ext_ids[i] = spec->ext_ids[i];
  if (spec->transport_cc && spec->ext_ids[MT_EXT_TRANSPORT_CC] != 0 && !t->twcc) {
    t->arrivals = malloc(MT_TWCC_RING * sizeof *t->arrivals);
    t->twcc = t->arrivals != NULL;
  }
  t->remb |= spec->remb;
  for (unsigned i = 0; i < spec->encoding_count; i++) {
    if (spec->encodings[i].ssrc != 0 && mt_map_get(&core->streams, core->seed, stream_key(t, spec->encodings[i].ssrc)) == NULL)
      stream_add(p, i, spec->encodings[i].ssrc, false);
    if (spec->encodings[i].rtx_ssrc != 0 && mt_map_get(&core->streams, core->seed, stream_key(t, spec->encodings[i].rtx_ssrc)) == NULL)
      stream_add(p, i, spec->encodings[i].rtx_ssrc, true);
  }
}

void mt_producer_remove(mt_producer *p) {
  mt_core *core = p->transport->core;
  while (p->consumers != NULL) mt_consumer_lost_producer(p->consumers);
  for (unsigned i = 0; i < MT_MAX_ENCODINGS; i++) {
    if (p->encodings[i].rtx != NULL) mt_stream_remove(p->encodings[i].rtx);
    if (p->encodings[i].stream != NULL) mt_stream_remove(p->encodings[i].stream);
  }
  for (mt_producer **at = &p->transport->producers; *at != NULL; at = &(*at)->next)
    if (*at == p) {
      *at = p->next;
      break;
    }
  mt_map_remove(&core->producers, core->seed, p->id);
  free(p);
}

static bool ext_is(const uint8_t *data, const mt_rtp_ext *e, const char *text) {
  size_t n = e->len;
  while (n > 0 && data[e->offset + n - 1] == 0) n--; /* libwebrtc pads */
  return strlen(text) == n && memcmp(data + e->offset, text, n) == 0;
}

static const mt_rtp_ext *ext_of(const mt_transport *t, const mt_rtp *h, mt_ext ext) {
  return t->ext_ids[ext] == 0 ? NULL : mt_rtp_find_ext(h, t->ext_ids[ext]);
}

/* An SSRC that is not known: whose is it? NULL if nobody's (yet). Called for authentic packets only. */
static mt_stream *stream_discover(mt_transport *t, const uint8_t *data, const mt_rtp *h) {
  const mt_rtp_ext *mid = ext_of(t, h, MT_EXT_MID), *rid = ext_of(t, h, MT_EXT_RID), *repaired = ext_of(t, h, MT_EXT_REPAIRED_RID);
  mt_producer *fitting = NULL;
  unsigned fits = 0;
  for (mt_producer *p = t->producers; p != NULL; p = p->next) {
    bool is_rtx = p->spec.rtx_payload_type != 0 && h->payload_type == p->spec.rtx_payload_type;
    if (!is_rtx && h->payload_type != p->spec.payload_type) continue;
    if (mid != NULL && p->spec.mid[0] != 0 && !ext_is(data, mid, p->spec.mid)) continue;
    const mt_rtp_ext *name = is_rtx && repaired != NULL ? repaired : rid;
    if (name != NULL) {
      if (mid == NULL) continue;
      for (unsigned i = 0; i < p->spec.encoding_count; i++)
        if (p->spec.encodings[i].rid[0] != 0 && ext_is(data, name, p->spec.encodings[i].rid)) return stream_add(p, i, h->ssrc, is_rtx);
      continue;
    }
    if (p->spec.encoding_count != 1) continue;
    uint32_t expected = is_rtx ? p->spec.encodings[0].rtx_ssrc : p->spec.encodings[0].ssrc;
    if (expected != 0) continue; /* announced, and it is another one */
    fitting = p;
    fits++;
    if (mid != NULL) break;
  }
  if (fitting == NULL || (mid == NULL && fits != 1)) return NULL;
  return stream_add(fitting, 0, h->ssrc, h->payload_type != fitting->spec.payload_type);
}

static void count_jitter(mt_stream *s, uint32_t timestamp) {
  /* RFC 3550 A.8 */
  int64_t arrival = s->transport->core->now * (int64_t)s->producer->spec.clock_rate / MT_SECOND;
  int64_t transit = arrival - (int64_t)timestamp;
  if (s->has_transit) {
    int64_t d = (int32_t)(uint32_t)(transit - s->transit);
    s->jitter += ((double)(d < 0 ? -d : d) - s->jitter) / 16;
  }
  s->transit = transit;
  s->has_transit = true;
}

static void audio_level(mt_producer *p, const uint8_t *data, const mt_rtp *h) {
  const mt_rtp_ext *e = ext_of(p->transport, h, MT_EXT_AUDIO_LEVEL);
  if (e == NULL || e->len < 1) return;
  uint8_t level = data[e->offset] & 0x7f; /* RFC 6464: -dBov */
  int64_t now = p->transport->core->now;
  if (p->level_known && now - p->level_told < 200000) return;
  int change = p->level_known ? (int)level - (int)p->level : 127;
  if (change > -6 && change < 6) return;
  if (mt_core_event(p->transport->core, MT_EVENT_AUDIO_LEVEL, p->id, level, 0)) {
    p->level = level;
    p->level_known = true;
    p->level_told = now;
  }
}

/* A decrypted packet of a media stream, new or recovered. */
static void media_packet(mt_stream *s, const uint8_t *data, size_t len, const mt_rtp *h, uint64_t index, bool recovered) {
  mt_core *core = s->transport->core;
  mt_producer *p = s->producer;
  size_t payload_len;
  if (len > sizeof s->history->bytes || !mt_rtp_payload_untrusted(data, len, h, &payload_len)) {
    core->drops.malformed++;
    return;
  }
  if (!s->started) {
    s->started = true;
    s->first = s->highest = index;
    mt_core_event(core, MT_EVENT_STREAM, p->id, s->encoding, s->ssrc);
  } else if (index > s->highest) {
    if (index > s->highest + 1) mt_stream_gap(s, s->highest + 1, index);
    s->highest = index;
  } else {
    bool was_missing = mt_stream_found(s, index);
    if (recovered && !was_missing) {
      core->drops.probes++;
      return;
    }
  }
  mt_packet *packet = &s->history[index & s->history_mask];
  if (packet->index > index + 1) { /* too old: its place is taken */
    s->discarded++;
    return;
  }
  s->received++;
  s->packets++;
  s->bytes += len;
  s->rate_bytes += len;
  if (recovered)
    s->recovered++;
  else {
    s->last_arrival = core->now;
    if (index == s->highest) {
      count_jitter(s, h->timestamp);
      s->last_timestamp = h->timestamp;
    }
  }
  packet->index = index + 1;
  packet->arrived = core->now;
  packet->timestamp = h->timestamp;
  packet->len = (uint16_t)len;
  packet->payload_offset = h->header_len;
  packet->payload_len = (uint16_t)payload_len;
  packet->marker = h->marker;
  packet->header = *h;
  memcpy(packet->bytes, data, len);
  const uint8_t *payload = packet->bytes + packet->payload_offset;
  memset(&packet->vp8, 0, sizeof packet->vp8);
  packet->keyframe = false;
  if (payload_len > 0) switch (p->spec.codec) {
      case MT_CODEC_VP8:
        if (!mt_vp8_parse_untrusted(payload, payload_len, &packet->vp8)) {
          packet->index = 0;
          core->drops.malformed++;
          return;
        }
        packet->keyframe = packet->vp8.keyframe;
        break;
      case MT_CODEC_VP9: packet->keyframe = mt_vp9_is_keyframe_untrusted(payload, payload_len); break;
      case MT_CODEC_H264: packet->keyframe = mt_h264_is_keyframe_untrusted(payload, payload_len); break;
      case MT_CODEC_OPUS:
      case MT_CODEC_OTHER: packet->keyframe = true; break;
    }
  if (packet->keyframe && !p->spec.audio) {
    s->keyframes++;
    s->keyframe_wanted = false;
  }
  if (p->spec.audio) audio_level(p, packet->bytes, h);
  if (!p->paused) mt_forward(p, s, packet);
}

static void rtx_packet(mt_stream *s, uint8_t *data, size_t len, const mt_rtp *h) {
  mt_core *core = s->transport->core;
  mt_stream *main = s->repairs;
  size_t payload_len;
  if (!mt_rtp_payload_untrusted(data, len, h, &payload_len)) {
    core->drops.malformed++;
    return;
  }
  s->packets++;
  s->bytes += len;
  if (main == NULL || !main->started || payload_len < 2) { /* padding only, or before its main stream */
    core->drops.probes++;
    return;
  }
  uint16_t original = mt_load16(data + h->header_len);
  int16_t back = (int16_t)(original - (uint16_t)main->highest);
  if (back > 0 || (int64_t)main->highest + back < (int64_t)main->first) {
    core->drops.probes++;
    return;
  }
  /* the original: our header without the two bytes of the original sequence number (RFC 4588 §4) */
  uint8_t original_packet[MT_MAX_DATAGRAM];
  memcpy(original_packet, data, h->header_len);
  memcpy(original_packet + h->header_len, data + h->header_len + 2, payload_len - 2);
  size_t original_len = h->header_len + payload_len - 2;
  original_packet[0] &= (uint8_t)~0x20; /* padding has been taken off */
  original_packet[1] = (uint8_t)((original_packet[1] & 0x80) | main->producer->spec.payload_type);
  mt_store16(original_packet + 2, original);
  mt_store32(original_packet + 8, main->ssrc);
  mt_rtp header = *h;
  header.payload_type = main->producer->spec.payload_type;
  header.sequence = original;
  header.ssrc = main->ssrc;
  media_packet(main, original_packet, original_len, &header, main->highest + (uint64_t)(int64_t)back, true);
}

void mt_receive_rtp(mt_transport *t, uint8_t *data, size_t len) {
  mt_core *core = t->core;
  mt_rtp h;
  if (!mt_rtp_parse_untrusted(data, len, &h)) {
    core->drops.malformed++;
    return;
  }
  mt_stream *s = mt_map_get(&core->streams, core->seed, stream_key(t, h.ssrc));
  /* A forged first packet must not take the place of a stream: whose it is, is asked when it has proved authentic. */
  mt_srtp_window fresh = {0};
  mt_srtp_window *window = s != NULL ? &s->window : &fresh;
  uint64_t index;
  switch (mt_srtp_unprotect(t->srtp, window, data, len, h.header_len, &len, &index)) {
    case MT_SRTP_OK: break;
    case MT_SRTP_REPLAYED: core->drops.srtp_replayed++; return;
    default: core->drops.srtp_refused++; return;
  }
  /* The arrival counts for the sender's bandwidth estimate even when nobody wants the packet. */
  const mt_rtp_ext *cc = t->twcc ? ext_of(t, &h, MT_EXT_TRANSPORT_CC) : NULL;
  if (cc != NULL && cc->len == 2) mt_twcc_arrived(t, mt_load16(data + cc->offset));
  if (s == NULL) {
    s = stream_discover(t, data, &h);
    if (s == NULL) {
      core->drops.unknown_ssrc++;
      return;
    }
    s->window = fresh;
  }
  /* start a bit above the RFC's first cycle, so that reordering around the start never goes below zero */
  index += 1u << 16;
  if (s->is_rtx)
    rtx_packet(s, data, len, &h);
  else
    media_packet(s, data, len, &h, index, false);
}
