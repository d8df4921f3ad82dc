/* See oracles.h. */
#include "oracles.h"

#include "base/bytes.h"
#include "base/table.h"
#include "formats/rtp.h"

#include <string.h>

/* ---- work ---- */

volatile uint64_t fuzz_work, fuzz_allowance = UINT64_MAX;

void __wrap___sanitizer_cov_trace_pc_guard(uint32_t *guard);
void __wrap___sanitizer_cov_trace_pc_guard(uint32_t *guard) {
  (void)guard;
  uint64_t work = fuzz_work + 1;
  fuzz_work = work;
  if (work <= fuzz_allowance) return;
  uint64_t allowed = fuzz_allowance;
  fuzz_allowance = UINT64_MAX;
  fprintf(stderr, "too much work: more than %llu edges in one call\n", (unsigned long long)allowed);
  abort();
}

void __wrap___sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *stop);
void __wrap___sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *stop) { (void)start, (void)stop; }

/* ---- indices ---- */

enum { SESSIONS = 256, SLOTS = 1 << 16, MOST = SLOTS / 2 };

typedef struct {
  uint64_t run, index, hash;
  uint32_t session, ssrc;
  bool rtcp;
} use;

static use uses[SLOTS];
static unsigned used;
static uint64_t run;
static struct {
  mt_srtp *s;
  uint32_t number;
} sessions[SESSIONS];
static unsigned session_count;
static uint32_t last_session;
uint64_t fuzz_protected, fuzz_firsts[2];

void fuzz_oracles_begin(void) {
  run++;
  used = 0;
  last_session = 0;
  fuzz_protected = fuzz_firsts[0] = fuzz_firsts[1] = 0;
  HOLDS(session_count == 0, "%u SRTP sessions are left from the program before", session_count);
}

bool fuzz_oracles_full(void) { return used >= MOST - 4096 || session_count + 8 > SESSIONS; }

unsigned fuzz_sessions(void) { return session_count; }

static mt_srtp *note(mt_srtp *s) {
  if (!s) return NULL;
  HOLDS(session_count < SESSIONS, "a program has at most %d sessions at a time", SESSIONS);
  sessions[session_count].s = s;
  sessions[session_count++].number = ++last_session;
  return s;
}

static uint32_t number_of(const mt_srtp *s) {
  for (unsigned i = 0; i < session_count; i++)
    if (sessions[i].s == s) return sessions[i].number;
  HOLDS(false, "a session that the core has not made");
  return 0;
}

/* Eight bytes at a time: most of a program's time is spent here. */
static uint64_t hash_of(const uint8_t *p, size_t n, uint64_t seed) {
  uint64_t h = seed ^ n * UINT64_C(0x9e3779b97f4a7c15), w;
  for (; n >= sizeof w; p += sizeof w, n -= sizeof w) {
    memcpy(&w, p, sizeof w);
    h = (h ^ w) * UINT64_C(0xbf58476d1ce4e5b9);
    h ^= h >> 29;
  }
  w = 0;
  if (n) memcpy(&w, p, n);
  return mt_hash64(h ^ w);
}

/* True: for the first time. */
static bool use_index(const mt_srtp *s, uint32_t ssrc, bool rtcp, uint64_t index, uint64_t hash) {
  uint32_t session = number_of(s);
  uint64_t at = mt_hash64(index ^ mt_hash64((uint64_t)ssrc << 32 | session << 1 | rtcp));
  use *u = &uses[at % SLOTS];
  while (u->run == run && (u->session != session || u->ssrc != ssrc || u->rtcp != rtcp || u->index != index))
    u = &uses[++at % SLOTS];
  if (u->run == run) {
    HOLDS(u->hash == hash, "index %llu of SSRC %u is used again with other bytes (%s of session %u)", (unsigned long long)index,
          ssrc, rtcp ? "SRTCP" : "SRTP", session);
    return false;
  }
  HOLDS(++used < MOST, "a program sends at most %d packets", MOST);
  *u = (use){run, index, hash, session, ssrc, rtcp};
  return true;
}

mt_srtp *__wrap_mt_srtp_new(mt_srtp_profile profile, mt_aead_library library, const uint8_t *tx, const uint8_t *rx);
mt_srtp *__wrap_mt_srtp_new(mt_srtp_profile profile, mt_aead_library library, const uint8_t *tx, const uint8_t *rx) {
  return note(__real_mt_srtp_new(profile, library, tx, rx));
}

mt_srtp *__wrap_mt_srtp_new_null(void);
mt_srtp *__wrap_mt_srtp_new_null(void) { return note(__real_mt_srtp_new_null()); }

void __wrap_mt_srtp_free(mt_srtp *s);
void __wrap_mt_srtp_free(mt_srtp *s) {
  for (unsigned i = 0; i < session_count; i++)
    if (sessions[i].s == s) sessions[i] = sessions[--session_count];
  __real_mt_srtp_free(s);
}

size_t __wrap_mt_srtp_protect(mt_srtp *s, uint64_t index, uint8_t *out, size_t header_len, size_t prefix_len, const uint8_t *rest,
                              size_t rest_len);
size_t __wrap_mt_srtp_protect(mt_srtp *s, uint64_t index, uint8_t *out, size_t header_len, size_t prefix_len, const uint8_t *rest,
                              size_t rest_len) {
  uint64_t hash = hash_of(rest, rest_len, hash_of(out, header_len + prefix_len, 0));
  uint32_t ssrc = mt_load32(out + 8);
  size_t len = __real_mt_srtp_protect(s, index, out, header_len, prefix_len, rest, rest_len);
  if (!len) return 0;
  fuzz_protected++;
  if (use_index(s, ssrc, false, index, hash)) fuzz_firsts[ssrc % 2]++;
  return len;
}

size_t __wrap_mt_srtcp_protect(mt_srtp *s, uint32_t index, uint8_t *packet, size_t len, size_t cap);
size_t __wrap_mt_srtcp_protect(mt_srtp *s, uint32_t index, uint8_t *packet, size_t len, size_t cap) {
  uint64_t hash = hash_of(packet, len, 0);
  uint32_t ssrc = mt_load32(packet + 4);
  size_t n = __real_mt_srtcp_protect(s, index, packet, len, cap);
  /* The index belongs to the session, for all SSRCs; it is checked for each SSRC, like the cipher does. */
  if (n) use_index(s, ssrc, true, index, hash);
  return n;
}
