/* Holding a core, and its beginning.
 *
 * While a core is held only commands come: no datagrams, no messages of links, no ticks. It sends nothing. A datagram that a command
 * makes it send, of DTLS, is lost as on a network.
 *
 * A core that takes the place of an earlier one is held at first. Its objects are added, and what an earlier process has left of them is
 * resumed (core/resume.h). No key frame is wanted, because a consumer may yet be resumed, and its client then needs none. A relay sends
 * every encoding until its mirror has said which it needs, so that no packet is lost, whichever of two engines begins first.
 *
 * A transport with keys that is not resumed by then is barred (core/transport.h).
 *
 * A core that has begun may be held again, so that another process goes on with its objects. What it has received is then forwarded: what
 * was gathered, what waits in its links, and what waits for the pacer. So the region has all that the next process has to know. If that
 * fails, the core begins again, and goes on. Its timers have gone on meanwhile.
 *
 * Other cores may put messages into its links after that. A second hold forwards these too. So where all cores of a process are held, and
 * then all are held once more, nothing waits in any link.
 */
#ifndef MT_CORE_BEGIN_H
#define MT_CORE_BEGIN_H

#include "state/core_state.h"

void mt_core_hold_at_first(mt_core *core); /* a new core */
void mt_core_hold(mt_core *core, uint32_t token, int64_t now);
/* Offers MT_EVENT_HELD for the last hold, once what it has sent is on its way. False: the sink has no room. */
bool mt_hold_answer(mt_core *core);
/* The hold ends. Consumers that were not resumed begin. A core that is not held does nothing. */
void mt_core_begin(mt_core *core, int64_t now);

#endif
