/* See feed.h. */
#include "crowd/feed.h"

#include "formats/rtp.h"

#include <stdlib.h>
#include <string.h>

enum {
  DESCRIPTOR = 6,       /* bytes: X, I with 15 bits, L and T (RFC 7741 section 4.2) */
  KEYFRAME_HEADER = 10, /* bytes: frame tag, start code, width, height (RFC 6386 section 9.1) */
  OPUS_TOC = 0x78,      /* CELT, 20 ms, one frame (RFC 6716 section 3.1) */
  LOUDNESS = 0x80 | 30, /* voice activity, -30 dBov (RFC 6464) */
  PICTURE_ID_BITS = 15,
  EXTENSIONS = 5,
};

mt_feed *mt_feed_new(const mt_feed_spec *spec, uint64_t first_index, int64_t first_due) {
  uint32_t least = MT_LABEL_BYTES + (spec->video ? MT_LABEL_VIDEO_AT : MT_LABEL_AUDIO_AT);
  if (spec->packet_bytes < least || spec->packet_bytes > MT_FEED_MAX_PAYLOAD || !spec->interval_us) return NULL;
  mt_feed *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->spec = *spec;
  s->index = s->rtx_index = first_index;
  s->due = first_due;
  s->report_due = first_due + MT_SECOND;
  s->keyframe_wanted = spec->video;
  if (spec->video) {
    s->kept = calloc(MT_FEED_KEPT, sizeof *s->kept);
    if (!s->kept) {
      free(s);
      return NULL;
    }
  }
  return s;
}

void mt_feed_free(mt_feed *s) {
  if (!s) return;
  free(s->kept);
  free(s);
}

static uint32_t least_packet(const mt_feed *s) { return MT_LABEL_BYTES + (s->spec.video ? MT_LABEL_VIDEO_AT : MT_LABEL_AUDIO_AT); }

unsigned mt_feed_begin(mt_feed *s) {
  const mt_feed_spec *spec = &s->spec;
  bool due = spec->keyframe_interval && s->since_keyframe >= spec->keyframe_interval;
  s->is_keyframe = spec->video && (s->keyframe_wanted || due);
  if (s->is_keyframe) {
    s->since_keyframe = 0;
    s->keyframe_wanted = false;
  }
  s->bytes = s->is_keyframe ? spec->keyframe_bytes : spec->frame_bytes;
  s->packets = (s->bytes + spec->packet_bytes - 1) / spec->packet_bytes;
  if (!spec->video || s->packets == 0) s->packets = 1;
  if (s->packets > MT_FEED_MAX_PACKETS) s->packets = MT_FEED_MAX_PACKETS;
  uint32_t least = least_packet(s) * s->packets, most = spec->packet_bytes * s->packets;
  if (s->bytes < least) s->bytes = least;
  if (s->bytes > most) s->bytes = most;
  s->timestamp = (uint32_t)(s->frames * spec->interval_us * spec->clock_rate / MT_SECOND);
  s->frames++;
  s->since_keyframe++;
  s->due += spec->interval_us;
  return s->packets;
}

/* The descriptor and what a server looks for in the first bytes of a frame. */
static void write_video_head(const mt_feed *s, unsigned i, uint8_t *p) {
  uint16_t picture = (uint16_t)(s->frames & ((1u << PICTURE_ID_BITS) - 1));
  p[0] = (uint8_t)(0x80 | (i == 0 ? 0x10 : 0)); /* X; S in the first packet */
  p[1] = 0x80 | 0x40 | 0x20;                    /* I, L, T */
  mt_store16(p + 2, (uint16_t)(0x8000 | picture));
  p[4] = (uint8_t)s->frames; /* TL0PICIDX */
  p[5] = 0;                  /* TID 0 */
  memset(p + DESCRIPTOR, 0, KEYFRAME_HEADER);
  if (i > 0) return;
  p[DESCRIPTOR] = s->is_keyframe ? 0x10 : 0x11; /* P is inverted; shown */
  if (!s->is_keyframe) return;
  static const uint8_t key[] = {0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01}; /* 640 x 360 */
  memcpy(p + DESCRIPTOR + 3, key, sizeof key);
}

