/* See again.h. */
#include "egress/again.h"

#include "egress/compose.h"
#include "egress/epoch.h"
#include "egress/outgoing.h"
#include "egress/sent.h"
#include "paths/outlet.h"

bool mt_again_find(const mt_consumer *c, uint64_t sequence, mt_again *out) {
  if (!c->producer || !c->transport->srtp || !c->transport->selected) return false;
  *out = (mt_again){sequence, mt_sent_find(c, sequence), NULL};
  if (out->sent) out->packet = mt_sent_packet(c, out->sent, sequence);
  return out->packet;
}

/* As it was sent: the same values make the same bytes. */
static mt_numbers numbers_of(const mt_consumer *c, const mt_again *again) {
  const mt_sent_epoch *e = &c->sent_epochs[again->sent->epoch];
  return (mt_numbers){
      .sequence = again->sequence,
      .timestamp = mt_epoch_timestamp(&e->timing, again->packet->timestamp),
      .picture_id = again->sent->picture_id,
      .tl0picidx = (uint8_t)(mt_packet_tl0picidx(again->packet) + e->tl0_delta),
      .marker = again->sent->marker,
  };
}

size_t mt_again_send(mt_core *core, mt_consumer *c, const mt_again *again, uint8_t cluster, int64_t now) {
  mt_numbers n = numbers_of(c, again);
  mt_stamps v = {again->sent->abs_send_time, again->sent->twcc};
  uint64_t rtx_index = 0;
  if (c->rtx_sender) {
    rtx_index = c->rtx_sender->next++;
    v = mt_new_stamps(c, now);
  }
  size_t len = mt_compose(c, mt_reserve(core), again->packet, &n, rtx_index, &v);
  if (!len) return 0;
  mt_send(core, c->transport, len);
  if (rtx_index && c->spec.ext_ids[MT_EXT_TRANSPORT_CC]) mt_downlink_sent(c->transport, v.twcc, len, cluster, now);
  else mt_downlink_spent(c->transport, len);
  return len;
}
