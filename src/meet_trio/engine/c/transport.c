/* Transports: ICE-lite (RFC 8445 §2.5), consent (RFC 7675), the way up for DTLS datagrams, the way out for packets.
 *
 * The client never tells us its candidates or credentials. A binding request whose MESSAGE-INTEGRITY holds for our password registers
 * the address it came from as a path; the first path is used at once, a request with USE-CANDIDATE selects its path. Whatever comes from
 * an address that is no path of a transport, and is no such request, is dropped here.
 *
 * After an ICE restart the old credentials hold until a request with the new ones has come.
 */
#include <stdlib.h>
#include <string.h>

#include <netinet/in.h>
#include <openssl/crypto.h>

#include "internal.h"
#include "rtcp.h"
#include "stun.h"

static uint64_t hash_bytes(uint64_t seed, const void *p, size_t n) {
  const uint8_t *b = p;
  uint64_t h = seed ^ (n * 0x9e3779b97f4a7c15u);
  for (; n >= 8; b += 8, n -= 8) {
    uint64_t w;
    memcpy(&w, b, 8);
    h = mt_mix(h ^ w);
  }
  uint64_t w = 0;
  memcpy(&w, b, n);
  return mt_mix(h ^ w);
}

/* Two addresses with the same 64-bit keyed hash are taken for "not known": what is found is compared. */
static uint64_t address_key(const mt_core *core, const mt_addr *a) { return hash_bytes(core->seed, a, sizeof *a); }

static mt_path *path_of(mt_core *core, const mt_addr *a) {
  mt_path *path = mt_map_get(&core->by_address, core->seed, address_key(core, a));
  return path != NULL && memcmp(&path->addr, a, sizeof *a) == 0 ? path : NULL;
}

mt_transport *mt_transport_of(mt_core *core, const mt_addr *from) {
  mt_path *path = path_of(core, from);
  return path == NULL ? NULL : path->transport;
}

static void forget_path(mt_transport *t, mt_path *path) {
  mt_map_remove(&t->core->by_address, t->core->seed, address_key(t->core, &path->addr));
  for (unsigned i = 0; i < t->path_count; i++)
    if (t->paths[i] == path) {
      memmove(&t->paths[i], &t->paths[i + 1], (t->path_count - i - 1) * sizeof t->paths[0]);
      t->path_count--;
      break;
    }
  free(path);
}

/* The path for an address that has just proved to be `t`'s: known, taken over from another transport, or new (the oldest one not in use makes
 * room). NULL without memory. */
static mt_path *learn_path(mt_transport *t, const mt_addr *from) {
  mt_core *core = t->core;
  mt_path *path = mt_map_get(&core->by_address, core->seed, address_key(core, from));
  if (path != NULL && path->transport == t && memcmp(&path->addr, from, sizeof *from) == 0) return path;
  if (path != NULL) { /* the port of a client that has gone, used anew */
    mt_transport *other = path->transport;
    if (other->selected == path) other->selected = NULL;
    forget_path(other, path);
  }
  if (t->path_count == MT_MAX_PATHS) forget_path(t, t->paths[t->paths[0] == t->selected ? 1 : 0]);
  path = calloc(1, sizeof *path);
  if (path == NULL) return NULL;
  path->addr = *from;
  path->transport = t;
  if (!mt_map_put(&core->by_address, core->seed, address_key(core, from), path)) {
    free(path);
    return NULL;
  }
  t->paths[t->path_count++] = path;
  return path;
}

static void select_path(mt_transport *t, mt_path *path) {
  if (t->selected == path) return;
  bool first = t->selected == NULL && !t->connected_pending && t->last_check == 0;
  t->selected = path;
  if (first)
    t->connected_pending = true;
  else if (!t->connected_pending)
    t->moved_pending = true;
}

static void tell_path(mt_transport *t) {
  if (t->selected == NULL || !(t->connected_pending || t->moved_pending)) return;
  mt_event e = {.type = t->connected_pending ? MT_EVENT_ICE_CONNECTED : MT_EVENT_ICE_MOVED, .id = t->id, .addr = t->selected->addr};
  if (t->core->sink.event(t->core->sink.ctx, &e)) t->connected_pending = t->moved_pending = false;
}

