/* STUN for an ICE-lite agent (RFC 8489, RFC 8445): a parser of Binding requests and writers of their responses.
 *
 * The functions keep no state and allocate nothing. An attacker can reach the parser and one HMAC. Attributes after
 * MESSAGE-INTEGRITY are not authenticated, so they are ignored, except for FINGERPRINT (RFC 8489 section 14.5). If an attribute
 * comes twice, the first one counts. An attribute that this agent knows but does not use in a Binding request (REALM, NONCE, ...)
 * is skipped. An unknown comprehension-required attribute is reported, and the caller answers 420. Requests of our own and
 * long-term credentials are left out.
 */
#ifndef MT_FORMATS_STUN_H
#define MT_FORMATS_STUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum {
  MT_STUN_MAX_UFRAG = 256, /* bytes (RFC 8839 section 5.4) */
  /* Bytes: 20 of header, 24 of XOR-MAPPED-ADDRESS (IPv6) or 28 of ERROR-CODE and 8 of UNKNOWN-ATTRIBUTES, 24 of MESSAGE-INTEGRITY
   * and 8 of FINGERPRINT fit. */
  MT_STUN_MAX_RESPONSE = 128,
};

enum {
  MT_STUN_BINDING_REQUEST = 0x0001, /* message type (RFC 8489 section 5) */
  MT_STUN_UNKNOWN_ATTRIBUTE = 420,  /* RFC 8489 section 14.8 */
  MT_STUN_ROLE_CONFLICT = 487,      /* RFC 8445 section 7.3.1.1 */
};

typedef struct {
  uint16_t type; /* Binding: 0x0001 request, 0x0011 indication, 0x0101 success response, 0x0111 error response */
  uint8_t transaction[12];
  const uint8_t *username;  /* USERNAME, "local ufrag:remote ufrag", not NUL-terminated; NULL: absent */
  uint16_t username_len;    /* bytes */
  uint16_t local_ufrag_len; /* bytes of the username before the first ':'; 0: it has none */
  bool use_candidate, has_priority, has_fingerprint, ice_controlling, ice_controlled;
  uint32_t priority;
  uint64_t tie_breaker;
  uint16_t integrity_offset; /* bytes from the message's start to MESSAGE-INTEGRITY's attribute header; 0: absent */
  uint16_t unknown_required; /* type of the first unknown comprehension-required attribute; 0: none */
} mt_stun;

/* Parses a message of `n` bytes. `out` points into it. False: the message is malformed. A well-formed one has both top bits 0, the
 * magic cookie, a length of n - 20 that is a multiple of 4, all attributes inside, and a FINGERPRINT that is right or absent. */
bool mt_stun_parse_untrusted(const uint8_t *p, size_t n, mt_stun *out);

/* True: the parsed message has the MESSAGE-INTEGRITY that `password` makes (short-term credential: HMAC-SHA1, RFC 8489 section
 * 14.5). The comparison takes constant time. `password_len`: bytes. */
bool mt_stun_check_integrity(const uint8_t *p, size_t n, const mt_stun *m, const uint8_t *password, size_t password_len);

/* Writes a Binding success response with XOR-MAPPED-ADDRESS, MESSAGE-INTEGRITY and FINGERPRINT. Returns its length in bytes. */
size_t mt_stun_write_success(uint8_t out[MT_STUN_MAX_RESPONSE], const mt_stun *request, const struct sockaddr *mapped,
                             const uint8_t *password, size_t password_len);

/* Writes a Binding error response: 400, 401, 420 with UNKNOWN-ATTRIBUTES, or 487. It has MESSAGE-INTEGRITY unless `password` is
 * NULL. Returns its length in bytes. */
size_t mt_stun_write_error(uint8_t out[MT_STUN_MAX_RESPONSE], const mt_stun *request, uint16_t code, const uint8_t *password,
                           size_t password_len);

#endif
