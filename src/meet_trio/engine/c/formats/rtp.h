/* RTP packets (RFC 3550 section 5.1) with header extensions (RFC 8285): a parser of headers and a writer of new ones.
 *
 * The functions keep no state and allocate nothing. The parser makes one pass over the fixed header, the CSRCs and the header
 * extension. It keeps offsets, not copies, so that a value can be rewritten in place. It accepts only what RFC 3550 and RFC 8285
 * allow: a length that points outside the packet makes the whole packet malformed. An extension of a profile other than RFC 8285's
 * two is skipped, not refused.
 *
 * The payload is left alone, except for its padding. The writer writes no CSRCs and no padding.
 */
#ifndef MT_FORMATS_RTP_H
#define MT_FORMATS_RTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  MT_RTP_ONE_BYTE_MAX_ID = 14,
  MT_RTP_ONE_BYTE_MAX_LEN = 16, /* bytes of a value in the one-byte form */
  MT_RTP_FIXED_HEADER = 12,     /* bytes */
  MT_RTP_EXT_HEADER = 4,        /* bytes: profile and length of the header extension */
  MT_RTP_MAX_EXT = 16,          /* elements of a header extension */
  MT_RTP_MAX_HEADER = MT_RTP_FIXED_HEADER + MT_RTP_EXT_HEADER + MT_RTP_MAX_EXT * (2 + 16), /* bytes: values of 16, two-byte form */
};

typedef struct {
  uint8_t id;      /* 1-14 in the one-byte form, 1-255 in the two-byte form */
  uint8_t len;     /* bytes of the value */
  uint16_t offset; /* bytes from the packet's start to the value */
} mt_rtp_ext;

typedef struct {
  uint8_t payload_type;
  bool marker;
  uint16_t sequence;
  uint32_t timestamp;
  uint32_t ssrc;
  uint16_t header_len; /* bytes of fixed header, CSRCs and header extension; SRTP authenticates them and leaves them in clear */
  uint8_t ext_count;
  mt_rtp_ext ext[MT_RTP_MAX_EXT]; /* the first ones; others are ignored */
} mt_rtp;

/* The first byte is 128 to 191 (RFC 7983 section 7). */
bool mt_is_rtp_or_rtcp(const uint8_t *p, size_t n);
/* The second byte without its top bit is 64 to 95 (RFC 5761 section 4). The packet is one that mt_is_rtp_or_rtcp accepts. */
bool mt_is_rtcp(const uint8_t *p, size_t n);

/* Parses the header. Padding is left to mt_rtp_payload_untrusted, because the payload may be encrypted. False: malformed. */
bool mt_rtp_parse_untrusted(const uint8_t *p, size_t n, mt_rtp *out);

/* The payload's length in bytes without padding, of a decrypted packet. False: the padding count is 0 or too
 * large. */
bool mt_rtp_payload_untrusted(const uint8_t *p, size_t n, const mt_rtp *h, size_t *payload_len);

/* NULL: the packet has no element of this id. */
const mt_rtp_ext *mt_rtp_find_ext(const mt_rtp *h, uint8_t id);

typedef struct {
  uint8_t id;  /* 0: the entry is skipped */
  uint8_t len; /* bytes of the value */
  const uint8_t *value;
} mt_rtp_ext_out;

/* Writes a header with the elements of `ext`. The one-byte form is used if all ids are at most 14 and all values 1 to 16 bytes
 * long, else the two-byte form (RFC 8285 sections 4.2 and 4.3). Returns the header's length in bytes. 0: it does not fit the `cap`
 * bytes at `out`. `ext_offsets`, if it is not NULL, receives the offset of each value, and 0 for a skipped entry. */
size_t mt_rtp_write_header(uint8_t *out, size_t cap, uint8_t payload_type, bool marker, uint16_t sequence, uint32_t timestamp,
                           uint32_t ssrc, const mt_rtp_ext_out *ext, size_t ext_count, uint16_t *ext_offsets);

#endif
