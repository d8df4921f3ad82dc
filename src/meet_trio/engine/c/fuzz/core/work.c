/* What a call of the core may cost, in edges of code. */
#include "world.h"

static struct {
  const char *what;
  uint64_t work, allowed;
} worst[8];

/* Edges of code at -O1. Legitimate work is counted generously; a loop over the state without a bound exceeds it. */
enum {
  W_CALL = 6000,      /* any call: parsing, SRTP's window (1024 turns), a jump in a history */
  W_SEND = 300,       /* sending one packet to one consumer */
  W_CONSUMER = 600,   /* visiting one: its choice of layer, its report */
  W_STREAM = 300,     /* visiting one */
  W_MISSING = 16,     /* one packet that is missing */
  W_SLOT = 10,        /* one slot of a history, cleared or searched */
  W_TWCC = 100,       /* one slot of the window of arrivals: copied, written, cleared */
  W_WORD = 250,       /* four bytes of RTCP */
  W_RESEND = 17 * 40, /* seventeen packets asked for in one word, which are not sent */
  W_RESENDS = 300,    /* the retransmissions of one consumer at once */
  W_REPEATS = 32,     /* packets of one frame that are sent twice */
  W_TRANSPORT = 4000,
  W_ENTRY = 40,       /* moving one entry of a ledger */
  W_REBINDING = 6000, /* looking for the transport of a datagram from an unknown address; SRTP's window once more */
  W_MESSAGES = 256,   /* messages taken from a link in one turn */
};

static uint64_t history_of(const mt_producer *p) { return p->spec.video ? fuzz_settings.history_packets : 128; }

/* The cost of all consumers of `p` if each starts with the whole history. A packet may be sent twice, and another frame with it. */
static uint64_t w_forward(const mt_producer *p) {
  uint64_t w = 0;
  MT_EACH (item, &p->consumers) w += W_CONSUMER + (2 * history_of(p) + W_REPEATS) * W_SEND;
  MT_EACH (item, &p->relays) w += W_SEND;
  return w;
}

/* The cost if one of its streams starts again. */
static uint64_t w_reset(const mt_producer *p) {
  uint64_t w = history_of(p) * W_SLOT + W_STREAM;
  MT_EACH (item, &p->consumers) w += W_CONSUMER;
  MT_EACH (item, &p->relays) w += W_SEND;
  return w;
}

static uint64_t w_producers(const mt_list *all, uint64_t (*each)(const mt_producer *p), bool most) {
  uint64_t w = 0, m = 0;
  MT_EACH (item, all) {
    const mt_producer *p = MT_OF(item, mt_producer, in_transport);
    uint64_t one = each(p);
    m = one > m ? one : m;
    w += one + p->spec.encoding_count * (uint64_t)W_STREAM;
  }
  return most ? m : w;
}

static uint64_t w_round(const mt_producer *p) {
  uint64_t w = p->spec.encoding_count * (W_STREAM + MT_MAX_MISSING * W_MISSING + 2 * history_of(p) * W_SLOT);
  return w + w_forward(p) + p->spec.encoding_count * w_reset(p);
}

/* The cost of one more entry, for which the ledger may have to grow. */
static uint64_t w_ledger(const mt_ledger *l) { return (l->count + 16) * W_ENTRY; }

uint64_t fuzz_w_all(const mt_core *core) {
  uint64_t w = W_CALL + core->consumers.count * W_CONSUMER;
  w += w_producers(&core->mirrors, w_round, false);
  MT_EACH (item, &core->all_transports) {
    const mt_transport *t = MT_OF(item, mt_transport, in_core);
    w += W_TRANSPORT + w_producers(&t->producers, w_round, false) + t->sources.count * 20 + w_ledger(&t->sent);
    if (t->twcc) w += (uint64_t)MT_TWCC_WINDOW * W_TWCC;
  }
  return w;
}

uint64_t fuzz_w_rtp(const mt_transport *t) {
  if (!t) return W_CALL;
  return W_CALL + MT_MAX_MISSING * W_MISSING + w_producers(&t->producers, w_reset, false) +
         w_producers(&t->producers, w_forward, true) + w_ledger(&t->ended) +
         (t->twcc && !t->twcc->started ? MT_TWCC_WINDOW * 2 : 0);
}

uint64_t fuzz_w_rtcp(const mt_transport *t, size_t len) {
  if (!t) return W_CALL;
  uint64_t w = 0, most = w_producers(&t->producers, w_reset, true);
  MT_EACH (item, &t->consumers) {
    const mt_consumer *c = MT_OF(item, mt_consumer, in_transport);
    if (c->producer) w += 2 * (uint64_t)W_RESENDS * W_SEND; /* each may be sent twice */
  }
  return w + W_CALL + w_ledger(&t->ended) + len / 4 * (W_WORD + (w ? W_RESEND : 0) + most);
}

void fuzz_allow(uint64_t edges) {
  fuzz_work = 0;
  fuzz_allowance = edges;
}

void fuzz_worked(const char *what) {
  uint64_t allowed = fuzz_allowance, work = fuzz_work;
  fuzz_allowance = UINT64_MAX;
  if (!fuzz_show) return;
  for (unsigned i = 0; i < sizeof worst / sizeof *worst; i++) {
    if (worst[i].what && strcmp(worst[i].what, what) != 0) continue;
    if (!worst[i].what || work * worst[i].allowed > worst[i].work * allowed) worst[i].work = work, worst[i].allowed = allowed;
    worst[i].what = what;
    break;
  }
  fprintf(stderr, "    %s: %llu of %llu edges\n", what, (unsigned long long)work, (unsigned long long)allowed);
}

/* The gathered packets of each producer, of which there are no more than a history has. */
uint64_t fuzz_w_gathered(const mt_core *core) {
  uint64_t w = 0;
  MT_EACH (item, &core->gathered) w += 2 * w_forward(MT_OF(item, mt_producer, in_gathered));
  return w;
}

/* All messages that one call takes from the links. */
uint64_t fuzz_w_crossing(const mt_core *core) {
  uint64_t most = w_producers(&core->mirrors, w_forward, true) + w_producers(&core->mirrors, w_reset, true);
  return (W_CALL + most) * (LINK_SLOTS + 1024 / 4);
}

uint64_t fuzz_w_call(void) { return W_CALL; }

uint64_t fuzz_w_rebinding(void) { return W_REBINDING; }

void fuzz_print_work(void) {
  for (unsigned i = 0; fuzz_show && i < sizeof worst / sizeof *worst && worst[i].what; i++)
    fprintf(stderr, "most work of %s: %llu of %llu edges\n", worst[i].what, (unsigned long long)worst[i].work,
            (unsigned long long)worst[i].allowed);
}
