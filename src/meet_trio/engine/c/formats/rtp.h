/* RTP packets (RFC 3550 §5.1, RFC 8285 header extensions): parse what came in, write a new header. Pure; no allocation. */
#ifndef MT_FORMATS_RTP_H
#define MT_FORMATS_RTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MT_RTP_MAX_EXT = 16, MT_RTP_MAX_HEADER = 12 + 4 + 16 * 18 };

typedef struct {
  uint8_t id;      /* 1-14 one-byte form, 1-255 two-byte form */
  uint8_t len;     /* bytes of value */
  uint16_t offset; /* of the value, from the packet's start */
} mt_rtp_ext;

typedef struct {
  uint8_t payload_type;
  bool marker;
  uint16_t sequence;
  uint32_t timestamp;
  uint32_t ssrc;
  uint16_t header_len; /* fixed header + CSRCs + extension: what SRTP authenticates in clear */
  uint8_t ext_count;
  mt_rtp_ext ext[MT_RTP_MAX_EXT]; /* further ones are ignored */
} mt_rtp;

/* RFC 7983: first byte 128..191, and RFC 5761: second byte & 0x7f outside 64..95 is RTP. */
bool mt_is_rtp_or_rtcp(const uint8_t *p, size_t n);
bool mt_is_rtcp(const uint8_t *p, size_t n); /* given mt_is_rtp_or_rtcp */

/* Header only; the payload may be encrypted, so padding is not looked at. False if malformed. */
bool mt_rtp_parse_untrusted(const uint8_t *p, size_t n, mt_rtp *out);

/* After decryption: payload length with padding taken off (P bit, last byte), false if the padding count is absurd. */
bool mt_rtp_payload_untrusted(const uint8_t *p, size_t n, const mt_rtp *h, size_t *payload_len);

/* NULL if absent */
const mt_rtp_ext *mt_rtp_find_ext(const mt_rtp *h, uint8_t id);

typedef struct {
  uint8_t id; /* 0 = skip this entry */
  uint8_t len;
  const uint8_t *value;
} mt_rtp_ext_out;

/* Write a header (no CSRC, no padding) with the extensions given (one-byte form when all ids <= 14 and 1 <= len <= 16, else two-byte). Returns its length, 0 if
 * it does not fit `cap`. `ext_offsets`, if not NULL, gets the offset of each value (0 for skipped ones). */
size_t mt_rtp_write_header(uint8_t *out, size_t cap, uint8_t payload_type, bool marker, uint16_t sequence, uint32_t timestamp,
                           uint32_t ssrc, const mt_rtp_ext_out *ext, size_t ext_count, uint16_t *ext_offsets);

#endif
