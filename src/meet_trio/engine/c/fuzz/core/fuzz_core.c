/* Runs the core under arbitrary programs (program.h): up to six clients at two linked cores, ICE with SRTP or plain RTP. All
 * packets of the clients are authentic unless the program says otherwise. Rules that are checked after each call:
 *
 *  - No SRTP index is used twice with other bytes. No call does more work than the size of the state and of the datagram
 *    allow (oracles.h; the allowances are below, in edges of code).
 *  - Each datagram has one fate: exactly one of the counters of drops and answers rises, or it was taken (see `fate`). Sent
 *    datagrams are counted as they leave. A protected RTP packet is counted as forwarded or as a retransmission. The consumer's
 *    index of a forwarded one was not used before, so none is forwarded twice: not by catching up, nor by gathering.
 *  - Gathered packets wait for datagrams only: any other call has forwarded them when it returns.
 *  - A datagram goes only to an address that proved this transport's credentials within the time of consent, or that it claims
 *    since at most CONFIRM_MS, or, from a plain
 *    transport, to one in its networks that it was connected to or (comedia) heard from. Nothing larger than a datagram is sent.
 *    RTP has only SSRCs of this client's consumers.
 *  - At the end, when everything was removed, nothing is left: objects, packet buffers, SRTP sessions, memory.
 *
 * MT_FUZZ_SHOW=1 prints each instruction, its effect and its work.
 */
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

static const mt_settings settings = {.history_packets = 64,
                                     .history_ms = 1000,
                                     .dtls_per_second = 50,
                                     .consent_ms = CONSENT_MS,
                                     .pli_interval_ms = 300,
                                     .nack_delay_ms = 10,
                                     .nack_interval_ms = 50,
                                     .nack_tries = 4,
                                     .layer_silence_ms = 1500,
                                     .equal_lengths = true,
                                     .start_bitrate = 1000000,
                                     .excess_percent = 200,
                                     .excess_ms = 10000,
                                     .seed = 1};

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

static mt_core *cores[CORES];
static mt_waker *wakers[CORES];
static mt_links links[CORES];
static mt_srtp *far_ends[CLIENTS][PROFILES];
static uint8_t keying[CLIENTS][2][MT_SRTP_MAX_KEYING];
static client clients[CLIENTS];
static struct {
  uint32_t id;
  unsigned home;
  bool mirrored;
  mt_producer_spec spec;
} producers[PLACES];
static struct {
  uint32_t id;
  unsigned home;
} consumers[VIEWS];
static int64_t now;
static uint32_t last_id, serial;
static bool deaf, show, gathers;
static uint8_t out_buffer[MT_DATAGRAM_MAX];
static uint64_t out_count[CORES], out_bytes[CORES], given[CORES];
static unsigned dtls_events;
static mt_path expected; /* the destination of the answer to a check: its source; kind NONE: no answer is due */
static mt_stats left[CORES];
static struct {
  const char *what;
  uint64_t work, allowed;
} worst[8];

/* ---- work ---- */

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

static uint64_t history_of(const mt_producer *p) { return p->spec.video ? settings.history_packets : 128; }

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

static uint64_t w_all(const mt_core *core) {
  uint64_t w = W_CALL + core->consumers.count * W_CONSUMER;
  w += w_producers(&core->mirrors, w_round, false);
  MT_EACH (item, &core->all_transports) {
    const mt_transport *t = MT_OF(item, mt_transport, in_core);
    w += W_TRANSPORT + w_producers(&t->producers, w_round, false) + t->sources.count * 20 + w_ledger(&t->sent);
    if (t->twcc) w += (uint64_t)MT_TWCC_WINDOW * W_TWCC;
  }
  return w;
}

static uint64_t w_rtp(const mt_transport *t) {
  if (!t) return W_CALL;
  return W_CALL + MT_MAX_MISSING * W_MISSING + w_producers(&t->producers, w_reset, false) +
         w_producers(&t->producers, w_forward, true) + w_ledger(&t->ended) +
         (t->twcc && !t->twcc->started ? MT_TWCC_WINDOW * 2 : 0);
}

static uint64_t w_rtcp(const mt_transport *t, size_t len) {
  if (!t) return W_CALL;
  uint64_t w = 0, most = w_producers(&t->producers, w_reset, true);
  MT_EACH (item, &t->consumers) {
    const mt_consumer *c = MT_OF(item, mt_consumer, in_transport);
    if (c->producer) w += 2 * (uint64_t)W_RESENDS * W_SEND; /* each may be sent twice */
  }
  return w + W_CALL + w_ledger(&t->ended) + len / 4 * (W_WORD + (w ? W_RESEND : 0) + most);
}

static void allow(uint64_t edges) {
  fuzz_work = 0;
  fuzz_allowance = edges;
}

static void worked(const char *what) {
  uint64_t allowed = fuzz_allowance, work = fuzz_work;
  fuzz_allowance = UINT64_MAX;
  if (!show) return;
  for (unsigned i = 0; i < sizeof worst / sizeof *worst; i++) {
    if (worst[i].what && strcmp(worst[i].what, what) != 0) continue;
    if (!worst[i].what || work * worst[i].allowed > worst[i].work * allowed) worst[i].work = work, worst[i].allowed = allowed;
    worst[i].what = what;
    break;
  }
  fprintf(stderr, "    %s: %llu of %llu edges\n", what, (unsigned long long)work, (unsigned long long)allowed);
}

/* ---- the sink ---- */

static unsigned core_of(const void *context) { return (unsigned)((mt_core *const *)context - cores); }

static uint8_t *reserve(void *context) {
  (void)context;
  return out_buffer;
}

static address *address_of(client *c, const mt_path *path, bool rtcp) {
  for (unsigned i = 0; i < ADDRESSES; i++)
    if (mt_path_equal(rtcp ? &c->at[i].rtcp : &c->at[i].path, path)) return &c->at[i];
  return NULL;
}

static void check_ssrc(const client *c, const mt_rtp *h) {
  const mt_transport *t = mt_find_transport(cores[c->home], c->id);
  HOLDS(t && mt_table_first(&t->consumers_by_ssrc, mt_hash64(h->ssrc)), "RTP under SSRC %u, which no consumer has", h->ssrc);
}

static bool is_claimed(const client *c, const mt_path *to) {
  const mt_transport *t = mt_find_transport(cores[c->home], c->id);
  return t && t->claim.route && mt_path_equal(&t->claim.route->path, to) && now - t->claim.made <= CONFIRM_MS * MT_MS;
}

