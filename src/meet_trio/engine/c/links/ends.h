/* What one core keeps of a link: its end, in a list of those it holds. */
#ifndef MT_LINKS_ENDS_H
#define MT_LINKS_ENDS_H

#include "links/link.h"
#include "state/core_state.h"

void mt_link_join(mt_core *core, mt_link *link, mt_side side); /* holds the link, unless this core does so already */

#endif
