/* The sink's end of a link: mirrors of producers that live on other engines.
 *
 * A mirror is a producer without transport. Its streams are filled from the link, its consumers do not know the difference: layers, key
 * frames, history and reports work as ever. Upwards it only says which encodings are listened to and that a key frame is wanted.
 *
 * A mirror without link waits: it is added before the source begins to send, and may outlive it.
 */
#ifndef MT_INGRESS_MIRROR_H
#define MT_INGRESS_MIRROR_H

#include "links/link.h"
#include "state/core_state.h"

void mt_mirrors_lose(mt_core *core, mt_link_end *end, int64_t now); /* the link is closed */
void mt_mirror_take(mt_core *core, mt_link_end *end, const mt_crossing *m, int64_t now);

#endif
