/* Packets as consumers and retransmissions want them, and the history that keeps the last of them.
 *
 * Every RTP packet of a producer is decrypted once, copied once into a buffer of the engine's pool, and sent from there to
 * any number of consumers, now and when they ask again. A history is a ring of buffers of one stream, indexed
 * by the extended sequence number, bounded in number and in age.
 */
#ifndef MT_STATE_PACKET_H
#define MT_STATE_PACKET_H

#include "state/specs.h"
#include "base/pool.h"
#include "formats/vp8.h"

enum { MT_PACKET_DATA = 1500 };

typedef struct {
  uint8_t kind; /* mt_ext_kind */
  uint8_t len;
  uint16_t offset; /* in data */
} mt_packet_ext;

typedef struct {
  uint64_t sequence; /* extended: roll-over count << 16 | sequence */
  int64_t arrived;
  uint32_t timestamp;
  bool marker, keyframe;
  bool has_vp8;
  mt_vp8 vp8;
  uint8_t ext_count;
  mt_packet_ext ext[MT_EXT_COUNT];
  uint16_t payload, payload_len; /* in data */
  uint8_t data[MT_PACKET_DATA];
} mt_packet;

typedef struct {
  mt_packet **slots;
  uint32_t mask;
  uint64_t oldest; /* no packet before this one is kept */
  uint64_t end;    /* one past the newest */
} mt_history;

bool mt_history_init(mt_history *h, uint32_t slots); /* a power of two */
void mt_history_clear(mt_history *h, mt_pool *pool);
void mt_history_free(mt_history *h, mt_pool *pool);
/* Takes `p` over; false when it is too old for the ring (then it is back in the pool already). What falls out of the
 * ring or arrived before `horizon` goes back to the pool; the newest always stays, and so does `p` until the next one. */
bool mt_history_add(mt_history *h, mt_pool *pool, mt_packet *p, int64_t horizon);
void mt_history_expire(mt_history *h, mt_pool *pool, int64_t horizon);
mt_packet *mt_history_find(const mt_history *h, uint64_t sequence);

#endif
