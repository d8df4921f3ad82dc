/* Writes the header of a packet that a consumer sends.
 *
 * Nearly all headers of a consumer have the same bytes but for the numbers, the stamps and the marker. These come from a model that
 * is made once. A header is written element by element instead if it has the playout delay, a dependency descriptor with another
 * frame number, or an element that needs the two-byte form. Both ways write the same bytes.
 */
#ifndef MT_EGRESS_HEADER_H
#define MT_EGRESS_HEADER_H

#include "state/core_state.h"

typedef struct {       /* a packet's numbers as the consumer sends it */
  uint64_t sequence;   /* extended */
  uint32_t timestamp;  /* clock units */
  uint16_t picture_id; /* VP8 and VP9, 15 bits; AV1's frame number, 16 bits */
  uint8_t tl0picidx;   /* VP8 and VP9 */
  bool marker;
} mt_numbers;

typedef struct {          /* the values of header extensions that change with each packet sent */
  uint32_t abs_send_time; /* 24 bits, 1/2^18 s */
  uint16_t twcc;          /* transport-wide sequence number */
} mt_stamps;

void mt_header_prepare(mt_consumer *c); /* makes the model, after `spec` is set */
/* `p`: NULL for padding. `sequence`: as sent; RTX has numbers of its own. `out` has room for MT_RTP_MAX_HEADER bytes. Returns the
 * header's length in bytes. 0: it does not fit. */
size_t mt_header_write(const mt_consumer *c, uint8_t *out, const mt_packet *p, const mt_numbers *numbers, bool rtx,
                       uint16_t sequence, const mt_stamps *v);

#endif
