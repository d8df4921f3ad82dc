/* See stun.h. */
#define OPENSSL_SUPPRESS_DEPRECATED /* for hmac_sha1.h */
#include "formats/stun.h"

#include "base/bytes.h"
#include "formats/hmac_sha1.h"

#include <string.h>

/* Lengths in bytes */
enum {
  HEADER = 20,
  ATTRIBUTE_HEADER = 4,
  INTEGRITY_LEN = 20,
  FINGERPRINT_LEN = 4,
  PRIORITY_LEN = 4,
  TIE_BREAKER_LEN = 8,
  ADDRESS_HEADER = 4, /* of XOR-MAPPED-ADDRESS: family and port */
  ERROR_HEADER = 4,   /* of ERROR-CODE: class and number */
  MAX_USERNAME = 2 * MT_STUN_MAX_UFRAG + 1,
};

enum {
  NOT_STUN_BITS = 0xc0, /* of the first byte */
  COOKIE = 0x2112a442,
  FAMILY_IPV4 = 1, /* RFC 8489 section 14.1 */
  FAMILY_IPV6 = 2,

  BINDING_SUCCESS = 0x0101,
  BINDING_ERROR = 0x0111,

  MAPPED_ADDRESS = 0x0001,
  USERNAME = 0x0006,
  MESSAGE_INTEGRITY = 0x0008,
  ERROR_CODE = 0x0009,
  UNKNOWN_ATTRIBUTES = 0x000a,
  REALM = 0x0014,
  NONCE = 0x0015,
  MESSAGE_INTEGRITY_SHA256 = 0x001c,
  PASSWORD_ALGORITHM = 0x001d,
  USERHASH = 0x001e,
  XOR_MAPPED_ADDRESS = 0x0020,
  PRIORITY = 0x0024,
  USE_CANDIDATE = 0x0025,
  FINGERPRINT = 0x8028,
  ICE_CONTROLLED = 0x8029,
  ICE_CONTROLLING = 0x802a,

  FIRST_OPTIONAL = 0x8000, /* attribute types from here on are comprehension-optional */
};

static const uint32_t FINGERPRINT_XOR = 0x5354554e; /* "STUN" (RFC 8489 section 14.7) */

/* The CRC-32 of ITU-T V.42 (reflected 0xedb88320). It takes four bits at a time, so its table is short; STUN messages are short
 * too. */
static uint32_t crc32_of(const uint8_t *p, size_t n) {
  static const uint32_t table[16] = {
      0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
      0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
  };
  uint32_t crc = UINT32_MAX;
  for (size_t i = 0; i < n; i++) {
    crc ^= p[i];
    crc = crc >> 4 ^ table[crc & 15];
    crc = crc >> 4 ^ table[crc & 15];
  }
  return ~crc;
}

static uint32_t fingerprint_of(const uint8_t *p, size_t n) { return crc32_of(p, n) ^ FINGERPRINT_XOR; }

/* The HMAC over the message before MESSAGE-INTEGRITY. The header's length field counts as if the message ended with that
 * attribute. */
static void integrity_of(const uint8_t *p, size_t integrity_offset, const uint8_t *password, size_t password_len,
                         uint8_t tag[INTEGRITY_LEN]) {
  uint8_t start[4];
  mt_hmac_sha1_key key;
  memcpy(start, p, 2);
  mt_store16(start + 2, (uint16_t)(integrity_offset + ATTRIBUTE_HEADER + INTEGRITY_LEN - HEADER));
  mt_hmac_sha1_prepare(&key, password, password_len);
  SHA_CTX c = key.inner;
  SHA1_Update(&c, start, sizeof start);
  SHA1_Update(&c, p + sizeof start, integrity_offset - sizeof start);
  mt_hmac_sha1_finish(&key, &c, tag);
  OPENSSL_cleanse(&key, sizeof key);
}

/* ---- reading ---- */

