/* Objects go on where an earlier process has left them, from blobs (core/values.h).
 *
 * A blob is given to an object that was added anew, as it was before, while the core is held (core/begin.h). The order is: transports,
 * producers, consumers, each after its keys. A blob that does not fit is refused as a whole and counted (`resumes_refused`). A transport
 * with SRTP is then barred (core/transport.h), because its indices would begin anew under the same keys. Another object begins anew; a
 * consumer's index is then the next one that its transport has kept for its SSRC. Nothing that a blob contains makes the core send an SRTP index twice, read what it must not, or send to where it
 * was not before.
 *
 * A blob that is not exact is older than the end of the process, by seconds, and may be of another machine (core/snapshot.h). Taken
 * are the indices, which then jump ahead, replay windows, SSRCs that feed streams, and the route. The jump is of MT_SKIPPED numbers.
 * Whoever took the blob has used none above. They are few enough that a receiver still guesses the roll-over count (RFC 3711 section
 * 3.3.1). What clients have sent since then is not in the replay windows, and could be replayed once.
 */
#ifndef MT_CORE_RESUME_H
#define MT_CORE_RESUME_H

#include "state/core_state.h"

enum {
  MT_SKIPPED = 1 << 14,       /* numbers: half of the 2^15 within which a receiver finds the roll-over count */
  MT_SKIPPED_SRTCP = 1 << 20, /* SRTCP indices, which are sent whole */
};

/* The route, the replay windows, the next SRTCP index and transport-wide number, ended SSRCs. */
void mt_resume_transport(mt_core *core, mt_transport *t, const mt_resume_spec *spec, int64_t now);
/* The numbers of its streams, and the SSRCs that feed them. Also of a mirror. */
void mt_resume_producer(mt_core *core, mt_producer *p, const mt_resume_spec *spec, int64_t now);
/* The next SRTP indices, and the epoch: the stream goes on with its next packet, without a key frame. */
void mt_resume_consumer(mt_core *core, mt_consumer *c, const mt_resume_spec *spec, int64_t now);

#endif
