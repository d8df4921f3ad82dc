/* Packets in the form that consumers and retransmissions need, and the history that keeps the newest of them.
 *
 * Every RTP packet of a producer is decrypted once and copied once into a buffer of the engine's pool. It is sent from there to
 * any number of consumers, at once and again when they ask for a retransmission. A history is a ring of one stream's buffers,
 * indexed by the extended sequence number. It is bounded in number and in age.
 */
#ifndef MT_STATE_PACKET_H
#define MT_STATE_PACKET_H

#include "state/specs.h"
#include "base/pool.h"
#include "formats/layering.h"

enum { MT_PACKET_DATA = 1500 }; /* bytes: the values of a packet's header extensions, and its payload */

typedef struct {   /* a header extension that consumers may get */
  uint8_t kind;    /* mt_ext_kind */
  uint8_t len;     /* bytes of value */
  uint16_t offset; /* of the value, in `data` */
} mt_packet_ext;

typedef struct {
  uint64_t sequence;  /* extended: roll-over count << 16 | sequence */
  int64_t arrived;    /* when, in microseconds */
  uint32_t timestamp; /* RTP, as the client sent it */
  bool marker;        /* RTP: of video, it ends a frame */
  bool keyframe;      /* it begins a key frame */
  bool has_vp8;       /* `vp8` is set */
  bool has_vp9;       /* `vp9` is set */
  bool has_dd;        /* `dd_frame` is set */
  union {
    mt_vp8 vp8;
    mt_vp9 vp9;
    uint16_t dd_frame; /* frame number of the Dependency Descriptor */
  };
  mt_layering layering;
  uint8_t ext_count;
  mt_packet_ext ext[MT_EXT_COUNT];
  uint16_t payload;     /* offset in `data` */
  uint16_t payload_len; /* bytes */
  uint8_t padding;      /* bytes of RTP padding behind the payload, in `data`; RTX leaves them out */
  uint8_t data[MT_PACKET_DATA];
} mt_packet;

/* The packet's picture: VP8's and VP9's picture id, AV1's frame number. They wrap at this mask. */
static inline bool mt_packet_has_picture(const mt_packet *p) { return p->has_vp8 || p->has_vp9 || p->has_dd; }
static inline uint16_t mt_packet_picture(const mt_packet *p) {
  return p->has_vp8 ? p->vp8.picture_id : p->has_vp9 ? p->vp9.picture_id : p->has_dd ? p->dd_frame : 0;
}
static inline uint16_t mt_packet_picture_mask(const mt_packet *p) { return p->has_dd ? 0xffff : 0x7fff; }
static inline uint8_t mt_packet_tl0picidx(const mt_packet *p) {
  return p->has_vp8 ? p->vp8.tl0picidx : p->has_vp9 ? p->vp9.tl0picidx : 0;
}

/* The packet's temporal layer; 0 is the lowest. */
static inline uint8_t mt_packet_temporal(const mt_packet *p) { return p->layering.temporal; }

typedef struct {
  mt_packet **slots; /* by sequence & mask; NULL: no packet */
  uint32_t mask;     /* number of slots, less one */
  uint64_t oldest;   /* no packet before this one is kept */
  uint64_t end;      /* one past the newest */
} mt_history;

bool mt_history_init(mt_history *h, uint32_t slots); /* `slots`: a power of two. False: no memory */
void mt_history_clear(mt_history *h, mt_pool *pool); /* all packets go back to the pool */
void mt_history_free(mt_history *h, mt_pool *pool);
/* Takes `p` over. False: `p` is too old for the ring, and has gone back to the pool. Packets that fall out of the ring or
 * arrived before `horizon` (microseconds) go back to the pool. The newest packet always stays; `p` stays until the next call. */
bool mt_history_add(mt_history *h, mt_pool *pool, mt_packet *p, int64_t horizon);
void mt_history_expire(mt_history *h, mt_pool *pool, int64_t horizon); /* of packets that arrived before `horizon`, as above */
mt_packet *mt_history_find(const mt_history *h, uint64_t sequence);    /* NULL: not kept */

#endif