/* Parses an attribute that is MESSAGE-INTEGRITY or before it. False: its value is malformed. */
static bool parse_attribute(uint16_t type, const uint8_t *value, uint16_t len, size_t offset, mt_stun *out) {
  switch (type) {
  case USERNAME: {
    if (len > MAX_USERNAME) return false;
    if (out->username) return true;
    const uint8_t *colon = len ? memchr(value, ':', len) : NULL;
    out->username = value;
    out->username_len = len;
    out->local_ufrag_len = colon ? (uint16_t)(colon - value) : 0;
    return true;
  }
  case MESSAGE_INTEGRITY:
    if (len != INTEGRITY_LEN) return false;
    out->integrity_offset = (uint16_t)offset;
    return true;
  case PRIORITY:
    if (len != PRIORITY_LEN) return false;
    if (!out->has_priority) out->priority = mt_load32(value);
    out->has_priority = true;
    return true;
  case USE_CANDIDATE:
    if (len != 0) return false;
    out->use_candidate = true;
    return true;
  case ICE_CONTROLLED:
  case ICE_CONTROLLING:
    if (len != TIE_BREAKER_LEN) return false;
    if (out->ice_controlled || out->ice_controlling) return true;
    out->tie_breaker = (uint64_t)mt_load32(value) << 32 | mt_load32(value + 4);
    *(type == ICE_CONTROLLED ? &out->ice_controlled : &out->ice_controlling) = true;
    return true;
  case MAPPED_ADDRESS:
  case XOR_MAPPED_ADDRESS:
  case ERROR_CODE:
  case UNKNOWN_ATTRIBUTES:
  case REALM:
  case NONCE:
  case MESSAGE_INTEGRITY_SHA256:
  case PASSWORD_ALGORITHM:
  case USERHASH: return true;
  default:
    if (type < FIRST_OPTIONAL && !out->unknown_required) out->unknown_required = type;
    return true;
  }
}

bool mt_stun_parse_untrusted(const uint8_t *p, size_t n, mt_stun *out) {
  if (n < HEADER || n % 4 || p[0] & NOT_STUN_BITS || mt_load32(p + 4) != COOKIE || mt_load16(p + 2) != n - HEADER) return false;
  memset(out, 0, sizeof *out);
  out->type = mt_load16(p);
  memcpy(out->transaction, p + 8, sizeof out->transaction);
  for (size_t at = HEADER; at < n;) { /* `at` and `n` are multiples of 4, so an attribute's header always fits */
    uint16_t type = mt_load16(p + at), len = mt_load16(p + at + 2);
    size_t padded = ((size_t)len + 3) & ~(size_t)3;
    if (padded > n - at - ATTRIBUTE_HEADER) return false;
    if (type == FINGERPRINT) { /* the last attribute (RFC 8489 section 14.7) */
      if (len != FINGERPRINT_LEN || at + ATTRIBUTE_HEADER + FINGERPRINT_LEN != n) return false;
      if (mt_load32(p + at + ATTRIBUTE_HEADER) != fingerprint_of(p, at)) return false;
      out->has_fingerprint = true;
    } else if (!out->integrity_offset && !parse_attribute(type, p + at + ATTRIBUTE_HEADER, len, at, out)) {
      return false;
    }
    at += ATTRIBUTE_HEADER + padded;
  }
  return true;
}

bool mt_stun_check_integrity(const uint8_t *p, size_t n, const mt_stun *m, const uint8_t *password, size_t password_len) {
  uint8_t tag[INTEGRITY_LEN];
  if (!m->integrity_offset || (size_t)m->integrity_offset + ATTRIBUTE_HEADER + INTEGRITY_LEN > n) return false;
  integrity_of(p, m->integrity_offset, password, password_len, tag);
  return CRYPTO_memcmp(tag, p + m->integrity_offset + ATTRIBUTE_HEADER, sizeof tag) == 0;
}

/* ---- writing ---- */

static size_t write_start(uint8_t *out, uint16_t type, const mt_stun *request) {
  mt_store16(out, type);
  mt_store16(out + 2, 0);
  mt_store32(out + 4, COOKIE);
  memcpy(out + 8, request->transaction, sizeof request->transaction);
  return HEADER;
}

/* Writes the header of an attribute at offset `at`. Returns the place of its value. */
static uint8_t *write_attribute(uint8_t *out, size_t at, uint16_t type, uint16_t len) {
  mt_store16(out + at, type);
  mt_store16(out + at + 2, len);
  return out + at + ATTRIBUTE_HEADER;
}

