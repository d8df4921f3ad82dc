/* What lies between two engines: the way of one engine's packets to another, and of the other's wishes back.
 *
 *   source ── packets, states of streams ──▶ sink      a ring of large slots
 *   source ◀─ what is listened to, key frames ── sink  a ring of small ones
 *
 * Two engines that send to each other have two links. Both rings are bounded and nobody waits: what finds no room is lost and
 * counted. Each end is used by its engine's thread only, and the rings are all that they share.
 *
 * A link belongs to whoever holds a reference: its two engines, and commands that are on their way. Each engine marks its end
 * closed when it ends and the other lets go when it sees that, so engines may go in any order and at any moment.
 *
 * An engine sleeps on its waker. The other side wakes it after a batch, which is a system call only if it really sleeps.
 */
#ifndef MT_LINKS_LINK_H
#define MT_LINKS_LINK_H

#include "base/list.h"
#include "state/packet.h"
#include "base/ring.h"

/* ---- wakers ---- */

typedef struct {
  _Atomic uint32_t references;
  _Atomic bool asleep;
  int fd; /* an eventfd of the waker's own; -1: nobody ever sleeps */
} mt_waker;

mt_waker *mt_waker_new(int fd); /* `fd` is duplicated, so that its number stays ours. NULL with errno set */
mt_waker *mt_waker_hold(mt_waker *b);
void mt_waker_drop(mt_waker *b); /* NULL is allowed */
void mt_waker_wake(mt_waker *b);

/* ---- links ---- */

typedef struct mt_link mt_link;

typedef enum { MT_SOURCE, MT_SINK } mt_side;

typedef enum {
  MT_CROSS_PACKET = 1,
  MT_CROSS_ALIVE, /* an encoding that nobody listens to over there has ended a frame: it arrives */
  MT_CROSS_STATE, /* of a stream: when the relay begins, with a sender report, after a reset */
  MT_CROSS_STOP,  /* no more of this producer */
} mt_cross_type;

typedef struct {
  uint8_t type, index;
  bool arrived; /* new media, not recovered and no padding: the encoding is alive */
  bool gap;     /* packets before this one found the ring full */
  bool has_sr;
  bool ended; /* nothing is sent under this SSRC any more */
  uint32_t producer;
  uint32_t relay; /* which of those that this producer has had: a new one knows of no wishes */
  uint32_t ssrc, sr_timestamp;
  uint64_t generation; /* the stream's */
  uint64_t sr_ntp;
  int64_t sr_arrival;
  mt_packet packet; /* as much of it as there is data */
} mt_crossing;

typedef enum {
  MT_WISH_LISTEN = 1, /* `number`: the encodings that are to cross, as bits */
  MT_WISH_KEYFRAME,   /* `number`: bool, whether or not one is listening */
  MT_WISH_GONE,       /* the mirror was removed */
} mt_wish_type;

typedef struct {
  uint32_t producer, relay; /* the relay that this is meant for */
  uint8_t type, index, number;
} mt_wish;

typedef struct {   /* what one engine keeps of a link */
  mt_list in_core; /* while the core holds it */
  mt_link *link;
  mt_list members;  /* mt_relay or mt_producer (mirrors) */
  uint32_t waiting; /* messages that had come when commands were applied last */
  bool held, to_wake;
} mt_link_end;

struct mt_link {
  _Atomic uint32_t references;
  mt_waker *wakers[2];
  mt_ring crossings, wishes;
  struct {
    _Alignas(64) mt_link_end end;
    _Atomic bool closed;
  } sides[2];
};

/* `slots` of the packets' ring: a power of two. NULL: no memory. */
mt_link *mt_link_new(mt_waker *source, mt_waker *sink, uint32_t slots);
mt_link *mt_link_hold(mt_link *l);
void mt_link_drop(mt_link *l); /* NULL is allowed */
bool mt_link_closed(mt_link *l, mt_side side);
void mt_link_close(mt_link *l, mt_side side); /* and wakes the other side */

static inline mt_side mt_link_side(const mt_link_end *end) { return end == &end->link->sides[MT_SINK].end ? MT_SINK : MT_SOURCE; }

/* ---- the links out of one engine, as the thread that gives commands knows them ---- */

typedef struct {
  mt_link **links;
  size_t count;
} mt_links;

/* The one to `sink`, made if there is none; the reference stays with `links`. NULL: no memory. */
mt_link *mt_links_get(mt_links *links, mt_waker *source, mt_waker *sink, uint32_t slots);
mt_link *mt_links_find(const mt_links *links, const mt_waker *sink); /* NULL: none */
void mt_links_prune(mt_links *links);                                /* lets go of those whose other end is closed */
void mt_links_free(mt_links *links);

#endif
