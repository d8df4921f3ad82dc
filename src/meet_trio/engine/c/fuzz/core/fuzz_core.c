/* Runs the core under arbitrary programs (program.h): up to six clients at two linked cores, ICE with SRTP or plain RTP. All
 * packets of the clients are authentic unless the program says otherwise. Rules that are checked after each call:
 *
 *  - No SRTP index is used twice with other bytes. No call does more work than the size of the state and of the datagram
 *    allow (oracles.h; work.c has the allowances, in edges of code).
 *  - Each datagram has one fate: exactly one of the counters of drops and answers rises, or it was taken (see `fate`). Sent
 *    datagrams are counted as they leave. A protected RTP packet is counted as forwarded or as a retransmission. The consumer's
 *    index of a forwarded one was not used before, so none is forwarded twice: not by catching up, nor by gathering.
 *  - Gathered packets wait for datagrams only: any other call has forwarded them when it returns.
 *  - A datagram goes only to an address that proved this transport's credentials within the time of consent, or that it claims
 *    since at most CONFIRM_MS, or, from a plain transport, to one in its networks that it was connected to or (comedia) heard from.
 *    Nothing larger than a datagram is sent. RTP has only SSRCs of this client's consumers.
 *  - At the end, when everything was removed, nothing is left: objects, packet buffers, SRTP sessions, memory.
 *
 * MT_FUZZ_SHOW=1 prints each instruction, its effect and its work.
 */
#include "world.h"

static unsigned cost(const instruction *i) {
  switch ((op)i->op) {
  case OP_JOIN:
  case OP_KEYS: return 30;
  case OP_PRODUCE: return 10;
  case OP_TIME:
  case OP_CHECK:
  case OP_RESTART:
  case OP_CONSUME: return 4;
  default: return 1;
  }
}

static void perform(const instruction *i) {
  client *c = &fuzz_clients[i->who % CLIENTS];
  if (fuzz_show) {
    fuzz_print(i);
    fprintf(stderr, "\n");
  }
  switch ((op)i->op) {
  case OP_TIME: fuzz_pass((int64_t)i->n << i->x % 12, !(i->y & 1)); break;
  case OP_JOIN: fuzz_join(c, i->x, i->y); break;
  case OP_CHECK: fuzz_check(c, i->x, i->y); break;
  case OP_KEYS: fuzz_take_keys(c, i->x); break;
  case OP_LEAVE: fuzz_leave(c); break;
  case OP_RESTART: fuzz_restart(c); break;
  case OP_CONNECT: fuzz_connect_plain(c, i->x, i->y & 1); break;
  case OP_PRODUCE: fuzz_produce(c, i); break;
  case OP_PRODUCER: fuzz_produced(i); break;
  case OP_CONSUME: fuzz_consume(c, i); break;
  case OP_CONSUMER: fuzz_consumed(i); break;
  case OP_RELAY: fuzz_relay(i); break;
  case OP_RTP: fuzz_send_rtp(c, i); break;
  case OP_RTCP: fuzz_send_rtcp(c, i); break;
  case OP_DTLS: fuzz_dtls(c, i); break;
  case OP_PYTHON: fuzz_python(c, i); break;
  case OP_RAW: fuzz_send_raw(c, i); break;
  case OP_CLOSED:
    if (!c->alive) break;
    mt_core_path_closed(fuzz_cores[c->home], fuzz_now, &c->at[i->x % ADDRESSES].path);
    fuzz_settle_all(c->home);
    break;
  case OP_WISH: fuzz_wished(c, i); break;
  case OP_MOVE: fuzz_move(c, i->x); break;
  case OP_TRACE: fuzz_simple(c->home, MT_TRACE_TRANSPORT, c->id, i->x & 1); break;
  case OP_GATHER:
    fuzz_gathers = !(i->x & 1);
    for (unsigned k = 0; k < CORES; k++)
      if (fuzz_cores[k]) fuzz_forward_gathered(k);
    break;
  case OP_REPEAT:
  case OP_COUNT: break;
  }
}

static instruction risen(instruction i, unsigned fields, unsigned round) {
  if (fields & 1) i.x = (uint8_t)(i.x + round);
  if (fields & 2) i.n = (uint16_t)(i.n + round);
  if (fields & 4) i.m = (uint16_t)(i.m + round);
  if (fields & 8) i.p = (uint16_t)(i.p + round);
  if (fields & 16) i.q = (uint16_t)(i.q + round);
  if (fields & 32) i.y = (uint8_t)(i.y + round);
  if (fields & 64) i.who = (uint8_t)(i.who + round);
  return i;
}

