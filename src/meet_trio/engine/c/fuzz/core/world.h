/* What all parts of the core's fuzzer know: the cores, the clients at them, and the moves that a program can make.
 *
 * A part is a file: work.c (what a call may cost), sums.c (what the counters must say), world.c (the state, and the core's sink with
 * the rules for what leaves), calls.c (a call of the core, between these rules), and the moves: clients.c, streams.c, packets.c,
 * rtcp.c.
 */
#ifndef MT_FUZZ_WORLD_H
#define MT_FUZZ_WORLD_H

#include "base/bytes.h"
#include "core/exchange.h"
#include "links/link.h"
#include "paths/routes.h"
#include "state/find.h"
#include "state/trace.h"
#include "../../tests/client.h"
#include "oracles.h"
#include "program.h"

enum {
  CORES = 2,
  CLIENTS = 6,
  ADDRESSES = 3,
  PLACES = 8,
  VIEWS = 16,
  SSRCS = 256,
  FIRST_SSRC = 1000,
  FIRST_SENT_SSRC = 100000,
  PROFILES = 3,
  LINK_SLOTS = 16,
  FIRST_INDEX = 1000, /* of every SSRC: successive streams of one SSRC overlap */
  CONSENT_MS = 30000,
  ROUND_MS = 100,
  CONFIRM_MS = 6000, /* a claimed address without a check */
};

typedef struct {
  mt_path path, rtcp; /* rtcp differs only for plain RTP */
  int64_t proved;     /* the last time at which it may have become an allowed address; 0: never */
} address;

typedef struct {
  bool alive, plain, comedia;
  unsigned home, place;
  uint32_t id;
  unsigned restarts;
  address at[ADDRESSES];
  mt_srtp *srtp; /* the client's end; NULL: no keys */
  uint32_t srtcp_index;
  uint64_t next[SSRCS];
  uint32_t timestamp;
  uint16_t twcc[4]; /* newest, highest, lowest, first */
  uint16_t picture;
  uint32_t last_ssrc; /* of the packets received */
  uint16_t last_sequence;
  uint8_t compound[MT_DATAGRAM_MAX];
  size_t compound_len;
} client;

typedef struct {
  uint32_t id; /* 0: none */
  unsigned home;
  bool mirrored;
  mt_producer_spec spec;
} produced_one;

typedef struct {
  uint32_t id; /* 0: none */
  unsigned home;
} consumed_one;

/* ---- the state (world.c) ---- */

extern const mt_settings fuzz_settings;
extern mt_core *fuzz_cores[CORES];
extern mt_waker *fuzz_wakers[CORES];
extern mt_links fuzz_links[CORES];
extern mt_srtp *fuzz_far_ends[CLIENTS][PROFILES];
extern uint8_t fuzz_keying[CLIENTS][2][MT_SRTP_MAX_KEYING];
extern client fuzz_clients[CLIENTS];
extern produced_one fuzz_producers[PLACES];
extern consumed_one fuzz_consumers[VIEWS];
extern int64_t fuzz_now;
extern uint32_t fuzz_last_id, fuzz_serial;
extern bool fuzz_deaf, fuzz_show, fuzz_gathers;
extern uint8_t fuzz_out_buffer[MT_DATAGRAM_MAX];
extern uint64_t fuzz_out_count[CORES], fuzz_out_bytes[CORES], fuzz_given[CORES];
extern unsigned fuzz_dtls_events;
extern mt_path fuzz_expected; /* the destination of the answer to a check: its source; kind NONE: no answer is due */
extern mt_stats fuzz_left[CORES];

void fuzz_have_core(unsigned i);

/* ---- allowances, in edges of code (work.c) ---- */

uint64_t fuzz_w_call(void);      /* any call */
uint64_t fuzz_w_rebinding(void); /* of media from an unknown address */
uint64_t fuzz_w_all(const mt_core *core);
uint64_t fuzz_w_rtp(const mt_transport *t);              /* NULL: of nobody */
uint64_t fuzz_w_rtcp(const mt_transport *t, size_t len); /* NULL: of nobody */
uint64_t fuzz_w_gathered(const mt_core *core);
uint64_t fuzz_w_crossing(const mt_core *core);
void fuzz_allow(uint64_t edges);    /* for the call that follows */
void fuzz_worked(const char *what); /* after it */
void fuzz_print_work(void);

/* ---- the counters' sums (sums.c) ---- */

uint64_t fuzz_ends(const mt_core *core);
uint64_t fuzz_taken_packets(const mt_core *core, uint32_t id);
void fuzz_settle(unsigned i); /* what the counters of the core say is true */

/* ---- calls of the core (calls.c) ---- */

void fuzz_settle_all(unsigned i);
void fuzz_forward_gathered(unsigned i);
void fuzz_datagram(client *c, const mt_path *from, const uint8_t *bytes, size_t len);
void fuzz_command(unsigned i, mt_command *c);
void fuzz_simple(unsigned home, mt_command_type type, uint32_t id, uint64_t number);
void fuzz_prefer(unsigned home, uint32_t id, uint32_t spatial, uint32_t temporal);
void fuzz_pass(int64_t us, bool crossing);

/* ---- moves (clients.c, streams.c, packets.c, rtcp.c) ---- */

void fuzz_check(client *c, unsigned which, unsigned how);
void fuzz_take_keys(client *c, unsigned profile);
void fuzz_connect_plain(client *c, unsigned which, bool elsewhere);
void fuzz_leave(client *c);
void fuzz_join(client *c, unsigned kind, unsigned how);
void fuzz_move(client *c, unsigned which);
void fuzz_restart(client *c);

void fuzz_produce(client *c, const instruction *i);
void fuzz_produced(const instruction *i);
void fuzz_consume(client *c, const instruction *i);
void fuzz_consumed(const instruction *i);
void fuzz_wished(const client *c, const instruction *i);
void fuzz_relay(const instruction *i);
void fuzz_python(client *c, const instruction *i);

void fuzz_send_rtp(client *c, const instruction *i);
void fuzz_send_rtcp(client *c, const instruction *i);
void fuzz_send_raw(client *c, const instruction *i);
void fuzz_dtls(client *c, const instruction *i);

#endif
