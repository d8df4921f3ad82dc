/* The packets of a stream that have not come while later ones have, in ascending order. periodic/requests.c asks for them. */
#ifndef MT_INGRESS_MISSING_H
#define MT_INGRESS_MISSING_H

#include "state/core_state.h"

bool mt_missing_add(mt_core *core, mt_stream *s, uint64_t first, uint64_t end, int64_t now); /* false: too many */
void mt_missing_overtaken(mt_core *core, mt_stream *s, int64_t now);                         /* a new packet has come */
bool mt_missing_take(mt_stream *s, uint64_t sequence, bool recovered, int64_t now);          /* was it missing? */
bool mt_missing_has(const mt_stream *s, uint64_t sequence);
void mt_missing_clear(mt_stream *s);

#endif
