/* RTP headers: one pass over the fixed header, the CSRCs and the header extension, which stay where they are.
 *
 * The parser keeps offsets, not copies, so that a value can be rewritten in place. It accepts only what RFC 3550 and RFC 8285 allow:
 * a length that points outside the packet makes the whole packet malformed. An extension of another
 * profile than RFC 8285's two is skipped, not refused.
 */
#include "formats/rtp.h"

#include "base/bytes.h"

#include <string.h>

enum { FIXED_HEADER = 12, PROFILE_ONE_BYTE = 0xbede, PROFILE_TWO_BYTE = 0x1000 /* low 4 bits are the application's */ };

bool mt_is_rtp_or_rtcp(const uint8_t *p, size_t n) { return n >= 2 && p[0] >= 128 && p[0] <= 191; }

bool mt_is_rtcp(const uint8_t *p, size_t n) { return n >= 2 && (p[1] & 0x7f) >= 64 && (p[1] & 0x7f) <= 95; }

static bool parse_extension(const uint8_t *p, size_t at, size_t end, bool two_byte, mt_rtp *out) {
  while (at < end) {
    size_t len;
    uint8_t id;
    if (p[at] == 0 && !two_byte) { /* padding */
      at++;
      continue;
    }
    if (two_byte) {
      id = p[at++];
      if (id == 0) continue; /* padding */
      if (at == end) return false;
      len = p[at++];
    } else {
      id = p[at] >> 4;
      len = (size_t)(p[at++] & 0x0f) + 1;
      /* RFC 8285 section 4.2: 15, or 0 with a length, ends the extension */
      if (id == 15 || id == 0) return true;
    }
    if (len > end - at) return false;
    if (out->ext_count < MT_RTP_MAX_EXT)
      out->ext[out->ext_count++] = (mt_rtp_ext){.id = id, .len = (uint8_t)len, .offset = (uint16_t)at};
    at += len;
  }
  return true;
}

bool mt_rtp_parse_untrusted(const uint8_t *p, size_t n, mt_rtp *out) {
  if (n < FIXED_HEADER || n > UINT16_MAX || p[0] >> 6 != 2) return false;
  size_t header_len = FIXED_HEADER + 4 * (size_t)(p[0] & 0x0f);
  if (header_len > n) return false;
  out->payload_type = p[1] & 0x7f;
  out->marker = p[1] >> 7;
  out->sequence = mt_load16(p + 2);
  out->timestamp = mt_load32(p + 4);
  out->ssrc = mt_load32(p + 8);
  out->ext_count = 0;
  if (p[0] & 0x10) {
    if (n - header_len < 4) return false;
    uint16_t profile = mt_load16(p + header_len);
    size_t len = 4 * (size_t)mt_load16(p + header_len + 2);
    size_t values = header_len + 4;
    if (len > n - values) return false;
    header_len = values + len;
    bool two_byte = (profile & 0xfff0) == PROFILE_TWO_BYTE;
    if ((two_byte || profile == PROFILE_ONE_BYTE) && !parse_extension(p, values, header_len, two_byte, out)) return false;
  }
  out->header_len = (uint16_t)header_len;
  return true;
}

bool mt_rtp_payload_untrusted(const uint8_t *p, size_t n, const mt_rtp *h, size_t *payload_len) {
  if (n < h->header_len) return false;
  size_t len = n - h->header_len;
  if (p[0] & 0x20) {
    if (len == 0) return false;
    uint8_t padding = p[n - 1]; /* counts itself */
    if (padding == 0 || padding > len) return false;
    len -= padding;
  }
  *payload_len = len;
  return true;
}

const mt_rtp_ext *mt_rtp_find_ext(const mt_rtp *h, uint8_t id) {
  for (unsigned i = 0; i < h->ext_count; i++)
    if (h->ext[i].id == id) return &h->ext[i];
  return NULL;
}

size_t mt_rtp_write_header(uint8_t *out, size_t cap, uint8_t payload_type, bool marker, uint16_t sequence, uint32_t timestamp,
                           uint32_t ssrc, const mt_rtp_ext_out *ext, size_t ext_count, uint16_t *ext_offsets) {
  bool any = false, two_byte = false;
  for (size_t i = 0; i < ext_count; i++) {
    if (ext[i].id == 0) continue;
    any = true;
    if (ext[i].id > 14 || ext[i].len == 0 || ext[i].len > 16) two_byte = true;
  }
  if (cap < FIXED_HEADER + (any ? 4u : 0u)) return 0;
  out[0] = (uint8_t)(0x80 | (any ? 0x10 : 0));
  out[1] = (uint8_t)((marker ? 0x80 : 0) | (payload_type & 0x7f));
  mt_store16(out + 2, sequence);
  mt_store32(out + 4, timestamp);
  mt_store32(out + 8, ssrc);
  if (!any) {
    for (size_t i = 0; ext_offsets && i < ext_count; i++) ext_offsets[i] = 0;
    return FIXED_HEADER;
  }
  size_t at = FIXED_HEADER + 4;
  for (size_t i = 0; i < ext_count; i++) {
    if (ext_offsets) ext_offsets[i] = 0;
    if (ext[i].id == 0) continue;
    size_t value = at + (two_byte ? 2 : 1);
    if (value + ext[i].len > cap || value + ext[i].len > UINT16_MAX) return 0;
    if (two_byte) {
      out[at] = ext[i].id;
      out[at + 1] = ext[i].len;
    } else {
      out[at] = (uint8_t)(ext[i].id << 4 | (ext[i].len - 1));
    }
    if (ext[i].len) memcpy(out + value, ext[i].value, ext[i].len);
    if (ext_offsets) ext_offsets[i] = (uint16_t)value;
    at = value + ext[i].len;
  }
  while (at % 4) { /* the fixed header and the extension's own are multiples of 4 */
    if (at == cap) return 0;
    out[at++] = 0;
  }
  mt_store16(out + FIXED_HEADER, two_byte ? PROFILE_TWO_BYTE : PROFILE_ONE_BYTE);
  mt_store16(out + FIXED_HEADER + 2, (uint16_t)((at - FIXED_HEADER - 4) / 4));
  return at;
}
