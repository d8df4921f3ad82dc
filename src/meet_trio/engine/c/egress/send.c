/* See send.h. */
#include "egress/send.h"

#include "egress/outgoing.h"
#include "egress/redundancy.h"
#include "egress/resend.h"
#include "egress/sent.h"
#include "paths/outlet.h"
#include "state/marks.h"

void mt_consumer_send(mt_core *core, mt_consumer *c, uint8_t epoch, const mt_packet *p, const mt_numbers *n, int64_t now) {
  mt_stamps v = mt_new_stamps(c, now);
  size_t len = mt_compose(c, mt_reserve(core), p, n, 0, &v);
  if (!len) return;
  mt_send(core, c->transport, len);
  if (c->spec.ext_ids[MT_EXT_TRANSPORT_CC]) mt_downlink_sent(c->transport, v.twcc, len, 0, now);
  else mt_downlink_spent(c->transport, len);
  core->counters.rtp_forwarded++;
  if (!c->packets++) mt_change(core, &c->changes, MT_CHANGED_FIRST);
  if (c->sent_most) mt_sent_note(core, c, epoch, p, n, &v, now);
  if (n->sequence > c->newest_sent) c->newest_sent = n->sequence;
  c->octets += p->payload_len;
  if (!c->sent_most) return;
  mt_consumer_earn_resends(c, len);
  if (p->keyframe && n->sequence > c->last_keyframe) c->last_keyframe = n->sequence, c->keyframe_sent = now;
  mt_redundancy_sent(core, c, p, n->sequence, len, now);
}
