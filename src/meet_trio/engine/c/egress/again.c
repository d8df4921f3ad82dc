/* See again.h. */
#include "egress/again.h"

#include "egress/compose.h"
#include "egress/outgoing.h"
#include "paths/outlet.h"

mt_sent *mt_again_find(const mt_consumer *c, uint64_t sequence, const mt_packet **packet) {
  if (!c->sent || !c->producer || !c->transport->srtp || !c->transport->selected || sequence > c->highest) return NULL;
  mt_sent *sent = &c->sent[sequence % c->sent_slots];
  if (sent->sequence != sequence) return NULL;
  const mt_stream *s = &c->producer->streams[sent->stream];
  *packet = s->generation == sent->generation ? mt_history_find(&s->history, sent->stream_sequence) : NULL;
  return *packet ? sent : NULL;
}

size_t mt_again_send(mt_core *core, mt_consumer *c, const mt_sent *sent, const mt_packet *p, uint8_t cluster, int64_t now) {
  mt_numbers n = {sent->sequence, sent->timestamp, sent->picture_id, sent->tl0picidx, sent->marker};
  mt_stamps v = {sent->abs_send_time, sent->twcc};
  uint64_t rtx_index = 0;
  if (c->rtx_sender) {
    rtx_index = c->rtx_sender->next++;
    v = mt_new_stamps(c, now);
  }
  size_t len = mt_compose(c, mt_reserve(core), p, &n, rtx_index, &v);
  if (!len) return 0;
  mt_send(core, c->transport, len);
  if (rtx_index && c->spec.ext_ids[MT_EXT_TRANSPORT_CC]) mt_downlink_sent(c->transport, v.twcc, len, cluster, now);
  else mt_downlink_spent(c->transport, len);
  return len;
}
