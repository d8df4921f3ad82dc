/* The numbers of an epoch whose publisher's frames are not all forwarded.
 *
 * A client must see sequence numbers and VP8 picture ids without gaps: it asks for a missing number by NACK, and a VP8 decoder
 * waits for a missing picture. So each packet and each picture that is left out moves all later numbers down by one. The numbering
 * remembers the shift of each of the last packets and pictures, because packets come late and out of order.
 *
 * VP9's picture ids and AV1's frame numbers keep their gaps, because frames refer to each other by differences of these numbers.
 *
 * A packet that is missing when later ones come keeps its number. It is forwarded if it comes, whatever its layer, because
 * otherwise the client would wait for that number.
 *
 * An epoch has no numbering, and costs nothing, until the first packet is left out.
 */
#ifndef MT_EGRESS_NUMBERING_H
#define MT_EGRESS_NUMBERING_H

#include "egress/compose.h"

enum {
  MT_NUMBERED_PACKETS = 1024, /* packets of the stream whose shift is known; a power of two */
  MT_NUMBERED_PICTURES = 256, /* pictures; a power of two */
};

struct mt_numbering {
  uint64_t highest;                               /* extended sequence number of the stream: the newest packet that has a place */
  uint64_t packets;                               /* left out so far */
  uint16_t pictures;                              /* the same modulo 2^16 */
  bool has_picture;                               /* `picture` is set */
  uint16_t picture;                               /* the newest picture id of the stream */
  uint16_t packets_before[MT_NUMBERED_PACKETS];   /* left out before this packet, modulo 2^16 */
  uint16_t pictures_before[MT_NUMBERED_PICTURES]; /* left out before this picture */
};

/* How far picture `a` is ahead of `b`, ids modulo `mask` + 1; below 0: behind it. */
static inline int mt_picture_ahead(uint16_t a, uint16_t b, unsigned mask) {
  int distance = (int)((unsigned)(a - b) & mask);
  return distance <= (int)(mask / 2) ? distance : distance - (int)mask - 1;
}

/* The newest packet of the open epoch's stream, sent or left out, as an extended sequence number of the stream. */
uint64_t mt_epoch_newest(const mt_consumer *c, const mt_epoch *e);
/* Leaves out `p`, which is newer than all packets of the open epoch. False: no memory; it must be sent. */
bool mt_epoch_leave_out(mt_core *core, mt_consumer *c, mt_epoch *e, const mt_packet *p);
/* The numbers of `p` as the consumer sends it, without the timestamp. False: it comes so late that its number is not known any more. */
bool mt_epoch_numbers(mt_epoch *e, const mt_packet *p, mt_numbers *out);
void mt_epoch_free(mt_core *core, mt_epoch *e); /* leaves an unused epoch */

#endif
