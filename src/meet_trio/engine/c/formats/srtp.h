/* SRTP and SRTCP for one DTLS association (RFC 3711, RFC 7714), on OpenSSL EVP.
 *
 * A session holds the keys of both directions. State per synchronization source belongs to the caller: a
 * sender passes the 48-bit packet index itself (so an index can be exported, and is never used twice by
 * accident), a receiver keeps a `mt_srtp_window` per SSRC. Nothing here allocates after `mt_srtp_new`.
 */
#ifndef MT_FORMATS_SRTP_H
#define MT_FORMATS_SRTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
  MT_SRTP_AES128_CM_SHA1_80 = 0x0001, /* RFC 5764, DTLS-SRTP profile numbers */
  MT_SRTP_AEAD_AES_128_GCM = 0x0007,  /* RFC 7714 */
  MT_SRTP_AEAD_AES_256_GCM = 0x0008,
} mt_srtp_profile;

enum {
  MT_SRTP_MAX_KEYING = 46,    /* master key + salt, longest profile is 32 + 12; CM is 16 + 14 */
  MT_SRTP_MAX_OVERHEAD = 16,  /* bytes that protect adds to an RTP packet at most */
  MT_SRTCP_MAX_OVERHEAD = 20, /* tag + E/index word */
  MT_SRTP_WINDOW_BITS = 1024, /* replay window, packets; video bursts reorder far more than the RFC's 64 */
};

typedef struct mt_srtp mt_srtp;

typedef struct { /* one receiving SSRC; zero-initialised is "nothing received yet" */
  bool started;
  uint64_t highest; /* highest authenticated index; RTP: roll-over counter << 16 | sequence, RTCP: 31 bits */
  uint64_t bits[MT_SRTP_WINDOW_BITS / 64];
} mt_srtp_window;

typedef enum {
  MT_SRTP_OK = 0,
  MT_SRTP_TOO_SHORT,
  MT_SRTP_REPLAYED,
  MT_SRTP_BAD_AUTH,
  MT_SRTP_ERROR,
} mt_srtp_status;

/* Length of master key + master salt of a profile, 0 for an unknown one. */
size_t mt_srtp_keying_length(mt_srtp_profile profile);

/* `tx`, `rx`: master key followed by master salt, mt_srtp_keying_length bytes each. NULL on failure. */
mt_srtp *mt_srtp_new(mt_srtp_profile profile, const uint8_t *tx, const uint8_t *rx);
/* For plain RTP: nothing is encrypted and nobody is authenticated, packets stay as they are. Indices and the RTP replay window work as
 * ever; RTCP, which has no index then, is not looked at for replays. No DTLS handshake can ask for this. */
mt_srtp *mt_srtp_new_null(void);
void mt_srtp_free(mt_srtp *s); /* NULL is allowed; wipes the keys */

/* Encrypt one RTP packet whose header (`header_len` bytes, with CSRCs and extension) and the first `prefix_len` bytes
 * of plaintext payload stand in `out`; the rest of the plaintext payload is at `rest` (it may be of another packet's buffer and
 * is not changed; it does not overlap `out`). `index` is the 48-bit index whose low 16 bits are the header's sequence
 * number. `out` must have room for header_len + prefix_len + rest_len + MT_SRTP_MAX_OVERHEAD.
 * Returns the packet's length, 0 on failure. */
size_t mt_srtp_protect(mt_srtp *s, uint64_t index, uint8_t *out, size_t header_len, size_t prefix_len, const uint8_t *rest,
                       size_t rest_len);

/* Authenticate and decrypt in place. `header_len` from mt_rtp_parse. The index is guessed from `w` (RFC 3711 §3.3.1); `w`
 * changes only on success. `*out_len` and `*out_index` are set on success. */
mt_srtp_status mt_srtp_unprotect(mt_srtp *s, mt_srtp_window *w, uint8_t *packet, size_t len, size_t header_len, size_t *out_len,
                                 uint64_t *out_index);

/* The same for compound RTCP, in place, `cap` bytes of room. The sender's 31-bit index is the caller's. One rx window per session
 * and sender SSRC is the caller's too. */
size_t mt_srtcp_protect(mt_srtp *s, uint32_t index, uint8_t *packet, size_t len, size_t cap);
mt_srtp_status mt_srtcp_unprotect(mt_srtp *s, mt_srtp_window *w, uint8_t *packet, size_t len, size_t *out_len);

#endif
