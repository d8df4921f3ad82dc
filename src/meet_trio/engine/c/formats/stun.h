/* STUN for an ICE-lite agent (RFC 8489, RFC 8445): read a Binding request, write its answer. Pure functions; no allocation.
 */
#ifndef MT_FORMATS_STUN_H
#define MT_FORMATS_STUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { MT_STUN_MAX_UFRAG = 256, MT_STUN_MAX_RESPONSE = 128 };

enum {
  MT_STUN_BINDING_REQUEST = 0x0001,
  MT_STUN_UNKNOWN_ATTRIBUTE = 420, /* RFC 8489 section 14.8 */
  MT_STUN_ROLE_CONFLICT = 487,     /* RFC 8445 section 7.3.1.1 */
};

typedef struct {
  uint16_t type; /* 0x0001 request, 0x0011 indication, 0x0101/0x0111 responses */
  uint8_t transaction[12];
  const uint8_t *username; /* USERNAME "ours:theirs", not NUL-terminated; NULL if absent */
  uint16_t username_len;
  uint16_t local_ufrag_len; /* bytes of username before the first ':', 0 if there is none */
  bool use_candidate, has_priority, has_fingerprint, ice_controlling, ice_controlled;
  uint32_t priority;
  uint64_t tie_breaker;
  uint16_t integrity_offset; /* of MESSAGE-INTEGRITY's attribute header, 0 if absent */
  uint16_t unknown_required; /* first unknown comprehension-required attribute, 0 if none */
} mt_stun;

/* True for a well-formed STUN message: both top bits zero, magic cookie, length = n - 20 and a multiple of 4, attributes
 * inside, FINGERPRINT right where present. */
bool mt_stun_parse_untrusted(const uint8_t *p, size_t n, mt_stun *out);

/* Is MESSAGE-INTEGRITY right for `password`? (short-term credential: HMAC-SHA1, RFC 8489 §14.5; constant-time compare) */
bool mt_stun_check_integrity(const uint8_t *p, size_t n, const mt_stun *m, const uint8_t *password, size_t password_len);

/* Binding success response with XOR-MAPPED-ADDRESS, MESSAGE-INTEGRITY, FINGERPRINT. Returns its length. */
size_t mt_stun_write_success(uint8_t out[MT_STUN_MAX_RESPONSE], const mt_stun *request, const struct sockaddr *mapped,
                             const uint8_t *password, size_t password_len);

/* Error response (400, 401, 420 with UNKNOWN-ATTRIBUTES, 487); integrity when password is not NULL. Returns its length. */
size_t mt_stun_write_error(uint8_t out[MT_STUN_MAX_RESPONSE], const mt_stun *request, uint16_t code, const uint8_t *password,
                           size_t password_len);

#endif
