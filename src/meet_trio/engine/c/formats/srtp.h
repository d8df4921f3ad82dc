/* SRTP and SRTCP for one DTLS association (RFC 3711, RFC 7714), on libcrypto and, for AES-GCM, formats/aead.h.
 *
 * A session (mt_srtp) holds the keys of both directions. State of an SSRC belongs to the caller. A sender passes the 48-bit packet
 * index itself, so that the index can be exported and is not used twice by accident. A receiver keeps an mt_srtp_window for each
 * SSRC.
 *
 * mt_srtp_new derives the session keys; a packet then needs only a new IV, and the packet functions do not allocate. On the
 * receiving side the order is: lengths, replay window, authentication, decryption, and only then the window moves. So a forged
 * packet changes no state. The CM profile authenticates before it decrypts. GCM decrypts in place and zeroes the payload of a packet
 * that it refuses.
 *
 * The session is not rekeyed, and MKI and a key derivation rate are not supported: WebRTC uses neither.
 */
#ifndef MT_FORMATS_SRTP_H
#define MT_FORMATS_SRTP_H

#include "formats/aead.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Protection profiles by their numbers in DTLS-SRTP */
typedef enum {
  MT_SRTP_AES128_CM_SHA1_80 = 0x0001, /* RFC 5764 section 4.1.2 */
  MT_SRTP_AEAD_AES_128_GCM = 0x0007,  /* RFC 7714 section 14.2 */
  MT_SRTP_AEAD_AES_256_GCM = 0x0008,
} mt_srtp_profile;

enum {
  MT_SRTP_MAX_KEYING = 46,    /* bytes of master key and salt; the longest profile has 32 + 12, CM has 16 + 14 */
  MT_SRTP_MAX_OVERHEAD = 16,  /* bytes that protecting adds to an RTP packet at most: the tag */
  MT_SRTCP_MAX_OVERHEAD = 20, /* bytes that protecting adds to a compound RTCP packet at most: the tag and the index word */
  MT_SRTP_WINDOW_BITS = 1024, /* packets of the replay window; video bursts are reordered by far more than the 64 of RFC 3711 */
};

typedef struct mt_srtp mt_srtp;

typedef struct { /* the replay window of one received SSRC (RFC 3711 section 3.3.2); zeros: no packet was received yet */
  bool started;
  uint64_t highest; /* the highest authenticated index; RTP: roll-over counter << 16 | sequence number, RTCP: 31 bits */
  uint64_t bits[MT_SRTP_WINDOW_BITS / 64];
} mt_srtp_window;

typedef enum {
  MT_SRTP_OK = 0,
  MT_SRTP_TOO_SHORT,
  MT_SRTP_REPLAYED,
  MT_SRTP_BAD_AUTH,
  MT_SRTP_ERROR,
} mt_srtp_status;

/* The length of a profile's master key and master salt in bytes. 0: the profile is unknown. */
size_t mt_srtp_keying_length(mt_srtp_profile profile);

/* `library`: of the GCM profiles. `tx`, `rx`: the master key followed by the master salt of the sent and of the received packets,
 * mt_srtp_keying_length bytes each. NULL: the profile is unknown, there is no memory, or the library cannot be used or refuses. */
mt_srtp *mt_srtp_new(mt_srtp_profile profile, mt_aead_library library, const uint8_t *tx, const uint8_t *rx);
/* A session for plain RTP: packets are neither encrypted nor authenticated and stay unchanged. Indices and the RTP replay window
 * work the same. RTCP packets have no index then, so they have no replay protection. A DTLS handshake cannot negotiate such a
 * session. NULL: no memory. */
mt_srtp *mt_srtp_new_null(void);
void mt_srtp_free(mt_srtp *s); /* wipes the keys; NULL is allowed */

/* A packet is about to be protected: the cache lines that it needs of the session, and those of the keys. */
void mt_srtp_fetch(const mt_srtp *s);
void mt_srtp_fetch_keys(const mt_srtp *s);

/* Encrypts one RTP packet. Its header (`header_len` bytes, with CSRCs and extension) and the first `prefix_len` bytes of plaintext
 * payload stand in `out`. The rest of the plaintext payload is at `rest`, which may be in another packet's buffer, does not overlap
 * `out` and is not changed. `index` is the 48-bit index; its low 16 bits are the header's sequence number. `out` has room for
 * header_len + prefix_len + rest_len + MT_SRTP_MAX_OVERHEAD bytes. Returns the packet's length in bytes. 0: failure. */
size_t mt_srtp_protect(mt_srtp *s, uint64_t index, uint8_t *out, size_t header_len, size_t prefix_len, const uint8_t *rest,
                       size_t rest_len);

/* Authenticates and decrypts an RTP packet of `len` bytes in place. `header_len` is that of mt_rtp_parse_untrusted. The index is
 * guessed from `w` (RFC 3711 section 3.3.1). `w` changes only on success; `*out_len` (bytes) and `*out_index` are set only on
 * success. */
mt_srtp_status mt_srtp_unprotect(mt_srtp *s, mt_srtp_window *w, uint8_t *packet, size_t len, size_t header_len, size_t *out_len,
                                 uint64_t *out_index);

/* Encrypts a compound RTCP packet of `len` bytes in place; there is room for `cap` bytes. The caller counts the 31-bit index.
 * Returns the packet's length in bytes. 0: failure, or `cap` is too small. */
size_t mt_srtcp_protect(mt_srtp *s, uint32_t index, uint8_t *packet, size_t len, size_t cap);
/* Authenticates and decrypts a compound RTCP packet in place. The caller keeps one window `w` for each session and sender SSRC; it
 * changes only on success. */
mt_srtp_status mt_srtcp_unprotect(mt_srtp *s, mt_srtp_window *w, uint8_t *packet, size_t len, size_t *out_len);

enum { MT_SRTCP_LAYOUTS = 2 }; /* places of the index: those of the GCM profiles and of the CM profile */
/* Writes the indices that an encrypted SRTCP packet would have in each layout, as far as its E bit is set there. Returns their
 * number. Nothing is authenticated. */
unsigned mt_srtcp_indices_untrusted(const uint8_t *packet, size_t len, uint32_t out[MT_SRTCP_LAYOUTS]);

#endif