static uint64_t ufrag_key(const mt_core *core, const void *ufrag, size_t len) { return hash_bytes(~core->seed, ufrag, len); }

static mt_transport *by_ufrag(mt_core *core, const uint8_t *ufrag, size_t len, const char **pwd, bool *is_new) {
  mt_transport *t = mt_map_get(&core->by_ufrag, core->seed, ufrag_key(core, ufrag, len));
  if (t == NULL) return NULL;
  if (strlen(t->ufrag) == len && memcmp(t->ufrag, ufrag, len) == 0) {
    *pwd = t->pwd;
    *is_new = true;
    return t;
  }
  if (len > 0 && strlen(t->old_ufrag) == len && memcmp(t->old_ufrag, ufrag, len) == 0) {
    *pwd = t->old_pwd;
    *is_new = false;
    return t;
  }
  return NULL;
}

static void to_sockaddr(const mt_addr *a, struct sockaddr_storage *out) {
  static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  memset(out, 0, sizeof *out);
  if (memcmp(a->ip, mapped, 12) == 0) {
    struct sockaddr_in *in = (struct sockaddr_in *)out;
    in->sin_family = AF_INET;
    in->sin_port = htons(a->port);
    memcpy(&in->sin_addr, a->ip + 12, 4);
  } else {
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(a->port);
    memcpy(&in6->sin6_addr, a->ip, 16);
  }
}

static void forget_old_credentials(mt_transport *t) {
  if (t->old_ufrag[0] == 0) return;
  mt_map_remove(&t->core->by_ufrag, t->core->seed, ufrag_key(t->core, t->old_ufrag, strlen(t->old_ufrag)));
  t->old_ufrag[0] = t->old_pwd[0] = 0;
}

void mt_transport_stun(mt_core *core, const mt_addr *from, const uint8_t *data, size_t len) {
  mt_stun m;
  if (!mt_stun_parse_untrusted(data, len, &m) || m.type != 0x0001 || m.local_ufrag_len == 0 || m.integrity_offset == 0) {
    core->drops.stun_bad++;
    return;
  }
  const char *pwd = NULL;
  bool is_new = false;
  mt_transport *t = by_ufrag(core, m.username, m.local_ufrag_len, &pwd, &is_new);
  if (t == NULL || !mt_stun_check_integrity(data, len, &m, (const uint8_t *)pwd, strlen(pwd))) {
    /* Silence: an answer would tell a stranger what exists, and could be aimed at somebody else. */
    core->drops.stun_bad++;
    return;
  }
  uint8_t *out = core->sink.buffer(core->sink.ctx);
  size_t pwd_len = strlen(pwd);
  if (m.unknown_required != 0) {
    core->drops.stun_errors++;
    size_t n = mt_stun_write_error(out, &m, 420, (const uint8_t *)pwd, pwd_len);
    if (n > 0) core->sink.send(core->sink.ctx, from, n);
    return;
  }
  struct sockaddr_storage mapped;
  to_sockaddr(from, &mapped);
  size_t n = mt_stun_write_success(out, &m, (const struct sockaddr *)&mapped, (const uint8_t *)pwd, pwd_len);
  if (n > 0) core->sink.send(core->sink.ctx, from, n);
  mt_path *path = learn_path(t, from);
  if (path == NULL) {
    core->drops.no_memory++;
    return;
  }
  /* a nomination with credentials that have been replaced does not move the media back */
  if (t->selected == NULL || (m.use_candidate && (is_new || t->old_ufrag[0] == 0))) select_path(t, path);
  if (is_new) forget_old_credentials(t);
  t->last_check = core->now;
  t->silent = t->silent_told = false;
  tell_path(t);
}

