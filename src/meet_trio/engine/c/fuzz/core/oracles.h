/* Rules for every call, checked from outside the core. The linker redirects the calls to SRTP here (`--wrap`), and the
 * compiler adds a call for every edge of the core's code (`-fsanitize-coverage=trace-pc-guard`). The core's sources are unchanged.
 *
 *  - No index is used twice with other bytes: for each session that the core has made, SSRC and index (RTP and RTCP apart), the
 *    header and plaintext are those of the first time. This also holds without keys, where a violation does less harm.
 *  - Work is counted in edges of the core's code: every turn of every loop is at least one. A call that exceeds its
 *    allowance is ended in place, so that the stack shows the loop.
 */
#ifndef MT_FUZZ_ORACLES_H
#define MT_FUZZ_ORACLES_H

#include "formats/srtp.h"

#include <stdio.h>
#include <stdlib.h>

#define HOLDS(condition, ...)                                                   \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "%s:%d: not true: %s: ", __FILE__, __LINE__, #condition); \
      fprintf(stderr, __VA_ARGS__);                                             \
      fputc('\n', stderr);                                                      \
      abort();                                                                  \
    }                                                                           \
  } while (0)

/* volatile: the compiler adds the counting last, and does not know of any call that reads or writes them */
extern volatile uint64_t fuzz_work;      /* of this call */
extern volatile uint64_t fuzz_allowance; /* for this call; UINT64_MAX between calls */
extern uint64_t fuzz_protected;          /* RTP packets that the core has protected */
extern uint64_t fuzz_firsts[2];          /* those with an index that was not used before, of even SSRCs and of odd ones */

void fuzz_oracles_begin(void); /* starts a program */
bool fuzz_oracles_full(void);  /* no further packets can be remembered: end */
unsigned fuzz_sessions(void);  /* made by the core and not freed */

/* SRTP of the clients, which is not watched */
mt_srtp *__real_mt_srtp_new(mt_srtp_profile profile, mt_aead_library library, const uint8_t *tx, const uint8_t *rx);
mt_srtp *__real_mt_srtp_new_null(void);
void __real_mt_srtp_free(mt_srtp *s);
size_t __real_mt_srtp_protect(mt_srtp *s, uint64_t index, uint8_t *out, size_t header_len, size_t prefix_len, const uint8_t *rest,
                              size_t rest_len);
size_t __real_mt_srtcp_protect(mt_srtp *s, uint32_t index, uint8_t *packet, size_t len, size_t cap);

#endif
