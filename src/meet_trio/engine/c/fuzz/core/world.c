/* The state of the fuzzer's world, and the sinks of its cores: the rules for what leaves. */
#include "world.h"

const mt_settings fuzz_settings = {.history_packets = 64,
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

mt_core *fuzz_cores[CORES];
mt_waker *fuzz_wakers[CORES];
mt_links fuzz_links[CORES];
mt_srtp *fuzz_far_ends[CLIENTS][PROFILES];
uint8_t fuzz_keying[CLIENTS][2][MT_SRTP_MAX_KEYING];
client fuzz_clients[CLIENTS];
produced_one fuzz_producers[PLACES];
consumed_one fuzz_consumers[VIEWS];
int64_t fuzz_now;
uint32_t fuzz_last_id, fuzz_serial;
bool fuzz_deaf, fuzz_show, fuzz_gathers;
uint8_t fuzz_out_buffer[MT_DATAGRAM_MAX];
uint64_t fuzz_out_count[CORES], fuzz_out_bytes[CORES], fuzz_given[CORES];
unsigned fuzz_dtls_events;
mt_path fuzz_expected; /* the destination of the answer to a check: its source; kind NONE: no answer is due */
mt_stats fuzz_left[CORES];

static unsigned core_of(const void *context) { return (unsigned)((mt_core *const *)context - fuzz_cores); }

static uint8_t *reserve(void *context) {
  (void)context;
  return fuzz_out_buffer;
}

static address *address_of(client *c, const mt_path *path, bool rtcp) {
  for (unsigned i = 0; i < ADDRESSES; i++)
    if (mt_path_equal(rtcp ? &c->at[i].rtcp : &c->at[i].path, path)) return &c->at[i];
  return NULL;
}

static void check_ssrc(const client *c, const mt_rtp *h) {
  const mt_transport *t = mt_find_transport(fuzz_cores[c->home], c->id);
  HOLDS(t && mt_table_first(&t->consumers_by_ssrc, mt_hash64(h->ssrc)), "RTP under SSRC %u, which no consumer has", h->ssrc);
}

static bool is_claimed(const client *c, const mt_path *to) {
  const mt_transport *t = mt_find_transport(fuzz_cores[c->home], c->id);
  return t && t->claim.route && mt_path_equal(&t->claim.route->path, to) && fuzz_now - t->claim.made <= CONFIRM_MS * MT_MS;
}

static void send_out(void *context, const mt_path *to, size_t len) {
  unsigned core = core_of(context);
  uint64_t allowance = fuzz_allowance, work = fuzz_work;
  fuzz_allowance = UINT64_MAX;
  fuzz_out_count[core]++;
  fuzz_out_bytes[core] += len;
  HOLDS(len > 0 && len <= MT_DATAGRAM_MAX, "a datagram of %zu bytes", len);
  HOLDS(fuzz_expected.kind == MT_PATH_NONE || mt_path_equal(&fuzz_expected, to), "an answer to somebody else");
  client *c = NULL;
  address *a = NULL;
  bool media = mt_is_rtp_or_rtcp(fuzz_out_buffer, len), rtcp = media && mt_is_rtcp(fuzz_out_buffer, len);
  for (unsigned i = 0; i < CLIENTS && !a; i++) {
    c = &fuzz_clients[i];
    if (c->alive && c->home == core) a = address_of(c, to, rtcp);
  }
  HOLDS(a, "to an address that nobody has");
  bool claimed = is_claimed(c, to);
  HOLDS(a->proved || claimed, "to an address that has proved nothing");
  HOLDS(c->plain || claimed || fuzz_now - a->proved <= (CONSENT_MS + ROUND_MS) * MT_MS, "%lld ms after the last consent",
        (long long)(fuzz_now - a->proved) / MT_MS);
  if (fuzz_show) fprintf(stderr, "    out to client %u: %zu bytes%s\n", c->place, len, rtcp ? ", RTCP" : media ? ", RTP" : "");
  if (media && !rtcp) {
    mt_rtp h;
    HOLDS(mt_rtp_parse_untrusted(fuzz_out_buffer, len, &h), "RTP that cannot be read");
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
    HOLDS(time > 0 && time <= fuzz_now && len <= end - at - MT_TRACE_RECORD, "a record's packet is cut, or is of another time");
    HOLDS(len >= 8 && mt_is_rtp_or_rtcp(at + MT_TRACE_RECORD, len), "a record's packet is of no known kind");
    at += MT_TRACE_RECORD + len;
  }
}

static bool take_event(void *context, const mt_event *event) {
  if (fuzz_deaf) return false;
  if (event->type == MT_EVENT_DTLS) fuzz_dtls_events++;
  if (event->type == MT_EVENT_TRACED) check_traced(event);
  if (event->type != MT_EVENT_STATS) return true;
  mt_stats *stats = (mt_stats *)(uintptr_t)event->data;
  fuzz_left[core_of(context)] = *stats;
  mt_stats_free(stats);
  return true;
}

void fuzz_have_core(unsigned i) {
  if (fuzz_cores[i]) return;
  mt_sink sink = {&fuzz_cores[i], reserve, send_out, take_event};
  mt_settings with_aead = fuzz_settings; /* the far ends have the other library */
  with_aead.aead = mt_aead_fastest();
  fuzz_cores[i] = mt_core_new(&with_aead, &sink);
  fuzz_wakers[i] = mt_waker_new(-1);
  HOLDS(fuzz_cores[i] && fuzz_wakers[i], "no memory");
}
