/* The core's state. Nothing outside of the core includes this.
 *
 *   mt_core ─┬─ transports ─┬─ routes       addresses that proved the ICE credentials
 *            │              ├─ sources      SSRCs that the client sends: replay windows, and the stream they belong to
 *            │              ├─ ended        SSRCs that it sent before: below which index all is a replay
 *            │              ├─ producers ── streams (one for each encoding) ── missing packets, history
 *            │              ├─ consumers    by SSRC and RTX SSRC, for RTCP
 *            │              └─ sent         SSRCs that we sent before: the next SRTP index
 *            ├─ producers ── consumers of each (which live in other transports)
 *            ├─ mirrors ───── streams, filled by other engines
 *            ├─ links ─────── relays of producers (this engine is the source), mirrors (it is the sink)
 *            └─ lists of what has something to do: changed (events to offer), nacking, wanting (key frames), feeding (transport-cc)
 *
 * An object that goes takes itself out of every table and list, so that no pointer outlives it.
 */
#ifndef MT_STATE_CORE_STATE_H
#define MT_STATE_CORE_STATE_H

#include "base/pool.h"
#include "state/consumer.h"
#include "state/producer.h"
#include "state/sink.h"
#include "state/transport.h"

typedef struct mt_core mt_core;

enum { MT_MAX_WAITING_STATS = 16 };

enum {
  MT_SENT_BYTES = MT_SENT_SLOTS * sizeof(mt_sent),
  MT_MISSING_BYTES = MT_MAX_MISSING * sizeof(mt_missing),
  MT_RECORD_BYTES = MT_SENT_BYTES > MT_MISSING_BYTES ? MT_SENT_BYTES : MT_MISSING_BYTES,
};

struct mt_core {
  mt_settings settings;
  mt_sink sink;
  uint64_t random;
  mt_table transports, producers, consumers, ufrags, routes;
  mt_list all_transports, mirrors, links;
  int64_t last_now; /* for what ends with a link */
  uint32_t last_relay;
  mt_list changed, nacking, wanting, feeding;
  mt_list owed;   /* consumers that a key frame is put off for */
  mt_list scored; /* consumers whose score was told just now, the longest ago first */
  int64_t next_tick, next_round;
  mt_pool packets;
  mt_pool records; /* of MT_RECORD_BYTES: the missing packets of streams, the sent ones of consumers */
  mt_counters counters;
  uint32_t stats_waiting[MT_MAX_WAITING_STATS];
  unsigned stats_count;
};

#endif