static void send_out(void *context, const mt_path *to, size_t len) {
  unsigned core = core_of(context);
  uint64_t allowance = fuzz_allowance, work = fuzz_work;
  fuzz_allowance = UINT64_MAX;
  out_count[core]++;
  out_bytes[core] += len;
  HOLDS(len > 0 && len <= MT_DATAGRAM_MAX, "a datagram of %zu bytes", len);
  HOLDS(expected.kind == MT_PATH_NONE || mt_path_equal(&expected, to), "an answer to somebody else");
  client *c = NULL;
  address *a = NULL;
  bool media = mt_is_rtp_or_rtcp(out_buffer, len), rtcp = media && mt_is_rtcp(out_buffer, len);
  for (unsigned i = 0; i < CLIENTS && !a; i++) {
    c = &clients[i];
    if (c->alive && c->home == core) a = address_of(c, to, rtcp);
  }
  HOLDS(a, "to an address that nobody has");
  bool claimed = is_claimed(c, to);
  HOLDS(a->proved || claimed, "to an address that has proved nothing");
  HOLDS(c->plain || claimed || now - a->proved <= (CONSENT_MS + ROUND_MS) * MT_MS, "%lld ms after the last consent",
        (long long)(now - a->proved) / MT_MS);
  if (show) fprintf(stderr, "    out to client %u: %zu bytes%s\n", c->place, len, rtcp ? ", RTCP" : media ? ", RTP" : "");
  if (media && !rtcp) {
    mt_rtp h;
    HOLDS(mt_rtp_parse_untrusted(out_buffer, len, &h), "RTP that cannot be read");
    check_ssrc(c, &h);
    c->last_ssrc = h.ssrc;
    c->last_sequence = h.sequence;
  }
  fuzz_allowance = allowance;
  fuzz_work = work;
}

/* The records fill the event, and each is an RTP or an RTCP packet of this time or before. */
static void check_traced(const mt_event *event) {
  const uint8_t *at = event->data, *end = at + event->len;
  HOLDS(event->len > 0, "an event without packets");
  while (at < end) {
    int64_t time;
    uint16_t len;
    HOLDS(end - at >= MT_TRACE_RECORD, "a record is cut");
    memcpy(&time, at, sizeof time);
    memcpy(&len, at + sizeof time, sizeof len);
    HOLDS(time > 0 && time <= now && len <= end - at - MT_TRACE_RECORD, "a record's packet is cut, or is of another time");
    HOLDS(len >= 8 && mt_is_rtp_or_rtcp(at + MT_TRACE_RECORD, len), "a record's packet is of no known kind");
    at += MT_TRACE_RECORD + len;
  }
}

static bool take_event(void *context, const mt_event *event) {
  if (deaf) return false;
  if (event->type == MT_EVENT_DTLS) dtls_events++;
  if (event->type == MT_EVENT_TRACED) check_traced(event);
  if (event->type != MT_EVENT_STATS) return true;
  mt_stats *stats = (mt_stats *)(uintptr_t)event->data;
  left[core_of(context)] = *stats;
  mt_stats_free(stats);
  return true;
}

/* ---- the counters' sums ---- */

/* Counters of drops of other datagrams than the one that came, or of a part of its effects. */
static bool is_of_others(const char *counter) {
  static const char *const others[] = {"dropped_no_path",          "dropped_dtls_no_path", "dropped_relay_full",
                                       "dropped_relay_unknown",    "dropped_rtp_paused",   "dropped_no_memory",
                                       "dropped_path_unconfirmed", "dropped_queue_full"};
  for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
    if (strcmp(counter, others[i]) == 0) return true;
  return false;
}

/* The number of datagrams that have ended: dropped, or a check that was answered. */
static uint64_t ends(const mt_core *core) {
  static uint32_t which[sizeof(mt_counters) / sizeof(uint64_t)], count;
  const uint64_t *counter = (const uint64_t *)(const void *)&core->counters;
  uint64_t sum = 0;
  for (uint32_t i = 0; i < mt_counter_count && !(i == 0 && count); i++)
    if (strcmp(mt_counter_names[i], "stun_answered") == 0 ||
        (strncmp(mt_counter_names[i], "dropped_", 8) == 0 && !is_of_others(mt_counter_names[i])))
      which[count++] = i;
  for (uint32_t i = 0; i < count; i++) sum += counter[which[i]];
  return sum;
}

/* New packets (no duplicates) that streams of this transport got. */
static uint64_t taken_packets(const mt_core *core, uint32_t id) {
  const mt_transport *t = mt_find_transport((mt_core *)(uintptr_t)core, id);
  uint64_t n = 0;
  if (!t) return 0;
  MT_EACH (item, &t->producers) {
    const mt_producer *p = MT_OF(item, mt_producer, in_transport);
    for (unsigned i = 0; i < p->spec.encoding_count; i++) n += p->streams[i].stats.packets - p->streams[i].stats.duplicates;
  }
  return n;
}

/* RTP packets that the counters say were sent */
static uint64_t sent_by(const mt_counters *n) {
  return n->rtp_forwarded + n->retransmissions + n->packets_repeated + n->padding_sent + n->redundant_packets;
}

static void settle(unsigned i) {
  const mt_counters *c = &cores[i]->counters;
  HOLDS(c->datagrams_out == out_count[i] && c->bytes_out == out_bytes[i],
        "%llu datagrams of %llu bytes left, %llu of %llu were counted", (unsigned long long)out_count[i],
        (unsigned long long)out_bytes[i], (unsigned long long)c->datagrams_out, (unsigned long long)c->bytes_out);
  HOLDS(c->commands == given[i], "%llu commands were given", (unsigned long long)given[i]);
  uint64_t sent = 0, forwarded = 0;
  for (unsigned k = 0; k < CORES; k++) {
    if (!cores[k]) continue;
    sent += sent_by(&cores[k]->counters);
    forwarded += cores[k]->counters.rtp_forwarded;
  }
  HOLDS(forwarded == fuzz_firsts[0], "%llu packets were forwarded by %llu indices", (unsigned long long)forwarded,
        (unsigned long long)fuzz_firsts[0]);
  HOLDS(sent == fuzz_protected, "%llu RTP packets were protected, %llu are counted as sent", (unsigned long long)fuzz_protected,
        (unsigned long long)sent);
  HOLDS(cores[i]->packets.used <= cores[i]->packets.count, "%llu buffers are used of %llu",
        (unsigned long long)cores[i]->packets.used, (unsigned long long)cores[i]->packets.count);
}