static size_t write_header(const mt_feed *s, uint8_t *out, uint8_t payload_type, bool marker, uint16_t sequence, uint32_t timestamp,
                           uint32_t ssrc, uint16_t transport_number, int64_t now) {
  const mt_feed_spec *spec = &s->spec;
  uint8_t level = LOUDNESS, number[2], time[3];
  mt_store16(number, transport_number);
  /* seconds with 18 bits behind the point, of which 24 bits are sent */
  mt_store24(time, (uint32_t)(((uint64_t)now << 18) / MT_SECOND) & 0xffffff);
  const mt_rtp_ext_out ext[EXTENSIONS] = {
      {spec->mid.len ? spec->ext_ids[MT_EXT_MID] : 0, spec->mid.len, (const uint8_t *)spec->mid.text},
      {spec->rid.len ? spec->ext_ids[MT_EXT_RID] : 0, spec->rid.len, (const uint8_t *)spec->rid.text},
      {spec->ext_ids[MT_EXT_ABS_SEND_TIME], sizeof time, time},
      {spec->ext_ids[MT_EXT_TRANSPORT_CC], sizeof number, number},
      {spec->ext_ids[MT_EXT_AUDIO_LEVEL], sizeof level, &level},
  };
  return mt_rtp_write_header(out, MT_FEED_HEADER, payload_type, marker, sequence, timestamp, ssrc, ext, EXTENSIONS, NULL);
}

size_t mt_feed_write(mt_feed *s, unsigned i, int64_t now, uint16_t transport_number, uint8_t *out, size_t *header_len,
                     uint64_t *index) {
  const mt_feed_spec *spec = &s->spec;
  uint32_t longer = s->bytes % s->packets; /* the last ones have one byte more */
  size_t len = s->bytes / s->packets + (i >= s->packets - longer ? 1 : 0);
  bool last = i + 1 == s->packets;
  *index = s->index++;
  *header_len = write_header(s, out, spec->payload_type, spec->video && last, (uint16_t)*index, s->timestamp, spec->ssrc,
                             transport_number, now);
  uint8_t *payload = out + *header_len;
  mt_label label = {.sent = now, .feed = spec->number, .number = s->next_number++};
  if (spec->video) write_video_head(s, i, payload);
  else payload[0] = OPUS_TOC;
  size_t at = spec->video ? MT_LABEL_VIDEO_AT : MT_LABEL_AUDIO_AT;
  mt_label_write(payload + at, &label);
  memset(payload + at + MT_LABEL_BYTES, (int)i, len - at - MT_LABEL_BYTES);
  s->octets += (uint32_t)len;
  if (s->kept) {
    mt_feed_packet *kept = &s->kept[*index % MT_FEED_KEPT];
    kept->index = *index;
    kept->len = (uint16_t)(*header_len + len);
    kept->header_len = (uint16_t)*header_len;
    memcpy(kept->bytes, out, kept->len);
  }
  return *header_len + len;
}

size_t mt_feed_repeat(mt_feed *s, uint16_t sequence, int64_t now, uint16_t transport_number, uint8_t *out, size_t *header_len,
                      uint64_t *index) {
  if (!s->kept || !s->spec.rtx_ssrc) return 0;
  const mt_feed_packet *kept = &s->kept[sequence % MT_FEED_KEPT];
  if (!kept->len || (uint16_t)kept->index != sequence) return 0;
  *index = s->rtx_index++;
  *header_len = write_header(s, out, s->spec.rtx_payload_type, kept->bytes[1] >> 7, (uint16_t)*index, mt_load32(kept->bytes + 4),
                             s->spec.rtx_ssrc, transport_number, now);
  size_t payload_len = (size_t)(kept->len - kept->header_len);
  mt_store16(out + *header_len, sequence); /* OSN (RFC 4588 section 4) */
  memcpy(out + *header_len + 2, kept->bytes + kept->header_len, payload_len);
  return *header_len + 2 + payload_len;
}
