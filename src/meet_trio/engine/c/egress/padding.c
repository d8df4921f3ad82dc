/* See padding.h. */
#include "egress/padding.h"

#include "egress/compose.h"
#include "egress/outgoing.h"
#include "paths/outlet.h"

size_t mt_consumer_pad(mt_core *core, mt_consumer *c, uint8_t cluster, int64_t now) {
  mt_stamps v = mt_new_stamps(c, now);
  size_t len = mt_compose_padding(c, mt_reserve(core), c->rtx_sender->next++, c->last_timestamp, &v);
  if (!len) return 0;
  mt_send(core, c->transport, len);
  mt_downlink_sent(c->transport, v.twcc, len, cluster, now);
  core->counters.padding_sent++;
  return len;
}
