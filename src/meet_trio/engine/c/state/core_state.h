/* The core's state. Nothing outside of the core includes this.
 *
 *   mt_core ─┬─ transports ─┬─ routes       addresses that proved the ICE credentials
 *            │              ├─ sources      SSRCs that the client sends: replay windows, and the stream they belong to
 *            │              ├─ ended        SSRCs that it sent before: the index below which every packet is a replay
 *            │              ├─ producers ── streams (one for each encoding) ── missing packets, history
 *            │              ├─ consumers    by SSRC and RTX SSRC, for RTCP
 *            │              └─ sent         SSRCs that we sent: the next SRTP index
 *            ├─ producers ── consumers of each (which live in other transports)
 *            ├─ mirrors ───── streams, filled by other engines
 *            ├─ sources      of all transports, by what a packet shows in clear
 *            ├─ links ─────── relays of producers (this engine is the source), mirrors (it is the sink)
 *            ├─ busy, wheel   all transports, by the time at which a round visits them next
 *            └─ work lists: changed (events to offer), nacking, tailing, holding (NACKs), wanting (key frames), feeding (transport-cc),
 *                           claims, owed, scored, allocating (layers), pacing
 *
 * An object that is removed takes itself out of every table and list, so no pointer outlives it.
 *
 * Units, here and in the folders above: times and durations of type int64_t are in microseconds. A time is of one monotonic
 * clock, which all engines share; 0 is never. Clock units are those of the RTP clock, `clock_rate` a second. Sequence numbers of
 * 64 bits are extended: roll-over count << 16 | the number in the packet.
 */
#ifndef MT_STATE_CORE_STATE_H
#define MT_STATE_CORE_STATE_H

#include "base/pool.h"
#include "state/consumer.h"
#include "state/kept.h"
#include "state/producer.h"
#include "state/sink.h"
#include "state/transport.h"

typedef struct mt_core mt_core;

enum {
  MT_MAX_WAITING_STATS = 16, /* requests for statistics; further ones are refused */
  MT_WHEEL_SLOTS = 16,       /* each of the time between two rounds */
};

struct mt_core {
  mt_settings settings;
  mt_sink sink;
  uint64_t random; /* state of mt_random */
  mt_table transports, producers, consumers, ufrags, routes;
  mt_table sources_by_ssrc, sources_by_index; /* sources of transports with keys; see ingress/rebinding.h */
  mt_list all_transports, mirrors, links;

  mt_list busy;                  /* transports that each round visits */
  mt_list wheel[MT_WHEEL_SLOTS]; /* the quiet ones, by the time of their next visit; see core/visits.h */
  int64_t wheel_at;              /* number of the slot of the last round, since time 0 */

  mt_list traces;       /* mt_trace */
  int64_t last_now;     /* time of the last datagram, command, tick or exchange */
  uint32_t last_relay;  /* id that the newest relay got */
  mt_list changed;      /* mt_changes: events to offer */
  mt_list nacking;      /* streams with missing packets */
  mt_list holding;      /* consumers with NACKs that wait */
  mt_list tailing;      /* streams of lossy clients in the middle of a frame */
  mt_list wanting;      /* streams that want a key frame */
  mt_list feeding;      /* mt_twcc with arrivals to report */
  mt_list claims;       /* mt_claim: addresses that no check has confirmed yet */
  mt_bucket tries;      /* authentications of datagrams from unknown addresses */
  mt_list owed;         /* consumers with a key frame request that is put off */
  mt_list scored;       /* consumers with a score event in the last second, the oldest event first */
  mt_list allocating;   /* mt_downlink whose layers are to be allocated anew */
  mt_list gathered;     /* producers with packets that wait to be forwarded, the longest first */
  bool gathering;       /* packets may wait; see egress/fanout.h */
  mt_list pacing;       /* mt_downlink with packets that wait, or with a probe */
  int64_t next_tick;    /* mt_core_tick does nothing before this time */
  int64_t next_round;   /* time of the next round, ten a second */
  mt_pool packets;      /* of mt_packet */
  mt_pool missing;      /* of MT_MAX_MISSING mt_missing */
  mt_pools sent;        /* of mt_sent; see egress/sent.h */
  mt_pools departures;  /* of mt_departure; see estimate/departures.h */
  bool held;            /* it neither reads nor sends; see core/begin.h */
  bool resuming;        /* it has never begun: its objects may be resumed */
  bool hold_unanswered; /* MT_EVENT_HELD is to be offered, with `hold_token` */
  uint32_t hold_token;
  void (*send)(void *context, const mt_path *to, size_t len); /* while it is held: the sink's */
  mt_region *region;                                          /* of the objects that outlive the process; see state/kept.h */
  mt_pool queues;                                             /* of MT_QUEUE_SLOTS mt_queued */
  mt_counters counters;
  uint32_t stats_waiting[MT_MAX_WAITING_STATS]; /* tokens of requests for statistics, the oldest first */
  unsigned stats_count;                         /* requests in `stats_waiting` */
  uint32_t snapshot_wanted;                     /* token of a request for a snapshot; 0: none */
  uint32_t snapshot_taken;                      /* token of the newest snapshot; 0: none yet */
  int64_t sends_until;                          /* nothing is sent from this time on; 0: no limit */
};

#endif
