/* A link between two engines: one engine's packets go to the other, and the other's wishes come back.
 *
 *   source ── packets, states of streams ────────────▶ sink    ring of large slots
 *   source ◀─ encodings listened to, key frames ────── sink    ring of small slots
 *
 * Two engines that send to each other have two links. Both rings are bounded and neither engine waits: a message that finds no room
 * is lost, and the source counts it. Each end is used by its engine's thread only. The engines share the rings, the closed marks
 * and the wakers, all of which work without locks. The meaning of the messages is in egress/relay.c (source) and ingress/mirror.c
 * (sink).
 *
 * A link is freed when its last reference is dropped. Its two engines hold one each, and so does each command that carries the
 * link. An engine that ends marks its end closed, and the other engine drops its reference when it sees the mark. So engines may
 * end in any order and at any moment. One that has died says so with the mark: another engine may soon be in its place, so its
 * mirrors keep their streams and wait (ingress/mirror.h).
 *
 * An engine sleeps on its waker. The other side wakes it after a batch; that costs a system call only if the engine sleeps.
 */
#ifndef MT_LINKS_LINK_H
#define MT_LINKS_LINK_H

#include "base/list.h"
#include "state/packet.h"
#include "base/ring.h"

/* ---- wakers ---- */

typedef struct {
  _Atomic uint32_t references;
  _Atomic bool asleep; /* set by the engine before it sleeps, cleared by either side */
  int fd;              /* an eventfd of the waker's own; -1: its engine never sleeps */
} mt_waker;

/* `fd`: an eventfd, which is duplicated so that the caller may close it, or -1. The caller has the first reference. NULL: failure,
 * with errno set. */
mt_waker *mt_waker_new(int fd);
mt_waker *mt_waker_hold(mt_waker *w);
void mt_waker_drop(mt_waker *w); /* NULL is allowed */
void mt_waker_wake(mt_waker *w); /* after the messages were put; any thread may call it */

/* ---- links ---- */

typedef struct mt_link mt_link;

typedef enum { MT_SOURCE, MT_SINK } mt_side;

typedef enum {
  MT_CROSS_PACKET = 1,
  MT_CROSS_ALIVE, /* an encoding that has no listener at the sink has ended a frame: it arrives */
  MT_CROSS_STATE, /* the state of a stream: sent when the relay begins, with a sender report, and after a reset */
  MT_CROSS_STOP,  /* the producer is relayed no more */
} mt_cross_type;

typedef struct { /* a message from source to sink */
  uint8_t type;  /* mt_cross_type */
  uint8_t index; /* the encoding's */
  bool arrived;  /* the packet is new media, neither recovered nor padding: the encoding is alive */
  bool gap;      /* packets before this one found the ring full */
  bool has_sr;
  bool ended;         /* the client sends nothing under this SSRC any more */
  uint32_t producer;  /* id */
  uint32_t relay;     /* id: a producer's later relay has received no wishes yet */
  uint8_t temporal;   /* MT_CROSS_ALIVE: layer of the frame that has ended */
  uint32_t frame_len; /* MT_CROSS_ALIVE: bytes on the network of the packets since the last frame ended */
  uint8_t loss_level; /* of the stream, see base/loss_level.h */
  uint32_t rtt_us;    /* of the stream */
  uint32_t ssrc, sr_timestamp;
  uint64_t generation; /* the stream's */
  uint64_t sr_ntp;     /* seconds, 32.32 fixed point */
  int64_t sr_arrival;  /* microseconds */
  mt_packet packet;    /* its `data` only as far as it is used */
} mt_crossing;

typedef enum {
  MT_WISH_LISTEN = 1, /* `number`: the encodings that are to cross, as bits */
  MT_WISH_KEYFRAME,   /* `number`: bool; the encoding has a listener at the sink. False: the key frame is wanted without one */
  MT_WISH_GONE,       /* the mirror was removed */
} mt_wish_type;

typedef struct {            /* a message from sink to source */
  uint32_t producer, relay; /* ids; the wish is for this relay alone */
  uint8_t type;             /* mt_wish_type */
  uint8_t index, number;    /* index: the encoding's */
} mt_wish;

typedef struct {   /* one engine's end of a link */
  mt_list in_core; /* in mt_core.links while the core holds the link */
  mt_link *link;
  mt_list members;  /* mt_relay (source) or mt_producer (mirrors, sink) */
  uint32_t waiting; /* messages that were in the ring before commands were applied and are not taken yet */
  bool held;        /* `in_core` is in the list, with a reference to the link */
  bool to_wake;     /* the other engine is to be woken */
} mt_link_end;

struct mt_link {
  _Atomic uint32_t references;
  mt_waker *wakers[2]; /* by mt_side, as are the sides */
  mt_ring crossings, wishes;
  struct {
    _Alignas(MT_CACHE_LINE) mt_link_end end; /* this engine's alone */
    _Atomic bool closed;                     /* this engine has ended, or holds the link no more */
    _Atomic bool died;                       /* it has ended by a failure; set before `closed` */
  } sides[2];
};

/* `slots`: of the ring of packets, a power of two. The caller has the first reference. NULL: no memory. */
mt_link *mt_link_new(mt_waker *source, mt_waker *sink, uint32_t slots);
mt_link *mt_link_hold(mt_link *l);
void mt_link_drop(mt_link *l); /* NULL is allowed */
bool mt_link_closed(mt_link *l, mt_side side);
bool mt_link_died(mt_link *l, mt_side side);
void mt_link_close(mt_link *l, mt_side side, bool died); /* wakes the other side */

static inline mt_side mt_link_side(const mt_link_end *end) { return end == &end->link->sides[MT_SINK].end ? MT_SINK : MT_SOURCE; }

/* ---- the links that one engine is the source of, for the thread that gives commands ---- */

typedef struct {
  mt_link **links;
  size_t count;
} mt_links;

/* The link to `sink`, which is made if there is none. `slots` as for mt_link_new. The reference stays with `links`. NULL: no
 * memory. */
mt_link *mt_links_get(mt_links *links, mt_waker *source, mt_waker *sink, uint32_t slots);
mt_link *mt_links_find(const mt_links *links, const mt_waker *sink); /* NULL: none */
void mt_links_prune(mt_links *links);                                /* drops the links whose sink is closed */
void mt_links_free(mt_links *links);                                 /* drops all links */

#endif