/* ---- calls ---- */

/* The gathered packets of each producer, of which there are no more than a history has. */
static uint64_t w_gathered(const mt_core *core) {
  uint64_t w = 0;
  MT_EACH (item, &core->gathered) w += 2 * w_forward(MT_OF(item, mt_producer, in_gathered));
  return w;
}

/* After a call that is no datagram, or while none is gathered */
static void settle_all(unsigned i) {
  settle(i);
  HOLDS(mt_list_empty(&cores[i]->gathered) && !cores[i]->gathering, "packets are gathered");
}

static void forward_gathered(unsigned i) {
  allow(W_CALL + w_gathered(cores[i]));
  mt_core_forward(cores[i], now);
  worked("forward");
  settle_all(i);
}

static void datagram(client *c, const mt_path *from, const uint8_t *bytes, size_t len) {
  mt_core *core = cores[c->home];
  mt_transport *t = mt_find_transport(core, c->id);
  uint8_t *data = malloc(len ? len : 1); /* of its exact size, for the sanitizer */
  HOLDS(data, "no memory");
  if (len) memcpy(data, bytes, len);
  bool media = mt_is_rtp_or_rtcp(data, len), rtcp = media && mt_is_rtcp(data, len);
  uint64_t in = core->counters.datagrams_in, ended = ends(core), taken = taken_packets(core, c->id), out = out_count[c->home];
  unsigned dtls = dtls_events;
  if (gathers) mt_core_gather(core);
  allow((rtcp ? w_rtcp(t, len) : w_rtp(t)) + w_gathered(core) + (media && !mt_route_find(core, from) ? W_REBINDING : 0));
  mt_core_datagram(core, now, from, data, len);
  worked(rtcp ? "rtcp" : media ? "rtp" : "datagram");
  free(data);
  HOLDS(core->counters.datagrams_in == in + 1, "one datagram came in");
  /* fate */
  uint64_t fates = ends(core) - ended;
  if (rtcp) fates += fates == 0;
  else if (media) fates += taken_packets(core, c->id) - taken;
  else fates += dtls_events - dtls + (fates == 0 && out_count[c->home] > out); /* a check may be answered by an error */
  HOLDS(fates == 1, "a datagram has %llu fates", (unsigned long long)fates);
  if (gathers) settle(c->home);
  else settle_all(c->home);
}

static void command(unsigned i, mt_command *c) {
  if (!cores[i]) return;
  given[i]++;
  allow(w_gathered(cores[i]) + w_all(cores[i]) + (c->type == MT_REMOVE_TRANSPORT ? w_all(cores[i]) : 0));
  mt_core_command(cores[i], now, c);
  worked("command");
  settle_all(i);
}

static void simple(unsigned home, mt_command_type type, uint32_t id, uint64_t number) {
  mt_command c = {.type = type, .id = id, .u.number = number};
  command(home, &c);
}

static void prefer(unsigned home, uint32_t id, uint32_t spatial, uint32_t temporal) {
  mt_command c = {.type = MT_SET_PREFERRED_LAYERS, .id = id, .u.layers = {spatial, temporal}};
  command(home, &c);
}

static void tick(unsigned i) {
  allow(w_gathered(cores[i]) + w_all(cores[i]));
  mt_core_tick(cores[i], now);
  worked("tick");
  settle_all(i);
}

static void cross(unsigned i) {
  for (unsigned turn = 0; turn < 8; turn++) {
    uint64_t most = w_producers(&cores[i]->mirrors, w_forward, true) + w_producers(&cores[i]->mirrors, w_reset, true);
    mt_exchange_count(cores[i]);
    allow(w_gathered(cores[i]) + w_all(cores[i]) + (W_CALL + most) * (LINK_SLOTS + 1024 / 4));
    bool more = mt_exchange_take(cores[i], now);
    worked("cross");
    settle(i);
    if (!gathers) forward_gathered(i);
    if (!more) return;
  }
}

/* What is gathered does not wait for long: a batch ends in far less than a round. */
static void pass(int64_t us, bool crossing) {
  for (unsigned i = 0; i < CORES && us > ROUND_MS * MT_MS; i++)
    if (cores[i]) forward_gathered(i);
  now += us;
  for (unsigned i = 0; i < CORES; i++)
    if (cores[i]) mt_exchange_flush(cores[i]); /* as after each batch */
  for (unsigned i = 0; i < CORES; i++) {
    if (!cores[i]) continue;
    tick(i); /* like the thread, which runs at least ten times a second */
    if (crossing) cross(i);
    if (!crossing || !gathers) tick(i); /* else what has crossed may wait for datagrams */
    mt_exchange_flush(cores[i]);
  }
}

static void have_core(unsigned i) {
  if (cores[i]) return;
  mt_sink sink = {&cores[i], reserve, send_out, take_event};
  mt_settings with_aead = settings; /* the far ends have the other library */
  with_aead.aead = mt_aead_fastest();
  cores[i] = mt_core_new(&with_aead, &sink);
  wakers[i] = mt_waker_new(-1);
  HOLDS(cores[i] && wakers[i], "no memory");
}

/* ---- clients ---- */

static void credentials(const client *c, unsigned restarts, mt_ice_spec *out) {
  char text[32];
  snprintf(text, sizeof text, "u%u.%u", c->id, restarts);
  put_text(&out->ufrag, text);
  snprintf(text, sizeof text, "password%u.%u", c->id, restarts);
  put_text(&out->password, text);
}

static void check(client *c, unsigned which, unsigned how) {
  uint8_t m[128], transaction[12] = {0};
  mt_ice_spec ice = {0};
  address *a = &c->at[which % ADDRESSES];
  if (!c->alive || c->plain) return;
  credentials(c, how & 8 && c->restarts ? c->restarts - 1 : c->restarts, &ice);
  ice.ufrag.text[ice.ufrag.len] = ice.password.text[ice.password.len] = 0;
  if (how & 2) ice.password.text[0] ^= 1;
  mt_store32(transaction, ++serial);
  size_t n = write_check(m, ice.ufrag.text, ice.password.text, transaction, how & 1);
  if (!(how & 2)) a->proved = now;
  expected = a->path;
  datagram(c, &a->path, m, n);
  expected = (mt_path){0};
}

