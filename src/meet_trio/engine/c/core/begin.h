/* The beginning of a core that takes the place of an earlier one.
 *
 * Such a core is held at first. Its objects are added, and what an earlier process has left of them is resumed (core/resume.h). While it
 * is held only commands come: no datagrams, no messages of links, no ticks. No key frame is wanted, because a consumer may yet be
 * resumed, and its client then needs none. A relay sends every encoding until its mirror has said which it needs, so that no packet is
 * lost, whichever of two engines begins first.
 */
#ifndef MT_CORE_BEGIN_H
#define MT_CORE_BEGIN_H

#include "state/core_state.h"

void mt_core_hold(mt_core *core);
/* The hold ends. Consumers that were not resumed begin. A core that is not held does nothing. */
void mt_core_begin(mt_core *core, int64_t now);

#endif
