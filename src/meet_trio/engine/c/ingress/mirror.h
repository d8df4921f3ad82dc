/* Mirrors: the sink's end of a link. A mirror stands for a producer that another engine has.
 *
 * A mirror is a producer without transport. The link fills its streams. Its consumers have layers, key frames, history and
 * reports as with any producer. To the source it says only which encodings are listened to, and that it wants a key frame.
 *
 * A mirror without link waits. It is added before the source begins to send, and may outlive the source.
 */
#ifndef MT_INGRESS_MIRROR_H
#define MT_INGRESS_MIRROR_H

#include "links/link.h"
#include "state/core_state.h"

/* The link is closed: its mirrors wait for another one. If the source has died, they keep their streams, which go on with the relays
 * of the engine in its place. */
void mt_mirrors_lose(mt_core *core, mt_link_end *end, int64_t now);
/* A message has come through the link. One for no mirror, or for the mirror of another link, is dropped and counted. */
void mt_mirror_take(mt_core *core, mt_link_end *end, const mt_crossing *m, int64_t now);

#endif