static void take_keys(client *c, unsigned profile) {
  static const mt_srtp_profile numbers[PROFILES] = {MT_SRTP_AES128_CM_SHA1_80, MT_SRTP_AEAD_AES_128_GCM, MT_SRTP_AEAD_AES_256_GCM};
  mt_command cmd = {.type = MT_SET_SRTP, .id = c->id, .u.srtp.profile = numbers[profile % PROFILES]};
  if (!c->alive || c->plain) return;
  memcpy(cmd.u.srtp.tx, keying[c->place][1], MT_SRTP_MAX_KEYING);
  memcpy(cmd.u.srtp.rx, keying[c->place][0], MT_SRTP_MAX_KEYING);
  command(c->home, &cmd);
  if (!c->srtp) c->srtp = far_ends[c->place][profile % PROFILES];
}

static mt_path plain_path(const client *c, unsigned which, bool rtcp) {
  mt_path p = c->at[which].path;
  p.kind = rtcp ? MT_PATH_PLAIN_RTCP : MT_PATH_PLAIN_RTP;
  p.plain_transport = c->id;
  p.port = (uint16_t)(p.port + (rtcp ? 1000 : 0));
  return p;
}

static void connect_plain(client *c, unsigned which, bool elsewhere) {
  mt_command cmd = {.type = MT_CONNECT_PLAIN, .id = c->id};
  address *a = &c->at[which % ADDRESSES];
  if (!c->alive) return;
  cmd.u.remote.rtp = a->path;
  cmd.u.remote.rtcp_port = a->rtcp.port;
  if (elsewhere) cmd.u.remote.rtp.ip[0] = 11;
  else if (c->plain) a->proved = now;
  command(c->home, &cmd);
}

static void leave(client *c) {
  if (!c->alive) return;
  simple(c->home, MT_REMOVE_TRANSPORT, c->id, 0);
  c->alive = false;
}

static void join(client *c, unsigned kind, unsigned how) {
  if (c->alive) leave(c);
  unsigned place = (unsigned)(c - clients);
  *c = (client){.alive = true, .id = ++last_id, .place = place, .home = kind & 4 ? 1 : 0, .plain = kind & 1, .comedia = kind & 2};
  have_core(c->home);
  for (unsigned i = 0; i < SSRCS; i++) c->next[i] = FIRST_INDEX;
  for (unsigned i = 0; i < ADDRESSES; i++) {
    c->at[i].path =
        (mt_path){.kind = MT_PATH_UDP, .family = 4, .port = (uint16_t)(5000 + place * 10 + i), .ip = {10, 0, 0, (uint8_t)c->id}};
    if (c->plain) {
      c->at[i].rtcp = plain_path(c, i, true);
      c->at[i].path = plain_path(c, i, false);
    } else {
      c->at[i].rtcp = c->at[i].path;
    }
  }
  mt_command cmd = {.type = c->plain ? MT_ADD_PLAIN_TRANSPORT : MT_ADD_TRANSPORT, .id = c->id};
  if (!c->plain) {
    credentials(c, 0, &cmd.u.ice);
    command(c->home, &cmd);
    if (!(how & 1)) check(c, 0, 1);
    if (!(how & 2)) take_keys(c, how >> 2);
    return;
  }
  c->srtp = far_ends[0][PROFILES - 1]; /* only means "has keys" */
  cmd.u.plain = (mt_plain_spec){
      .rtp_fd = -1, .rtcp_fd = -1, .comedia = c->comedia, .network_count = 1, .networks = {{.family = 4, .prefix = 8, .ip = {10}}}};
  command(c->home, &cmd);
  if (!(how & 1)) connect_plain(c, 0, false);
}

/* The client's NAT gives it another address. */
static void move(client *c, unsigned which) {
  if (!c->alive || c->plain) return;
  address a = c->at[0];
  c->at[0] = c->at[which % ADDRESSES];
  c->at[which % ADDRESSES] = a;
}

static void restart(client *c) {
  mt_command cmd = {.type = MT_RESTART_ICE, .id = c->id};
  if (!c->alive) return;
  if (!c->plain) c->restarts++;
  credentials(c, c->restarts, &cmd.u.ice);
  command(c->home, &cmd);
}

/* ---- producers and consumers ---- */

static void produce(client *c, const instruction *i) {
  static const mt_codec codecs[] = {MT_CODEC_OTHER, MT_CODEC_VP8, MT_CODEC_VP9, MT_CODEC_H264};
  mt_command cmd = {.type = MT_ADD_PRODUCER, .id = ++last_id, .transport = c->id};
  mt_producer_spec *s = &cmd.u.producer_spec;
  if (!c->alive) return;
  s->codec = codecs[i->y & CODEC];
  if (s->codec == MT_CODEC_VP9 && i->n & HAS_AV1) s->codec = MT_CODEC_AV1;
  s->video = s->codec != MT_CODEC_OTHER;
  s->encoding_count = (uint8_t)(1 + ((i->y & LAYERS) >> 2));
  s->paused = i->y & PAUSED;
  s->payload_type = (uint8_t)(s->video ? 96 : 98);
  s->rtx_payload_type = i->n & HAS_RTX ? 97 : -1;
  s->clock_rate = s->video ? 90000 : 48000;
  char mid[3] = {'m', (char)('0' + i->x % PLACES), 0};
  put_text(&s->mid, mid);
  for (uint8_t k = 0; k < s->encoding_count; k++) {
    char rid[3] = {'r', (char)('0' + k), 0};
    if (!(i->n & NAMES_NONE) && i->n & NAMES_SSRC) s->encodings[k].ssrc = FIRST_SSRC + (i->m + k) % SSRCS;
    if (s->encodings[k].ssrc && i->n & HAS_RTX) s->encodings[k].rtx_ssrc = FIRST_SSRC + (i->m + k + 128) % SSRCS;
    if (!(i->n & NAMES_NONE) && (i->n & NAMES_RID || s->encoding_count > 1)) put_text(&s->encodings[k].rid, rid);
  }
  s->ext_ids[MT_EXT_MID] = 1;
  s->ext_ids[MT_EXT_RID] = 2;
  s->ext_ids[MT_EXT_REPAIRED_RID] = 3;
  if (i->n & HAS_TWCC) s->ext_ids[MT_EXT_TRANSPORT_CC] = 4;
  s->ext_ids[MT_EXT_AUDIO_LEVEL] = 5;
  if (i->n & HAS_EXTENSIONS) s->ext_ids[MT_EXT_VIDEO_ORIENTATION] = 6;
  if (i->n & HAS_EXTENSIONS) s->ext_ids[MT_EXT_DEPENDENCY_DESCRIPTOR] = 7;
  s->nack = i->n & HAS_NACK, s->pli = i->n & HAS_PLI, s->fir = i->n & HAS_FIR;
  s->transport_cc = i->n & HAS_TWCC, s->remb = i->n & HAS_REMB;
  if (producers[i->x % PLACES].id) simple(producers[i->x % PLACES].home, MT_REMOVE_PRODUCER, producers[i->x % PLACES].id, 0);
  command(c->home, &cmd);
  producers[i->x % PLACES].id = cmd.id;
  producers[i->x % PLACES].home = c->home;
  producers[i->x % PLACES].mirrored = false;
  producers[i->x % PLACES].spec = *s;
}

