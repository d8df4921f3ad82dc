/* See plain.h. */
#include "core/plain.h"

#include "core/transport.h"
#include "egress/consumer.h"
#include "formats/rtcp.h"
#include "formats/rtp.h"
#include "ingress/receive.h"
#include "ingress/rtcp_in.h"
#include "state/find.h"
#include "state/marks.h"

#include <string.h>

static bool in_network(const mt_network *n, const mt_path *p) {
  if (n->family != p->family) return false;
  unsigned whole = n->prefix / 8, bits = n->prefix % 8;
  if (memcmp(n->ip, p->ip, whole) != 0) return false;
  return bits == 0 || (n->ip[whole] ^ p->ip[whole]) >> (8 - bits) == 0;
}

bool mt_plain_allows(const mt_plain *plain, const mt_path *p) {
  for (unsigned i = 0; i < plain->network_count; i++)
    if (in_network(&plain->networks[i], p)) return true;
  return false;
}

static bool same_address(const mt_path *a, const mt_path *b) {
  return a->family == b->family && a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

enum { IPV4_BITS = 32, IPV6_BITS = 128 };

static bool valid(const mt_plain_spec *spec) {
  if (spec->network_count > MT_MAX_NETWORKS) return false;
  for (unsigned i = 0; i < spec->network_count; i++) {
    const mt_network *n = &spec->networks[i];
    if ((n->family != 4 && n->family != 6) || n->prefix > (n->family == 4 ? IPV4_BITS : IPV6_BITS)) return false;
  }
  return true;
}

void mt_plain_add(mt_core *core, uint32_t id, const mt_plain_spec *spec, int64_t now) {
  if (!valid(spec)) {
    core->counters.commands_refused++;
    return;
  }
  mt_transport *t = mt_transport_new(core, now, id);
  if (!t) return;
  t->plain = mt_region_get(core->region, MT_KEPT_PLAIN, sizeof *t->plain);
  t->srtp = mt_srtp_new_null();
  if (!t->plain || !t->srtp) {
    core->counters.dropped_no_memory++;
    mt_transport_remove(core, t);
    return;
  }
  t->plain->comedia = spec->comedia;
  t->plain->network_count = spec->network_count;
  memcpy(t->plain->networks, spec->networks, sizeof spec->networks);
  mt_region_mark(t->plain);
}

/* The transport knows where to send. Its consumers begin, which asks for key frames, and Python is told by an event. */
static void begin_sending(mt_core *core, mt_transport *t, int64_t now) {
  t->selected = &t->plain->rtp.route;
  mt_change(core, &t->changes, MT_CHANGED_CONNECTED);
  MT_EACH (item, &t->consumers) {
    mt_consumer *consumer = MT_OF(item, mt_consumer, in_transport);
    if (!consumer->paused) mt_consumer_begin(core, consumer, now);
  }
}

static void set_remote(mt_transport *t, mt_plain_end *end, uint8_t kind, const mt_path *to, bool fixed) {
  if (end->fixed) return; /* by an earlier command or, with comedia, by the client's first packet */
  end->route = (mt_route){.transport = t, .path = *to};
  end->route.path.kind = kind;
  end->route.path.plain_transport = t->id;
  end->fixed = fixed;
}

void mt_plain_connect(mt_core *core, mt_transport *t, const mt_remote_spec *remote, int64_t now) {
  mt_plain *plain = t->plain;
  mt_path rtcp = remote->rtp;
  rtcp.port = remote->rtcp_port;
  if (!mt_plain_allows(plain, &remote->rtp)) {
    core->counters.commands_refused++;
    return;
  }
  set_remote(t, &plain->rtp, MT_PATH_PLAIN_RTP, &remote->rtp, !plain->comedia);
  set_remote(t, &plain->rtcp, MT_PATH_PLAIN_RTCP, &rtcp, !plain->comedia);
  begin_sending(core, t, now);
}

/* True: the packet is good enough to fix the remote address, that is RTP by the RTP socket or RTCP by the RTCP socket. */
static bool well_formed(const mt_path *from, const uint8_t *data, size_t len) {
  mt_rtp h;
  mt_rtcp_packet p;
  size_t offset = 0;
  if (from->kind == MT_PATH_PLAIN_RTCP) return mt_rtcp_next_untrusted(data, len, &offset, &p);
  return !mt_is_rtcp(data, len) && mt_rtp_parse_untrusted(data, len, &h);
}

/* False: packets from this address are not accepted. That is counted. */
static bool admit(mt_core *core, const mt_plain *plain, const mt_plain_end *end, const mt_path *from) {
  if (same_address(&end->route.path, from)) return true; /* it was checked when it was set */
  if (!mt_plain_allows(plain, from)) core->counters.dropped_plain_not_allowed++;
  else if (end->fixed || !plain->comedia) core->counters.dropped_plain_stranger++;
  else return true;
  return false;
}

void mt_plain_datagram(mt_core *core, int64_t now, const mt_path *from, uint8_t *data, size_t len) {
  mt_transport *t = mt_find_transport(core, from->plain_transport);
  if (!t || !t->plain) { /* the transport was removed while the datagram was on its way */
    core->counters.dropped_unknown_address++;
    return;
  }
  bool by_rtcp = from->kind == MT_PATH_PLAIN_RTCP;
  mt_plain_end *end = by_rtcp ? &t->plain->rtcp : &t->plain->rtp;
  if (!admit(core, t->plain, end, from)) return;
  if (!mt_is_rtp_or_rtcp(data, len) || (by_rtcp && !mt_is_rtcp(data, len)) || (!end->fixed && !well_formed(from, data, len))) {
    core->counters.dropped_unknown_kind++;
    return;
  }
  if (!end->fixed) {
    set_remote(t, end, from->kind, from, true);
    if (!by_rtcp) begin_sending(core, t, now);
  }
  if (mt_is_rtcp(data, len)) mt_rtcp_datagram(core, now, t, data, len);
  else mt_rtp_datagram(core, now, t, data, len);
}
