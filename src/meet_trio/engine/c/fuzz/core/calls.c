/* Calls of the core, each with its allowance, and with the rules that are checked after it. */
#include "world.h"

/* After a call that is no datagram, or while none is gathered */
void fuzz_settle_all(unsigned i) {
  fuzz_settle(i);
  HOLDS(mt_list_empty(&fuzz_cores[i]->gathered) && !fuzz_cores[i]->gathering, "packets are gathered");
}

void fuzz_forward_gathered(unsigned i) {
  fuzz_allow(fuzz_w_call() + fuzz_w_gathered(fuzz_cores[i]));
  mt_core_forward(fuzz_cores[i], fuzz_now);
  fuzz_worked("forward");
  fuzz_settle_all(i);
}

void fuzz_datagram(client *c, const mt_path *from, const uint8_t *bytes, size_t len) {
  mt_core *core = fuzz_cores[c->home];
  mt_transport *t = mt_find_transport(core, c->id);
  uint8_t *data = malloc(len ? len : 1); /* of its exact size, for the sanitizer */
  HOLDS(data, "no memory");
  if (len) memcpy(data, bytes, len);
  bool media = mt_is_rtp_or_rtcp(data, len), rtcp = media && mt_is_rtcp(data, len);
  uint64_t in = core->counters.datagrams_in, ended = fuzz_ends(core), taken = fuzz_taken_packets(core, c->id),
           out = fuzz_out_count[c->home];
  unsigned dtls = fuzz_dtls_events;
  if (fuzz_gathers) mt_core_gather(core);
  fuzz_allow((rtcp ? fuzz_w_rtcp(t, len) : fuzz_w_rtp(t)) + fuzz_w_gathered(core) +
             (media && !mt_route_find(core, from) ? fuzz_w_rebinding() : 0));
  mt_core_datagram(core, fuzz_now, from, data, len);
  fuzz_worked(rtcp ? "rtcp" : media ? "rtp" : "datagram");
  free(data);
  HOLDS(core->counters.datagrams_in == in + 1, "one datagram came in");
  /* fate */
  uint64_t fates = fuzz_ends(core) - ended;
  if (rtcp) fates += fates == 0;
  else if (media) fates += fuzz_taken_packets(core, c->id) - taken;
  else fates += fuzz_dtls_events - dtls + (fates == 0 && fuzz_out_count[c->home] > out); /* a check may be answered by an error */
  HOLDS(fates == 1, "a datagram has %llu fates", (unsigned long long)fates);
  if (fuzz_gathers) fuzz_settle(c->home);
  else fuzz_settle_all(c->home);
}

void fuzz_command(unsigned i, mt_command *c) {
  if (!fuzz_cores[i]) return;
  fuzz_given[i]++;
  fuzz_allow(fuzz_w_gathered(fuzz_cores[i]) + fuzz_w_all(fuzz_cores[i]) +
             (c->type == MT_REMOVE_TRANSPORT ? fuzz_w_all(fuzz_cores[i]) : 0));
  mt_core_command(fuzz_cores[i], fuzz_now, c);
  fuzz_worked("command");
  fuzz_settle_all(i);
}

void fuzz_simple(unsigned home, mt_command_type type, uint32_t id, uint64_t number) {
  mt_command c = {.type = type, .id = id, .u.number = number};
  fuzz_command(home, &c);
}

void fuzz_prefer(unsigned home, uint32_t id, uint32_t spatial, uint32_t temporal) {
  mt_command c = {.type = MT_SET_PREFERRED_LAYERS, .id = id, .u.layers = {spatial, temporal}};
  fuzz_command(home, &c);
}

static void tick(unsigned i) {
  fuzz_allow(fuzz_w_gathered(fuzz_cores[i]) + fuzz_w_all(fuzz_cores[i]));
  mt_core_tick(fuzz_cores[i], fuzz_now);
  fuzz_worked("tick");
  fuzz_settle_all(i);
}

static void cross(unsigned i) {
  for (unsigned turn = 0; turn < 8; turn++) {
    mt_exchange_count(fuzz_cores[i]);
    fuzz_allow(fuzz_w_gathered(fuzz_cores[i]) + fuzz_w_all(fuzz_cores[i]) + fuzz_w_crossing(fuzz_cores[i]));
    bool more = mt_exchange_take(fuzz_cores[i], fuzz_now);
    fuzz_worked("cross");
    fuzz_settle(i);
    if (!fuzz_gathers) fuzz_forward_gathered(i);
    if (!more) return;
  }
}

/* What is gathered does not wait for long: a batch ends in far less than a round. */
void fuzz_pass(int64_t us, bool crossing) {
  for (unsigned i = 0; i < CORES && us > ROUND_MS * MT_MS; i++)
    if (fuzz_cores[i]) fuzz_forward_gathered(i);
  fuzz_now += us;
  for (unsigned i = 0; i < CORES; i++)
    if (fuzz_cores[i]) mt_exchange_flush(fuzz_cores[i]); /* as after each batch */
  for (unsigned i = 0; i < CORES; i++) {
    if (!fuzz_cores[i]) continue;
    tick(i); /* like the thread, which runs at least ten times a second */
    if (crossing) cross(i);
    if (!crossing || !fuzz_gathers) tick(i); /* else what has crossed may wait for datagrams */
    mt_exchange_flush(fuzz_cores[i]);
  }
}
