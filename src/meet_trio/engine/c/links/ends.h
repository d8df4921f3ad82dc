/* The list of link ends that a core holds.
 *
 * Each of a link's two cores keeps an end of its own in the link, and has that end in a list while it holds the link.
 * core/exchange.h takes ends out of the list again.
 */
#ifndef MT_LINKS_ENDS_H
#define MT_LINKS_ENDS_H

#include "links/link.h"
#include "state/core_state.h"

/* Adds the end of this `side` to the core's list and takes a reference to the link. Has no effect if the core holds the link
 * already. */
void mt_link_join(mt_core *core, mt_link *link, mt_side side);

#endif
