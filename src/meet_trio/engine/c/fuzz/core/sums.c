/* What the counters of a core must say after each call. */
#include "world.h"

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
uint64_t fuzz_ends(const mt_core *core) {
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
uint64_t fuzz_taken_packets(const mt_core *core, uint32_t id) {
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

void fuzz_settle(unsigned i) {
  const mt_counters *c = &fuzz_cores[i]->counters;
  HOLDS(c->datagrams_out == fuzz_out_count[i] && c->bytes_out == fuzz_out_bytes[i],
        "%llu datagrams of %llu bytes left, %llu of %llu were counted", (unsigned long long)fuzz_out_count[i],
        (unsigned long long)fuzz_out_bytes[i], (unsigned long long)c->datagrams_out, (unsigned long long)c->bytes_out);
  HOLDS(c->commands == fuzz_given[i], "%llu commands were given", (unsigned long long)fuzz_given[i]);
  uint64_t sent = 0, forwarded = 0;
  for (unsigned k = 0; k < CORES; k++) {
    if (!fuzz_cores[k]) continue;
    sent += sent_by(&fuzz_cores[k]->counters);
    forwarded += fuzz_cores[k]->counters.rtp_forwarded;
  }
  HOLDS(forwarded == fuzz_firsts[0], "%llu packets were forwarded by %llu indices", (unsigned long long)forwarded,
        (unsigned long long)fuzz_firsts[0]);
  HOLDS(sent == fuzz_protected, "%llu RTP packets were protected, %llu are counted as sent", (unsigned long long)fuzz_protected,
        (unsigned long long)sent);
  HOLDS(fuzz_cores[i]->packets.used <= fuzz_cores[i]->packets.count, "%llu buffers are used of %llu",
        (unsigned long long)fuzz_cores[i]->packets.used, (unsigned long long)fuzz_cores[i]->packets.count);
}