static size_t write_end(uint8_t *out, size_t at, const uint8_t *password, size_t password_len) {
  if (password) {
    integrity_of(out, at, password, password_len, write_attribute(out, at, MESSAGE_INTEGRITY, INTEGRITY_LEN));
    at += ATTRIBUTE_HEADER + INTEGRITY_LEN;
  }
  /* the CRC covers a length field that counts FINGERPRINT too (RFC 8489 section 14.7) */
  mt_store16(out + 2, (uint16_t)(at + ATTRIBUTE_HEADER + FINGERPRINT_LEN - HEADER));
  uint32_t crc = fingerprint_of(out, at);
  mt_store32(write_attribute(out, at, FINGERPRINT, FINGERPRINT_LEN), crc);
  return at + ATTRIBUTE_HEADER + FINGERPRINT_LEN;
}

size_t mt_stun_write_success(uint8_t out[MT_STUN_MAX_RESPONSE], const mt_stun *request, const struct sockaddr *mapped,
                             const uint8_t *password, size_t password_len) {
  size_t at = write_start(out, BINDING_SUCCESS, request);
  uint8_t address[16];
  uint16_t port, size;
  if (mapped->sa_family == AF_INET6) {
    struct sockaddr_in6 v6;
    memcpy(&v6, mapped, sizeof v6);
    /* On a dual-stack socket an IPv4 client is ::ffff:a.b.c.d. The response has the client's IPv4 address. */
    size = IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) ? 4 : 16;
    memcpy(address, v6.sin6_addr.s6_addr + 16 - size, size);
    port = ntohs(v6.sin6_port);
  } else {
    struct sockaddr_in v4;
    memcpy(&v4, mapped, sizeof v4);
    size = 4;
    memcpy(address, &v4.sin_addr, size);
    port = ntohs(v4.sin_port);
  }
  uint8_t *value = write_attribute(out, at, XOR_MAPPED_ADDRESS, (uint16_t)(ADDRESS_HEADER + size));
  value[0] = 0;
  value[1] = size == 16 ? FAMILY_IPV6 : FAMILY_IPV4;
  mt_store16(value + 2, (uint16_t)(port ^ (COOKIE >> 16)));
  /* The mask is bytes 4 to 19 of the header, which are the cookie and the transaction id. */
  for (unsigned i = 0; i < size; i++) value[ADDRESS_HEADER + i] = address[i] ^ out[4 + i];
  return write_end(out, at + ATTRIBUTE_HEADER + ADDRESS_HEADER + size, password, password_len);
}

static const char *reason_of(uint16_t code) {
  switch (code) {
  case 400: return "Bad Request";
  case 401: return "Unauthenticated";
  case MT_STUN_UNKNOWN_ATTRIBUTE: return "Unknown Attribute";
  case MT_STUN_ROLE_CONFLICT: return "Role Conflict";
  default: return "Error";
  }
}

size_t mt_stun_write_error(uint8_t out[MT_STUN_MAX_RESPONSE], const mt_stun *request, uint16_t code, const uint8_t *password,
                           size_t password_len) {
  size_t at = write_start(out, BINDING_ERROR, request);
  const char *reason = reason_of(code);
  size_t len = strlen(reason), padded = (len + 3) & ~(size_t)3;
  uint8_t *value = write_attribute(out, at, ERROR_CODE, (uint16_t)(ERROR_HEADER + len));
  memset(value, 0, ERROR_HEADER + padded);
  value[2] = (uint8_t)(code / 100);
  value[3] = (uint8_t)(code % 100);
  memcpy(value + ERROR_HEADER, reason, len);
  at += ATTRIBUTE_HEADER + ERROR_HEADER + padded;
  if (code == MT_STUN_UNKNOWN_ATTRIBUTE) {
    value = write_attribute(out, at, UNKNOWN_ATTRIBUTES, 2);
    mt_store16(value, request->unknown_required);
    mt_store16(value + 2, 0); /* padding */
    at += ATTRIBUTE_HEADER + 4;
  }
  return write_end(out, at, password, password_len);
}
