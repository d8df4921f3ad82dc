/* See ice.h. */
#include "paths/ice.h"

#include "formats/stun.h"
#include "paths/claims.h"
#include "paths/outlet.h"
#include "paths/routes.h"

void mt_ice_datagram(mt_core *core, int64_t now, const mt_path *from, const uint8_t *data, size_t len) {
  mt_stun m;
  if (!mt_stun_parse_untrusted(data, len, &m)) {
    core->counters.dropped_stun_malformed++;
    return;
  }
  if (m.type != MT_STUN_BINDING_REQUEST) {
    core->counters.dropped_stun_no_request++;
    return;
  }
  mt_credentials *c = m.local_ufrag_len ? mt_credentials_find(core, m.username, m.local_ufrag_len) : NULL;
  if (!c) {
    core->counters.dropped_stun_unknown_ufrag++;
    return;
  }
  const uint8_t *password = (const uint8_t *)c->password.text;
  size_t password_len = c->password.len;
  if (!mt_stun_check_integrity(data, len, &m, password, password_len)) {
    core->counters.dropped_stun_unauthentic++;
    return;
  }
  mt_transport *t = c->transport;
  uint8_t *out = mt_reserve(core);
  if (m.unknown_required || m.ice_controlled) {
    /* the client must be controlling, because a lite agent is always controlled (RFC 8445 section 6.1.1) */
    uint16_t code = m.unknown_required ? MT_STUN_UNKNOWN_ATTRIBUTE : MT_STUN_ROLE_CONFLICT;
    mt_send_answer(core, from, mt_stun_write_error(out, &m, code, password, password_len));
    return;
  }
  mt_route *r = mt_route_prove(core, t, from, now);
  if (!r) {
    core->counters.dropped_address_taken++;
    return;
  }
  struct sockaddr_storage mapped;
  mt_path_to_sockaddr(from, from->family == 6 ? AF_INET6 : AF_INET, &mapped);
  core->counters.stun_answered++;
  mt_send_answer(core, from,
                 mt_stun_write_success(out, &m, (const struct sockaddr *)(const void *)&mapped, password, password_len));
  if (c == &t->credentials[0]) mt_credentials_drop(core, &t->credentials[1]);
  t->heard = now;
  if (t->silent) {
    t->silent = false;
    t->changes.flags &= ~(uint32_t)MT_CHANGED_SILENT;
  }
  mt_claim_checked(core, r, now);
  mt_route_select(core, t, r, m.use_candidate, now);
}