static void produced(const instruction *i) {
  static const mt_command_type types[] = {MT_PAUSE_PRODUCER, MT_PAUSE_PRODUCER, MT_REMOVE_PRODUCER, MT_REQUEST_KEYFRAME};
  unsigned place = i->who % PLACES;
  if (!producers[place].id) return;
  if (i->y & 1) simple(producers[place].home, MT_WATCH_LEVEL, producers[place].id, 0);
  simple(producers[place].home, types[i->x % 4], producers[place].id, i->x % 4 == 0);
}

static void consume(client *c, const instruction *i) {
  mt_command cmd = {.type = MT_ADD_CONSUMER, .id = ++last_id, .transport = c->id, .producer = producers[i->x % PLACES].id};
  mt_consumer_spec *s = &cmd.u.consumer_spec;
  if (!c->alive || !cmd.producer) return;
  s->ssrc = FIRST_SENT_SSRC + 2 * (i->m % VIEWS);
  s->nack = i->n & 1;
  s->rtx_ssrc = i->n & 2 ? s->ssrc + 1 : 0;
  s->payload_type = 101;
  s->rtx_payload_type = i->n & 2 ? 102 : -1;
  put_text(&s->mid, "7");
  put_text(&s->cname, "c");
  s->ext_ids[MT_EXT_MID] = i->n & 32 ? 20 : 1;
  if (i->n & 4) s->ext_ids[MT_EXT_ABS_SEND_TIME] = 2;
  if (i->n & 8) s->ext_ids[MT_EXT_TRANSPORT_CC] = 3;
  s->ext_ids[MT_EXT_DEPENDENCY_DESCRIPTOR] = 7;
  s->ext_ids[MT_EXT_AUDIO_LEVEL] = 5;
  s->pli = s->fir = true;
  s->paused = i->n & 16;
  if (consumers[i->y % VIEWS].id) simple(consumers[i->y % VIEWS].home, MT_REMOVE_CONSUMER, consumers[i->y % VIEWS].id, 0);
  command(c->home, &cmd);
  consumers[i->y % VIEWS].id = cmd.id;
  consumers[i->y % VIEWS].home = c->home;
}

static void consumed(const instruction *i) {
  unsigned place = i->who % VIEWS, home = consumers[place].home;
  uint32_t id = consumers[place].id;
  if (!id) return;
  switch (i->x % 4) {
  case 0: simple(home, MT_PAUSE_CONSUMER, id, true); break;
  case 1: simple(home, MT_PAUSE_CONSUMER, id, false); break;
  case 2: prefer(home, id, i->n % 6, MT_MAX_TEMPORAL - 1); break;
  default: simple(home, MT_REMOVE_CONSUMER, id, 0); break;
  }
}

static void wished(const client *c, const instruction *i) {
  unsigned place = i->who % VIEWS, home = consumers[place].home;
  uint32_t id = consumers[place].id;
  if (i->x % 4 == 3) simple(c->home, MT_SET_TRANSPORT_MAX_OUTGOING, c->id, (uint64_t)i->n * 1000);
  else if (!id) return;
  else if (i->x % 4 == 0) prefer(home, id, i->n % 6, i->m % 10);
  else if (i->x % 4 == 1) simple(home, MT_SET_CONSUMER_PRIORITY, id, i->n);
  else simple(home, MT_REQUEST_CONSUMER_KEYFRAME, id, 0);
}

static void relay(const instruction *i) {
  unsigned place = i->who % PLACES, from = producers[place].home, to = 1 - from, what = i->x % 4;
  mt_command mirror = {.type = MT_ADD_MIRROR, .id = producers[place].id, .u.producer_spec = producers[place].spec};
  if (!mirror.id) return;
  have_core(to);
  if (what == 3) {
    simple(to, MT_REMOVE_PRODUCER, mirror.id, 0);
    return;
  }
  mt_link *link = mt_links_get(&links[from], wakers[from], wakers[to], LINK_SLOTS);
  HOLDS(link, "no memory");
  if (what < 2) {
    producers[place].mirrored = true;
    command(to, &mirror);
    mt_command add = {.type = MT_ADD_LINK, .u.link = mt_link_hold(link)};
    command(to, &add);
    mt_command_release(&add);
  }
  mt_command cmd = {.type = what < 2 ? MT_RELAY_PRODUCER : MT_STOP_RELAYING, .id = mirror.id, .u.link = mt_link_hold(link)};
  command(from, &cmd);
  mt_command_release(&cmd);
}

/* ---- packets ---- */

static size_t write_descriptor(client *c, const instruction *i, mt_codec codec, uint8_t *out) {
  bool start = i->y & RTP_START, key = i->y & RTP_KEY;
  if (i->n & RTP_BARE) return 0;
  switch (codec) {
  case MT_CODEC_VP8: { /* RFC 7741 section 4.2; the form that browsers send unless `m` wants another */
    uint8_t form = i->m & 3 ? (uint8_t)(i->m >> 4 & 0xf0) : 0xe0;
    size_t n = 0;
    if (start) c->picture++;
    out[n++] = (uint8_t)((form ? 0x80 : 0) | (start ? 0x10 : 0) | (i->m & 4 ? 1 : 0));
    if (form) out[n++] = form;
    if (form & 0x80 && i->m & 8) out[n++] = c->picture & 0x7f;
    else if (form & 0x80) mt_store16(out + n, c->picture | 0x8000), n += 2;
    if (form & 0x40) out[n++] = (uint8_t)c->picture;
    if (form & 0x30) out[n++] = 0x20;
    static const uint8_t head[] = {0, 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1};
    memcpy(out + n, head, sizeof head);
    out[n] = key ? 0 : 1;
    return n + sizeof head;
  }
  case MT_CODEC_VP9: { /* RFC 9628 section 4.2; with picture id and layers if `m` wants them */
    out[0] = (uint8_t)((start ? 0x08 : 0x00) | (key ? 0 : 0x40));
    if (!(i->m & 3)) return 1;
    out[0] |= (uint8_t)(0xa0 | (i->m & 4) | (i->m >> 3 & 1)); /* I and L; E, Z */
    if (start) c->picture++;
    mt_store16(out + 1, c->picture | 0x8000);
    out[3] = (uint8_t)(i->m >> 4);
    out[4] = (uint8_t)c->picture;
    return 5;
  }
  case MT_CODEC_AV1:
    if (start) c->picture++;
    out[0] = key ? 0x18 : 0x10;
    return 1;
  case MT_CODEC_H264: out[0] = key ? 0x67 : 0x41; return 1;
  case MT_CODEC_OTHER: break;
  }
  return 0;
}