static void run(const uint8_t *data, size_t size) {
  unsigned steps = 0;
  size_t count = size / STEP_BYTES;
  for (size_t at = 0; at < count && at < MAX_INSTRUCTIONS; at++) {
    instruction i = fuzz_decode(data + at * STEP_BYTES);
    if ((steps += cost(&i)) > MAX_STEPS || fuzz_oracles_full()) return;
    if (i.op != OP_REPEAT) {
      perform(&i);
      continue;
    }
    size_t block = 1 + i.x % REPEAT_BLOCK;
    if (block > at) continue;
    if (fuzz_show) fprintf(stderr, "REPEAT the %zu before %u times\n", block, i.n % MAX_TIMES);
    for (unsigned round = 1; round <= i.n % MAX_TIMES; round++) {
      for (size_t k = at - block; k < at; k++) {
        instruction again = fuzz_decode(data + k * STEP_BYTES);
        if (again.op == OP_REPEAT) continue;
        if ((steps += cost(&again)) > MAX_STEPS || fuzz_oracles_full()) return;
        again = risen(again, i.y, round);
        perform(&again);
      }
    }
  }
}

static void everybody_leaves(void) {
  fuzz_gathers = false;
  fuzz_pass(ROUND_MS * MT_MS, true); /* everything that is due */
  fuzz_deaf = false;
  for (unsigned i = 0; i < CLIENTS; i++) fuzz_leave(&fuzz_clients[i]);
  for (uint32_t id = 1; id <= fuzz_last_id && fuzz_cores[1] && fuzz_cores[0]; id++) /* mirrors outlive their sources */
    for (unsigned i = 0; i < CORES; i++)
      if (mt_find_producer(fuzz_cores[i], id)) fuzz_simple(i, MT_REMOVE_PRODUCER, id, 0);
  for (unsigned k = 0; k < 3; k++) {
    for (unsigned i = 0; i < CORES; i++) fuzz_simple(i, MT_REQUEST_STATS, 1, 0);
    fuzz_pass(10 * MT_SECOND, true);
  }
  for (unsigned i = 0; i < CORES; i++) {
    if (!fuzz_cores[i]) continue;
    const mt_stats *s = &fuzz_left[i];
    HOLDS(s->transport_count + s->producer_count + s->mirror_count + s->consumer_count == 0, "objects are left");
    HOLDS(s->buffers_used == 0 && fuzz_cores[i]->packets.used == 0, "%llu packet buffers are left",
          (unsigned long long)s->buffers_used);
    HOLDS(fuzz_cores[i]->ufrags.count == 0 && fuzz_cores[i]->routes.count == 0, "names or routes are left");
    HOLDS(fuzz_cores[i]->sources_by_ssrc.count == 0 && fuzz_cores[i]->sources_by_index.count == 0, "sources are left");
    HOLDS(mt_list_empty(&fuzz_cores[i]->changed) && mt_list_empty(&fuzz_cores[i]->nacking) &&
              mt_list_empty(&fuzz_cores[i]->wanting) && mt_list_empty(&fuzz_cores[i]->feeding) &&
              mt_list_empty(&fuzz_cores[i]->gathered) && mt_list_empty(&fuzz_cores[i]->claims),
          "something is left to do");
  }
  HOLDS(fuzz_sessions() == 0, "%u SRTP sessions are left", fuzz_sessions());
}

/* Most of a program's time goes into allocating and freeing a few large objects. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "quarantine_size_mb=8:malloc_context_size=8"; }

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
  static const mt_srtp_profile numbers[PROFILES] = {MT_SRTP_AES128_CM_SHA1_80, MT_SRTP_AEAD_AES_128_GCM, MT_SRTP_AEAD_AES_256_GCM};
  (void)argc, (void)argv;
  fuzz_show = getenv("MT_FUZZ_SHOW") != NULL;
  for (unsigned i = 0; i < CLIENTS; i++) {
    for (unsigned k = 0; k < MT_SRTP_MAX_KEYING; k++) {
      fuzz_keying[i][0][k] = (uint8_t)(i * 50 + k);
      fuzz_keying[i][1][k] = (uint8_t)(i * 50 + k + 128);
    }
    /* Made once: deriving keys takes longer than everything else. */
    for (unsigned k = 0; k < PROFILES; k++) {
      fuzz_far_ends[i][k] = __real_mt_srtp_new(numbers[k], MT_AEAD_LIBCRYPTO, fuzz_keying[i][0], fuzz_keying[i][1]);
      HOLDS(fuzz_far_ends[i][k], "no session");
    }
  }
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  memset(fuzz_clients, 0, sizeof fuzz_clients);
  memset(fuzz_producers, 0, sizeof fuzz_producers);
  memset(fuzz_consumers, 0, sizeof fuzz_consumers);
  memset(fuzz_out_count, 0, sizeof fuzz_out_count);
  memset(fuzz_out_bytes, 0, sizeof fuzz_out_bytes);
  memset(fuzz_given, 0, sizeof fuzz_given);
  fuzz_now = MT_SECOND;
  fuzz_last_id = fuzz_serial = fuzz_dtls_events = 0;
  fuzz_deaf = false;
  fuzz_gathers = true;
  fuzz_oracles_begin();
  fuzz_have_core(0);
  run(data, size);
  everybody_leaves();
  for (unsigned i = 0; i < CORES; i++) {
    mt_core_free(fuzz_cores[i]);
    mt_waker_drop(fuzz_wakers[i]);
    mt_links_free(&fuzz_links[i]);
    fuzz_cores[i] = NULL;
    fuzz_wakers[i] = NULL;
  }
  fuzz_print_work();
  return 0;
}
