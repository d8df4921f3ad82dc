/* See header.h. */
#include "egress/header.h"

#include "base/bytes.h"
#include "egress/playout.h"
#include "formats/rtp.h"

#include <string.h>

enum {
  WRITTEN_EXTS = 4, /* header extensions that write_elements adds: MID, abs-send-time, transport-cc, playout-delay */
  MODEL_EXTS = 3,   /* those of a model: the same without playout-delay */
  MARKER_BIT = 0x80,
  ABS_SEND_TIME_LEN = 3, /* bytes */
  TWCC_LEN = 2,
};

_Static_assert(MT_HEADER_MODEL + (int)MT_EXT_COUNT * (1 + MT_RTP_ONE_BYTE_MAX_LEN) <= MT_RTP_MAX_HEADER, "no check of the room");

/* Element by element. */
static size_t write_elements(const mt_consumer *c, uint8_t *out, const mt_packet *p, const mt_numbers *numbers, bool rtx,
                             uint16_t sequence, const mt_stamps *v) {
  const mt_consumer_spec *spec = &c->spec;
  mt_rtp_ext_out ext[MT_EXT_COUNT + WRITTEN_EXTS];
  uint8_t abs_send_time[3], twcc[2], descriptor[UINT8_MAX], playout[MT_PLAYOUT_BYTES];
  bool delayed = p && mt_playout_written(c);
  size_t n = 0;
  mt_store24(abs_send_time, v->abs_send_time);
  mt_store16(twcc, v->twcc);
  if (spec->mid.len) ext[n++] = (mt_rtp_ext_out){spec->ext_ids[MT_EXT_MID], spec->mid.len, (const uint8_t *)spec->mid.text};
  ext[n++] = (mt_rtp_ext_out){spec->ext_ids[MT_EXT_ABS_SEND_TIME], sizeof abs_send_time, abs_send_time};
  ext[n++] = (mt_rtp_ext_out){spec->ext_ids[MT_EXT_TRANSPORT_CC], sizeof twcc, twcc};
  if (delayed) {
    mt_playout_write(c, playout);
    ext[n++] = (mt_rtp_ext_out){spec->ext_ids[MT_EXT_PLAYOUT_DELAY], sizeof playout, playout};
  }
  for (unsigned i = 0; p && i < p->ext_count; i++) {
    const mt_packet_ext *e = &p->ext[i];
    if (delayed && e->kind == MT_EXT_PLAYOUT_DELAY) continue;
    const uint8_t *value = p->data + e->offset;
    if (e->kind == MT_EXT_DEPENDENCY_DESCRIPTOR && p->has_dd) {
      memcpy(descriptor, value, e->len);
      mt_dd_rewrite(descriptor, numbers->picture_id);
      value = descriptor;
    }
    ext[n++] = (mt_rtp_ext_out){spec->ext_ids[e->kind], e->len, value};
  }
  return mt_rtp_write_header(out, MT_RTP_MAX_HEADER, rtx ? (uint8_t)spec->rtx_payload_type : spec->payload_type, numbers->marker,
                             sequence, numbers->timestamp, rtx ? spec->rtx_ssrc : spec->ssrc, ext, n, NULL);
}

/* ---- the model ---- */

static bool is_short(uint8_t id, uint8_t len) { return id <= MT_RTP_ONE_BYTE_MAX_ID && len >= 1 && len <= MT_RTP_ONE_BYTE_MAX_LEN; }

void mt_header_prepare(mt_consumer *c) {
  static const uint8_t zeros[ABS_SEND_TIME_LEN];
  const mt_consumer_spec *s = &c->spec;
  mt_rtp_ext_out ext[MODEL_EXTS] = {{s->mid.len ? s->ext_ids[MT_EXT_MID] : 0, s->mid.len, (const uint8_t *)s->mid.text},
                                    {s->ext_ids[MT_EXT_ABS_SEND_TIME], ABS_SEND_TIME_LEN, zeros},
                                    {s->ext_ids[MT_EXT_TRANSPORT_CC], TWCC_LEN, zeros}};
  uint16_t at[MODEL_EXTS], end = 0;
  uint8_t header[MT_RTP_MAX_HEADER];
  c->header = (mt_header_model){0};
  if (!mt_rtp_write_header(header, sizeof header, 0, false, 0, 0, 0, ext, MODEL_EXTS, at)) return;
  for (unsigned i = 0; i < MODEL_EXTS; i++) {
    if (!ext[i].id) continue;
    if (!is_short(ext[i].id, ext[i].len)) return;
    end = (uint16_t)(at[i] + ext[i].len);
  }
  if (!end) return; /* without the header extension */
  memcpy(c->header.bytes, header, end);
  c->header.len = (uint8_t)end;
  c->header.abs_send_time = (uint8_t)at[1];
  c->header.twcc = (uint8_t)at[2];
}

/* The packet's own elements can be added to the model, as they are. */
static bool follows_model(const mt_consumer *c, const mt_packet *p) {
  if (!c->header.len || (p && mt_playout_written(c))) return false;
  for (unsigned i = 0; p && i < p->ext_count; i++) {
    const mt_packet_ext *e = &p->ext[i];
    if ((e->kind == MT_EXT_DEPENDENCY_DESCRIPTOR && p->has_dd) || !is_short(c->spec.ext_ids[e->kind], e->len)) return false;
  }
  return true;
}

size_t mt_header_write(const mt_consumer *c, uint8_t *out, const mt_packet *p, const mt_numbers *numbers, bool rtx,
                       uint16_t sequence, const mt_stamps *v) {
  const mt_header_model *m = &c->header;
  if (!follows_model(c, p)) return write_elements(c, out, p, numbers, rtx, sequence, v);
  memcpy(out, m->bytes, sizeof m->bytes);
  out[1] = (uint8_t)((numbers->marker ? MARKER_BIT : 0) | ((rtx ? c->spec.rtx_payload_type : c->spec.payload_type) & ~MARKER_BIT));
  mt_store16(out + 2, sequence);
  mt_store32(out + 4, numbers->timestamp);
  mt_store32(out + 8, rtx ? c->spec.rtx_ssrc : c->spec.ssrc);
  if (m->abs_send_time) mt_store24(out + m->abs_send_time, v->abs_send_time);
  if (m->twcc) mt_store16(out + m->twcc, v->twcc);
  size_t at = m->len;
  for (unsigned i = 0; p && i < p->ext_count; i++) {
    const mt_packet_ext *e = &p->ext[i];
    uint8_t id = c->spec.ext_ids[e->kind];
    if (!id) continue;
    out[at++] = (uint8_t)(id << 4 | (e->len - 1));
    memcpy(out + at, p->data + e->offset, e->len);
    at += e->len;
  }
  while (at % 4) out[at++] = 0; /* the extension is padded to words */
  mt_store16(out + MT_RTP_FIXED_HEADER + 2, (uint16_t)((at - MT_RTP_FIXED_HEADER - MT_RTP_EXT_HEADER) / 4));
  return at;
}