/* A Dependency Descriptor of the structure L3T3_KEY, which comes with key frames; `m` chooses the template. */
static size_t write_dependency(const client *c, const instruction *i, uint8_t *out) {
  static const uint8_t structure[] = {0xfc, 0x00, 0x64, 0x87, 0x88, 0x16, 0x16, 0x17, 0xaa, 0xaa, 0x80, 0x02, 0xa0,
                                      0x00, 0x90, 0x00, 0x10, 0xaa, 0xa0, 0x00, 0xa8, 0x00, 0x24, 0x00, 0x04, 0x00,
                                      0xa8, 0x00, 0x2a, 0x00, 0x09, 0x00, 0x01, 0x00, 0x00, 0x6d, 0x54, 0x90, 0x6d,
                                      0x54, 0x90, 0x6d, 0x54, 0x8f, 0xfa, 0x80, 0x00, 0x64, 0x0b, 0x13, 0x9a, 0xa0,
                                      0x88, 0xa6, 0x2d, 0x35, 0x89, 0x91, 0x08, 0xdb, 0xe2, 0x8b, 0x12, 0x18};
  size_t n = i->y & RTP_KEY ? sizeof structure : 3;
  memcpy(out, structure, n);
  if (n == 3 || i->m & 3) out[0] = (uint8_t)(i->m >> 4 & 0x3f);
  else out[0] &= 0x3f;
  out[0] |= (uint8_t)((i->y & RTP_START ? 0x80 : 0) | (i->m & 4 ? 0x40 : 0));
  mt_store16(out + 1, c->picture);
  return n;
}

/* The codec of this client's first producer: its packets are meant for that one. */
static mt_codec codec_of(const client *c) {
  const mt_transport *t = mt_find_transport(cores[c->home], c->id);
  if (!t || mt_list_empty(&t->producers)) return MT_CODEC_VP8;
  return MT_OF(t->producers.next, mt_producer, in_transport)->spec.codec;
}

static const char *mid_of(const client *c, unsigned which) {
  static char mid[3] = "m0";
  const mt_transport *t = mt_find_transport(cores[c->home], c->id);
  unsigned k = 0;
  mid[1] = '0';
  if (!t) return mid;
  MT_EACH (item, &t->producers)
    if (k++ == which) mid[1] = MT_OF(item, mt_producer, in_transport)->spec.mid.text[1];
  return mid;
}

static int32_t jump(const instruction *i, unsigned which) {
  return which % JUMPS == JUMP_RAW ? (int16_t)i->q : fuzz_jumps[which % JUMPS];
}

static uint16_t next_twcc(client *c, const instruction *i) {
  uint16_t *w = c->twcc, n = (uint16_t)(w[i->p >> TWCC_FROM_SHIFT & 3] + jump(i, i->p >> TWCC_JUMP_SHIFT));
  if (!w[3]) w[1] = w[2] = w[3] = n;
  w[0] = n;
  if ((int16_t)(n - w[1]) > 0) w[1] = n;
  if ((int16_t)(n - w[2]) < 0) w[2] = n;
  return n;
}

static void send_rtp(client *c, const instruction *i) {
  uint8_t p[MT_DATAGRAM_MAX + 600], payload[MT_DATAGRAM_MAX], number[2], level = (uint8_t)i->m;
  if (!c->alive || !c->srtp) return;
  bool rtx = i->y & RTP_RTX;
  mt_codec codec = codec_of(c);
  uint8_t which = i->x, layer = (i->y & RTP_LAYER) >> 4;
  int64_t moved = (int64_t)c->next[which] - 1 + jump(i, i->p);
  uint64_t index = moved < 0 ? 0 : (uint64_t)moved;
  if (index >= c->next[which]) c->next[which] = index + 1;
  if (i->y & RTP_START) c->timestamp += 3000;
  char rid[2] = {'r', (char)('0' + layer)};
  mt_store16(number, next_twcc(c, i));
  const char *mid = mid_of(c, i->m >> 12 & 3);
  uint8_t dependency[UINT8_MAX];
  uint8_t dependency_len = codec == MT_CODEC_AV1 ? (uint8_t)write_dependency(c, i, dependency) : 0;
  mt_rtp_ext_out ext[] = {{i->y & RTP_MID ? 1 : 0, 2, (const uint8_t *)mid},
                          {i->y & RTP_RID ? (rtx ? 3 : 2) : 0, 2, (const uint8_t *)rid},
                          {4, 2, number},
                          {i->n & RTP_LEVEL ? 5 : 0, 1, &level},
                          {i->n & RTP_LEVEL ? 6 : 0, 1, &level},
                          {dependency_len ? 7 : 0, dependency_len, dependency}};
  uint8_t pt = rtx ? 97 : codec == MT_CODEC_OTHER ? 98 : 96;
  size_t header = mt_rtp_write_header(p, sizeof p, pt, i->y & RTP_MARKER, (uint16_t)index, c->timestamp, FIRST_SSRC + which, ext,
                                      sizeof ext / sizeof *ext, NULL);
  size_t n = 0;
  if (rtx) {
    mt_store16(payload, (uint16_t)(c->next[layer] - 1 - (i->m & 63)));
    n = 2;
  }
  n += write_descriptor(c, i, codec, payload + n);
  mt_store32(payload + n, ++serial);
  n += 4;
  for (size_t size = i->n & RTP_SIZE; n < size && n < sizeof payload; n++) payload[n] = (uint8_t)n;
  if (i->n & RTP_PADDING) { /* and nothing else: a bandwidth probe */
    p[0] |= 0x20;
    n = 1 + (i->n & 0xff) % 255;
    memset(payload, 0, n);
    payload[n - 1] = (uint8_t)n;
  }
  if (header + n + MT_SRTP_MAX_OVERHEAD > MT_DATAGRAM_MAX) n = MT_DATAGRAM_MAX - header - MT_SRTP_MAX_OVERHEAD;
  size_t len = header + n;
  if (c->plain) memcpy(p + header, payload, n);
  else len = __real_mt_srtp_protect(c->srtp, index, p, header, 0, payload, n);
  if (!len) return;
  if (i->n & RTP_UNAUTHENTIC) p[len - 1] ^= 1;
  if (c->plain && c->comedia && !c->at[0].proved) c->at[0].proved = now;
  datagram(c, i->n & RTP_BY_RTCP_PORT ? &c->at[0].rtcp : &c->at[0].path, p, len);
}

