/* A producer's audio level (RFC 6464), averaged over each round (100 ms). Python is told when it has changed by 5 dB or more, for
 * the producers that it watches.
 *
 * The level is in dBov: 0 is the loudest, -127 is silence. A producer without packets for 500 ms, and a paused one, is silent.
 */
#ifndef MT_INGRESS_LEVEL_H
#define MT_INGRESS_LEVEL_H

#include "state/core_state.h"

enum { MT_LEVEL_SILENT = -127 }; /* dBov */

void mt_level_watch(mt_core *core, mt_producer *p);
void mt_level_heard(mt_producer *p, uint8_t extension, int64_t now); /* `extension`: the header extension's byte */
void mt_level_silent(mt_core *core, mt_producer *p);                 /* the producer is paused */
void mt_level_round(mt_core *core, mt_producer *p, int64_t now);     /* takes the average, and notices that packets have ceased */

#endif
