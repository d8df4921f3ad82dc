/* See rtp.h. */
#include "formats/rtp.h"

#include "base/bytes.h"

#include <string.h>

/* The first two bytes of a packet (RFC 3550 section 5.1) */
enum {
  VERSION_SHIFT = 6,
  VERSION = 2,
  PADDING_BIT = 0x20,
  EXTENSION_BIT = 0x10,
  CSRC_COUNT = 0x0f,
  MARKER_BIT = 0x80,
  PAYLOAD_TYPE = 0x7f,
};

enum {
  PROFILE_ONE_BYTE = 0xbede,
  PROFILE_TWO_BYTE = 0x1000, /* the low 4 bits are the application's */
  PROFILE_TWO_BYTE_MASK = 0xfff0,
  ONE_BYTE_STOP_ID = 15,
};

enum {
  RTP_FIRST_BYTE = 128, /* RFC 7983 section 7 */
  RTP_LAST_BYTE = 191,
  RTCP_FIRST_TYPE = 64, /* RFC 5761 section 4: packet types 192 to 223 without the top bit */
  RTCP_LAST_TYPE = 95,
};

bool mt_is_rtp_or_rtcp(const uint8_t *p, size_t n) { return n >= 2 && p[0] >= RTP_FIRST_BYTE && p[0] <= RTP_LAST_BYTE; }

bool mt_is_rtcp(const uint8_t *p, size_t n) {
  return n >= 2 && (p[1] & PAYLOAD_TYPE) >= RTCP_FIRST_TYPE && (p[1] & PAYLOAD_TYPE) <= RTCP_LAST_TYPE;
}

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
      /* id 15, or id 0 with a length, ends the extension (RFC 8285 section 4.2) */
      if (id == ONE_BYTE_STOP_ID || id == 0) return true;
    }
    if (len > end - at) return false;
    if (out->ext_count < MT_RTP_MAX_EXT)
      out->ext[out->ext_count++] = (mt_rtp_ext){.id = id, .len = (uint8_t)len, .offset = (uint16_t)at};
    at += len;
  }
  return true;
}

bool mt_rtp_parse_untrusted(const uint8_t *p, size_t n, mt_rtp *out) {
  if (n < MT_RTP_FIXED_HEADER || n > UINT16_MAX || p[0] >> VERSION_SHIFT != VERSION) return false;
  size_t header_len = MT_RTP_FIXED_HEADER + 4 * (size_t)(p[0] & CSRC_COUNT);
  if (header_len > n) return false;
  out->payload_type = p[1] & PAYLOAD_TYPE;
  out->marker = p[1] & MARKER_BIT;
  out->sequence = mt_load16(p + 2);
  out->timestamp = mt_load32(p + 4);
  out->ssrc = mt_load32(p + 8);
  out->ext_count = 0;
  if (p[0] & EXTENSION_BIT) {
    if (n - header_len < MT_RTP_EXT_HEADER) return false;
    uint16_t profile = mt_load16(p + header_len);
    size_t len = 4 * (size_t)mt_load16(p + header_len + 2);
    size_t values = header_len + MT_RTP_EXT_HEADER;
    if (len > n - values) return false;
    header_len = values + len;
    bool two_byte = (profile & PROFILE_TWO_BYTE_MASK) == PROFILE_TWO_BYTE;
    if ((two_byte || profile == PROFILE_ONE_BYTE) && !parse_extension(p, values, header_len, two_byte, out)) return false;
  }
  out->header_len = (uint16_t)header_len;
  return true;
}

bool mt_rtp_payload_untrusted(const uint8_t *p, size_t n, const mt_rtp *h, size_t *payload_len) {
  if (n < h->header_len) return false;
  size_t len = n - h->header_len;
  if (p[0] & PADDING_BIT) {
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
    if (ext[i].id > MT_RTP_ONE_BYTE_MAX_ID || ext[i].len == 0 || ext[i].len > MT_RTP_ONE_BYTE_MAX_LEN) two_byte = true;
  }
  if (cap < MT_RTP_FIXED_HEADER + (any ? (unsigned)MT_RTP_EXT_HEADER : 0u)) return 0;
  out[0] = (uint8_t)(VERSION << VERSION_SHIFT | (any ? EXTENSION_BIT : 0));
  out[1] = (uint8_t)((marker ? MARKER_BIT : 0) | (payload_type & PAYLOAD_TYPE));
  mt_store16(out + 2, sequence);
  mt_store32(out + 4, timestamp);
  mt_store32(out + 8, ssrc);
  if (!any) {
    for (size_t i = 0; ext_offsets && i < ext_count; i++) ext_offsets[i] = 0;
    return MT_RTP_FIXED_HEADER;
  }
  size_t at = MT_RTP_FIXED_HEADER + MT_RTP_EXT_HEADER;
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
  while (at % 4) { /* the extension is padded to words; the headers before it are whole words */
    if (at == cap) return 0;
    out[at++] = 0;
  }
  mt_store16(out + MT_RTP_FIXED_HEADER, two_byte ? PROFILE_TWO_BYTE : PROFILE_ONE_BYTE);
  mt_store16(out + MT_RTP_FIXED_HEADER + 2, (uint16_t)((at - MT_RTP_FIXED_HEADER - MT_RTP_EXT_HEADER) / 4));
  return at;
}