static uint32_t sent_ssrc(const client *c, const instruction *i) {
  return i->n & 8 || !c->last_ssrc ? FIRST_SENT_SSRC + i->n % (2 * VIEWS) : c->last_ssrc;
}

/* Bytes of RTCP after its first 8 or 12; type, count and length are filled in. */
static size_t finish(uint8_t *p, uint8_t type, uint8_t count, size_t n) {
  p[0] = (uint8_t)(0x80 | (count & 31));
  p[1] = type;
  mt_store16(p + 2, (uint16_t)(n / 4 - 1));
  return n;
}

static size_t write_rtcp(client *c, const instruction *i, uint8_t *p, size_t cap) {
  uint32_t media = sent_ssrc(c, i), source = FIRST_SSRC + i->n % SSRCS;
  mt_rtcp_report reports[31];
  unsigned count = i->y % 32;
  size_t n = 12;
  for (unsigned k = 0; k < 31; k++)
    reports[k] = (mt_rtcp_report){.ssrc = k & 1 ? FIRST_SENT_SSRC + (i->n + k) % (2 * VIEWS) : media,
                                  .fraction_lost = (uint8_t)(i->p + k * 16 * (i->m & 1)),
                                  .jitter = i->q,
                                  .last_sr = i->q};
  mt_rtcp_sender_info info = {source, (uint64_t)now << 20 ^ (uint64_t)i->p << 32, (uint32_t)(now * 9 / 100) + i->q, 1, 1};
  memset(p, 0, cap < 16 ? cap : 16);
  mt_store32(p + 4, FIRST_SSRC);
  mt_store32(p + 8, media);
  switch ((i->x & 127) % 12) {
  case 0: return mt_rtcp_write_sr(p, cap, &info, reports, count > 30 ? 30 : count);
  case 1: return mt_rtcp_write_rr(p, cap, FIRST_SSRC, reports, count > 30 ? 30 : count);
  case 2:
    for (unsigned k = 0; k <= i->y && n + 4 <= cap; k++, n += 4) {
      mt_store16(p + n, (uint16_t)(c->last_sequence - i->m - 17 * k));
      mt_store16(p + n + 2, i->p);
    }
    return finish(p, MT_RTCP_RTPFB, MT_RTPFB_NACK, n);
  case 3: return mt_rtcp_write_pli(p, cap, FIRST_SSRC, media);
  case 4:
    for (unsigned k = 0; k <= i->y && n + 8 <= cap; k++, n += 8) {
      memset(p + n, 0, 8);
      mt_store32(p + n, k ? FIRST_SENT_SSRC + (i->n + k) % (2 * VIEWS) : media);
    }
    return finish(p, MT_RTCP_PSFB, MT_PSFB_FIR, n);
  case 5: return mt_rtcp_write_remb(p, cap, FIRST_SSRC, (uint64_t)i->p * i->q * i->q, &media, 1);
  case 6:
    for (n = 4; n < 4 + 4 * (1 + count % 31) && n + 4 <= cap; n += 4)
      mt_store32(p + n, FIRST_SSRC + (i->n + (unsigned)n / 4 - 1) % SSRCS);
    return finish(p, MT_RTCP_BYE, (uint8_t)(n / 4 - 1), n);
  case 7:
    n += 4 * (size_t)(i->y % 64);
    if (n > cap) return 0;
    for (size_t k = 12; k < n; k++) p[k] = (uint8_t)(i->q + k * i->p);
    return finish(p, MT_RTCP_RTPFB, MT_RTPFB_TRANSPORT_CC, n);
  case 8: return mt_rtcp_write_sdes_cname(p, cap, source, "somebody", 1 + count % 8);
  case 9: return finish(p, (uint8_t)(i->p % 16 + 196), (uint8_t)i->q, 12);
  default:
    n = 4 + i->y % 64;
    for (size_t k = 4; k < n && k < cap; k++) p[k] = (uint8_t)(i->q + k * i->p);
    if (n > cap) return 0;
    p[0] = 0x81, p[1] = (uint8_t)(200 + i->m % 8), p[2] = 0, p[3] = (uint8_t)(i->m >> 8);
    return n;
  }
}

static void send_rtcp(client *c, const instruction *i) {
  size_t room = MT_DATAGRAM_MAX - MT_SRTCP_MAX_OVERHEAD;
  if (!c->alive || !c->srtp) return;
  if (room - c->compound_len >= 64) c->compound_len += write_rtcp(c, i, c->compound + c->compound_len, room - c->compound_len);
  if (i->x & 128 || !c->compound_len) return;
  size_t len = c->compound_len;
  if (!c->plain) len = __real_mt_srtcp_protect(c->srtp, c->srtcp_index++, c->compound, len, sizeof c->compound);
  c->compound_len = 0;
  if (len) datagram(c, i->q & 1 ? &c->at[0].path : &c->at[0].rtcp, c->compound, len);
}

static void send_raw(client *c, const instruction *i) {
  uint8_t p[MT_DATAGRAM_MAX];
  size_t n = i->n % (sizeof p + 1);
  if (!c->alive) return;
  for (size_t k = 0; k < n; k++) p[k] = (uint8_t)(i->m + k * i->p);
  if (n) p[0] = i->y;
  mt_path from = i->x & 4 ? c->at[0].rtcp : c->at[0].path;
  if (i->x & 2) from.ip[0] = 11;
  /* A plain transport knows its client only by the address. */
  else if (c->plain && c->comedia && !c->at[0].proved) c->at[0].proved = now;
  datagram(c, &from, p, n);
}

