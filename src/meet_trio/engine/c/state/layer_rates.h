/* What the layers of a stream cost, in bit/s on the network.
 *
 * Bytes are counted by spatial and temporal layer. A round ends ten times a second, and a rate is that of the last ten rounds, or of
 * those since the stream began.
 *
 * A target of layers costs its own spatial layer and those below it. In k-SVC it costs its own alone: the layers below are needed in
 * key pictures only.
 */
#ifndef MT_STATE_LAYER_RATES_H
#define MT_STATE_LAYER_RATES_H

#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  MT_RATE_ROUNDS = 10,     /* of 100 ms */
  MT_PACKET_OVERHEAD = 76, /* bytes: IPv4 and UDP 28, RTP 12, header extensions about 20, SRTP's tag up to 16 */
};

typedef struct {
  uint32_t counted[MT_MAX_SPATIAL][MT_MAX_TEMPORAL];                /* bytes, in this round */
  uint32_t rounds[MT_RATE_ROUNDS][MT_MAX_SPATIAL][MT_MAX_TEMPORAL]; /* bytes */
  uint32_t sums[MT_MAX_SPATIAL][MT_MAX_TEMPORAL];                   /* bytes of all rounds kept */
  uint8_t alone;                                                    /* spatial layers, as bits, that those above do not need */
  uint8_t next, kept;                                               /* the round that is replaced next; rounds with a value */
  uint8_t waited; /* the next round that counts anything stands for so many; 0: for one */
} mt_layer_rates; /* zeros: nothing yet */

void mt_layer_rates_count(mt_layer_rates *r, uint8_t spatial, uint8_t temporal, bool alone,
                          size_t len); /* `len`: bytes on the network */
void mt_layer_rates_round(mt_layer_rates *r);
/* The stream goes on, as `from` says of its last rounds. What has waited for `silent` rounds comes in one, and counts as that many. */
void mt_layer_rates_resume(mt_layer_rates *r, const mt_layer_rates *from, uint64_t silent);
/* The rate of the target of these layers, in bit/s. */
uint64_t mt_layer_rate(const mt_layer_rates *r, uint8_t spatial, uint8_t temporal);
/* True: there is a frame of this layer in the rounds kept. */
bool mt_layer_present(const mt_layer_rates *r, uint8_t spatial, uint8_t temporal);
/* The number of spatial or of temporal layers: one more than the highest one that is present. */
uint8_t mt_layer_count(const mt_layer_rates *r, bool spatial);

#endif
