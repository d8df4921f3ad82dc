/* See dtls.h. */
#include "paths/dtls.h"

#include "base/bucket.h"
#include "paths/outlet.h"
#include "paths/routes.h"

#include <string.h>

enum { DTLS_BURST = 32 /* datagrams of one transport */ };

void mt_dtls_datagram(mt_core *core, int64_t now, const mt_path *from, const uint8_t *data, size_t len) {
  mt_route *r = mt_route_find(core, from);
  if (!r) {
    core->counters.dropped_unknown_address++;
    return;
  }
  mt_transport *t = r->transport;
  t->stats.packets_in++;
  t->stats.bytes_in += len;
  mt_bucket_fill(&t->dtls, core->settings.dtls_per_second, DTLS_BURST, now);
  if (t->dtls.level < 1) {
    core->counters.dropped_dtls_rate++;
    return;
  }
  t->dtls.level--;
  mt_event e = {.type = MT_EVENT_DTLS, .id = t->id, .data = data, .len = len};
  if (!core->sink.event(core->sink.context, &e)) core->counters.dropped_dtls_events++;
}

void mt_dtls_send(mt_core *core, mt_transport *t, const mt_data *datagram) {
  if (datagram->len > MT_DATAGRAM_MAX) return;
  memcpy(mt_reserve(core), datagram->bytes, datagram->len);
  if (t->selected && !core->held) mt_send(core, t, datagram->len);
  else core->counters.dropped_dtls_no_path++;
}
