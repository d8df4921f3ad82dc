/* See ends.h. */
#include "links/ends.h"

void mt_link_join(mt_core *core, mt_link *link, mt_side side) {
  mt_link_end *end = &link->sides[side].end;
  if (end->held) return;
  end->held = true;
  mt_link_hold(link);
  mt_list_append(&core->links, &end->in_core);
}