void mt_transport_add(mt_core *core, uint32_t id, const char *ufrag, const char *pwd) {
  if (core->transports.count >= core->settings.max_transports || mt_map_get(&core->transports, core->seed, id) != NULL) {
    core->drops.no_memory++;
    return;
  }
  mt_transport *t = calloc(1, sizeof *t);
  if (t == NULL) goto no_memory;
  t->core = core;
  t->id = id;
  strcpy(t->ufrag, ufrag);
  strcpy(t->pwd, pwd);
  t->own_ssrc = (uint32_t)mt_core_random(core) | 1;
  t->dtls_tokens = core->settings.dtls_per_second;
  t->dtls_refilled = core->now;
  if (!mt_map_put(&core->transports, core->seed, id, t)) goto no_memory;
  if (!mt_map_put(&core->by_ufrag, core->seed, ufrag_key(core, ufrag, strlen(ufrag)), t)) {
    mt_map_remove(&core->transports, core->seed, id);
    goto no_memory;
  }
  return;
no_memory:
  free(t);
  core->drops.no_memory++;
}

void mt_transport_restart_ice(mt_transport *t, const char *ufrag, const char *pwd) {
  mt_core *core = t->core;
  forget_old_credentials(t);
  if (!mt_map_put(&core->by_ufrag, core->seed, ufrag_key(core, ufrag, strlen(ufrag)), t)) {
    core->drops.no_memory++;
    return;
  }
  strcpy(t->old_ufrag, t->ufrag);
  strcpy(t->old_pwd, t->pwd);
  strcpy(t->ufrag, ufrag);
  strcpy(t->pwd, pwd);
}

void mt_transport_remove(mt_transport *t) {
  mt_core *core = t->core;
  while (t->consumers != NULL) mt_consumer_remove(t->consumers);
  while (t->producers != NULL) mt_producer_remove(t->producers);
  while (t->path_count > 0) forget_path(t, t->paths[0]);
  forget_old_credentials(t);
  mt_map_remove(&core->by_ufrag, core->seed, ufrag_key(core, t->ufrag, strlen(t->ufrag)));
  mt_map_remove(&core->transports, core->seed, t->id);
  mt_srtp_free(t->srtp);
  free(t->rtcp_sources);
  free(t->arrivals);
  OPENSSL_cleanse(t, sizeof *t);
  free(t);
}

void mt_transport_dtls(mt_transport *t, const uint8_t *data, size_t len) {
  mt_core *core = t->core;
  double most = core->settings.dtls_per_second;
  t->dtls_tokens += most * (double)(core->now - t->dtls_refilled) / (double)MT_SECOND;
  if (t->dtls_tokens > most) t->dtls_tokens = most;
  t->dtls_refilled = core->now;
  if (t->dtls_tokens < 1) {
    core->drops.dtls_limited++;
    return;
  }
  t->dtls_tokens -= 1;
  if (!mt_core_event_data(core, MT_EVENT_DTLS, t->id, data, len)) core->drops.dtls_lost++;
}

void mt_transport_send(mt_transport *t, size_t len) {
  if (t->selected == NULL || len == 0) return;
  t->packets_out++;
  t->bytes_out += len;
  t->core->sink.send(t->core->sink.ctx, &t->selected->addr, len);
}

void mt_transport_send_rtcp(mt_transport *t, const uint8_t *rtcp, size_t len) {
  if (t->srtp == NULL || t->selected == NULL || len == 0) return;
  uint8_t *out = t->core->sink.buffer(t->core->sink.ctx);
  memcpy(out, rtcp, len);
  /* 31 bits; at a thousand packets a second it lasts three weeks, then the session has to be keyed anew (RFC 3711 §9.2) */
  if (t->srtcp_index >= 0x7fffffff) return;
  mt_transport_send(t, mt_srtcp_protect(t->srtp, t->srtcp_index++, out, len, MT_MAX_DATAGRAM));
}

void mt_transport_tick(mt_transport *t) {
  tell_path(t);
  if (t->last_check != 0 && t->core->now - t->last_check > t->core->settings.consent_timeout_us) t->silent = true;
  if (t->silent && !t->silent_told) t->silent_told = mt_core_event(t->core, MT_EVENT_ICE_SILENT, t->id, 0, 0);
}