static void dtls(client *c, const instruction *i) {
  uint8_t p[256] = {22};
  mt_command cmd = {.type = MT_SEND_DTLS, .id = c->id};
  if (!c->alive) return;
  if (!(i->x & 1)) {
    datagram(c, &c->at[0].path, p, i->y);
    return;
  }
  cmd.u.data.len = i->y ? i->y : 1;
  cmd.u.data.bytes = malloc(cmd.u.data.len);
  HOLDS(cmd.u.data.bytes, "no memory");
  memset(cmd.u.data.bytes, 22, cmd.u.data.len);
  command(c->home, &cmd);
  mt_command_release(&cmd);
}

static void python(client *c, const instruction *i) {
  switch (i->x % 4) {
  case 0: simple(c->home, MT_REQUEST_STATS, i->who, 0); break;
  case 1: deaf = true; break;
  case 2: deaf = false; break;
  default: simple(c->home, MT_SET_MAX_BITRATE, c->id, (uint64_t)i->n * 1000); break;
  }
}

/* ---- the program ---- */

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
  client *c = &clients[i->who % CLIENTS];
  if (show) {
    fuzz_print(i);
    fprintf(stderr, "\n");
  }
  switch ((op)i->op) {
  case OP_TIME: pass((int64_t)i->n << i->x % 12, !(i->y & 1)); break;
  case OP_JOIN: join(c, i->x, i->y); break;
  case OP_CHECK: check(c, i->x, i->y); break;
  case OP_KEYS: take_keys(c, i->x); break;
  case OP_LEAVE: leave(c); break;
  case OP_RESTART: restart(c); break;
  case OP_CONNECT: connect_plain(c, i->x, i->y & 1); break;
  case OP_PRODUCE: produce(c, i); break;
  case OP_PRODUCER: produced(i); break;
  case OP_CONSUME: consume(c, i); break;
  case OP_CONSUMER: consumed(i); break;
  case OP_RELAY: relay(i); break;
  case OP_RTP: send_rtp(c, i); break;
  case OP_RTCP: send_rtcp(c, i); break;
  case OP_DTLS: dtls(c, i); break;
  case OP_PYTHON: python(c, i); break;
  case OP_RAW: send_raw(c, i); break;
  case OP_CLOSED:
    if (!c->alive) break;
    mt_core_path_closed(cores[c->home], now, &c->at[i->x % ADDRESSES].path);
    settle_all(c->home);
    break;
  case OP_WISH: wished(c, i); break;
  case OP_MOVE: move(c, i->x); break;
  case OP_TRACE: simple(c->home, MT_TRACE_TRANSPORT, c->id, i->x & 1); break;
  case OP_GATHER:
    gathers = !(i->x & 1);
    for (unsigned k = 0; k < CORES; k++)
      if (cores[k]) forward_gathered(k);
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
    if (show) fprintf(stderr, "REPEAT the %zu before %u times\n", block, i.n % MAX_TIMES);
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
  gathers = false;
  pass(ROUND_MS * MT_MS, true); /* everything that is due */
  deaf = false;
  for (unsigned i = 0; i < CLIENTS; i++) leave(&clients[i]);
  for (uint32_t id = 1; id <= last_id && cores[1] && cores[0]; id++) /* mirrors outlive their sources */
    for (unsigned i = 0; i < CORES; i++)
      if (mt_find_producer(cores[i], id)) simple(i, MT_REMOVE_PRODUCER, id, 0);
  for (unsigned k = 0; k < 3; k++) {
    for (unsigned i = 0; i < CORES; i++) simple(i, MT_REQUEST_STATS, 1, 0);
    pass(10 * MT_SECOND, true);
  }
  for (unsigned i = 0; i < CORES; i++) {
    if (!cores[i]) continue;
    const mt_stats *s = &left[i];
    HOLDS(s->transport_count + s->producer_count + s->mirror_count + s->consumer_count == 0, "objects are left");
    HOLDS(s->buffers_used == 0 && cores[i]->packets.used == 0, "%llu packet buffers are left", (unsigned long long)s->buffers_used);
    HOLDS(cores[i]->ufrags.count == 0 && cores[i]->routes.count == 0, "names or routes are left");
    HOLDS(cores[i]->sources_by_ssrc.count == 0 && cores[i]->sources_by_index.count == 0, "sources are left");
    HOLDS(mt_list_empty(&cores[i]->changed) && mt_list_empty(&cores[i]->nacking) && mt_list_empty(&cores[i]->wanting) &&
              mt_list_empty(&cores[i]->feeding) && mt_list_empty(&cores[i]->gathered) && mt_list_empty(&cores[i]->claims),
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
  show = getenv("MT_FUZZ_SHOW") != NULL;
  for (unsigned i = 0; i < CLIENTS; i++) {
    for (unsigned k = 0; k < MT_SRTP_MAX_KEYING; k++) {
      keying[i][0][k] = (uint8_t)(i * 50 + k);
      keying[i][1][k] = (uint8_t)(i * 50 + k + 128);
    }
    /* Made once: deriving keys takes longer than everything else. */
    for (unsigned k = 0; k < PROFILES; k++) {
      far_ends[i][k] = __real_mt_srtp_new(numbers[k], MT_AEAD_LIBCRYPTO, keying[i][0], keying[i][1]);
      HOLDS(far_ends[i][k], "no session");
    }
  }
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  memset(clients, 0, sizeof clients);
  memset(producers, 0, sizeof producers);
  memset(consumers, 0, sizeof consumers);
  memset(out_count, 0, sizeof out_count);
  memset(out_bytes, 0, sizeof out_bytes);
  memset(given, 0, sizeof given);
  now = MT_SECOND;
  last_id = serial = dtls_events = 0;
  deaf = false;
  gathers = true;
  fuzz_oracles_begin();
  have_core(0);
  run(data, size);
  everybody_leaves();
  for (unsigned i = 0; i < CORES; i++) {
    mt_core_free(cores[i]);
    mt_waker_drop(wakers[i]);
    mt_links_free(&links[i]);
    cores[i] = NULL;
    wakers[i] = NULL;
  }
  for (unsigned i = 0; show && i < sizeof worst / sizeof *worst && worst[i].what; i++)
    fprintf(stderr, "most work of %s: %llu of %llu edges\n", worst[i].what, (unsigned long long)worst[i].work,
            (unsigned long long)worst[i].allowed);
  return 0;
}
