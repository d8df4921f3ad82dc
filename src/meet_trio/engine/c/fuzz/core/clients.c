/* Moves of clients: they join, prove addresses, get keys, and leave. */
#include "world.h"

static void credentials(const client *c, unsigned restarts, mt_ice_spec *out) {
  char text[32];
  snprintf(text, sizeof text, "u%u.%u", c->id, restarts);
  put_text(&out->ufrag, text);
  snprintf(text, sizeof text, "password%u.%u", c->id, restarts);
  put_text(&out->password, text);
}

void fuzz_check(client *c, unsigned which, unsigned how) {
  uint8_t m[128], transaction[12] = {0};
  mt_ice_spec ice = {0};
  address *a = &c->at[which % ADDRESSES];
  if (!c->alive || c->plain) return;
  credentials(c, how & 8 && c->restarts ? c->restarts - 1 : c->restarts, &ice);
  ice.ufrag.text[ice.ufrag.len] = ice.password.text[ice.password.len] = 0;
  if (how & 2) ice.password.text[0] ^= 1;
  mt_store32(transaction, ++fuzz_serial);
  size_t n = write_check(m, ice.ufrag.text, ice.password.text, transaction, how & 1);
  if (!(how & 2)) a->proved = fuzz_now;
  fuzz_expected = a->path;
  fuzz_datagram(c, &a->path, m, n);
  fuzz_expected = (mt_path){0};
}

void fuzz_take_keys(client *c, unsigned profile) {
  static const mt_srtp_profile numbers[PROFILES] = {MT_SRTP_AES128_CM_SHA1_80, MT_SRTP_AEAD_AES_128_GCM, MT_SRTP_AEAD_AES_256_GCM};
  mt_command cmd = {.type = MT_SET_SRTP, .id = c->id, .u.srtp.profile = numbers[profile % PROFILES]};
  if (!c->alive || c->plain) return;
  memcpy(cmd.u.srtp.tx, fuzz_keying[c->place][1], MT_SRTP_MAX_KEYING);
  memcpy(cmd.u.srtp.rx, fuzz_keying[c->place][0], MT_SRTP_MAX_KEYING);
  fuzz_command(c->home, &cmd);
  if (!c->srtp) c->srtp = fuzz_far_ends[c->place][profile % PROFILES];
}

static mt_path plain_path(const client *c, unsigned which, bool rtcp) {
  mt_path p = c->at[which].path;
  p.kind = rtcp ? MT_PATH_PLAIN_RTCP : MT_PATH_PLAIN_RTP;
  p.plain_transport = c->id;
  p.port = (uint16_t)(p.port + (rtcp ? 1000 : 0));
  return p;
}

void fuzz_connect_plain(client *c, unsigned which, bool elsewhere) {
  mt_command cmd = {.type = MT_CONNECT_PLAIN, .id = c->id};
  address *a = &c->at[which % ADDRESSES];
  if (!c->alive) return;
  cmd.u.remote.rtp = a->path;
  cmd.u.remote.rtcp_port = a->rtcp.port;
  if (elsewhere) cmd.u.remote.rtp.ip[0] = 11;
  else if (c->plain) a->proved = fuzz_now;
  fuzz_command(c->home, &cmd);
}

void fuzz_leave(client *c) {
  if (!c->alive) return;
  fuzz_simple(c->home, MT_REMOVE_TRANSPORT, c->id, 0);
  c->alive = false;
}

void fuzz_join(client *c, unsigned kind, unsigned how) {
  if (c->alive) fuzz_leave(c);
  unsigned place = (unsigned)(c - fuzz_clients);
  *c = (client){
      .alive = true, .id = ++fuzz_last_id, .place = place, .home = kind & 4 ? 1 : 0, .plain = kind & 1, .comedia = kind & 2};
  fuzz_have_core(c->home);
  for (unsigned i = 0; i < SSRCS; i++) c->next[i] = FIRST_INDEX;
  for (unsigned i = 0; i < ADDRESSES; i++) {
    c->at[i].path =
        (mt_path){.kind = MT_PATH_UDP, .family = 4, .port = (uint16_t)(5000 + place * 10 + i), .ip = {10, 0, 0, (uint8_t)c->id}};
    if (c->plain) {
      c->at[i].rtcp = plain_path(c, i, true);
      c->at[i].path = plain_path(c, i, false);
    } else {
      c->at[i].rtcp = c->at[i].path;
    }
  }
  mt_command cmd = {.type = c->plain ? MT_ADD_PLAIN_TRANSPORT : MT_ADD_TRANSPORT, .id = c->id};
  if (!c->plain) {
    credentials(c, 0, &cmd.u.ice);
    fuzz_command(c->home, &cmd);
    if (!(how & 1)) fuzz_check(c, 0, 1);
    if (!(how & 2)) fuzz_take_keys(c, how >> 2);
    return;
  }
  c->srtp = fuzz_far_ends[0][PROFILES - 1]; /* only means "has keys" */
  cmd.u.plain = (mt_plain_spec){
      .rtp_fd = -1, .rtcp_fd = -1, .comedia = c->comedia, .network_count = 1, .networks = {{.family = 4, .prefix = 8, .ip = {10}}}};
  fuzz_command(c->home, &cmd);
  if (!(how & 1)) fuzz_connect_plain(c, 0, false);
}

/* The client's NAT gives it another address. */
void fuzz_move(client *c, unsigned which) {
  if (!c->alive || c->plain) return;
  address a = c->at[0];
  c->at[0] = c->at[which % ADDRESSES];
  c->at[which % ADDRESSES] = a;
}

void fuzz_restart(client *c) {
  mt_command cmd = {.type = MT_RESTART_ICE, .id = c->id};
  if (!c->alive) return;
  if (!c->plain) c->restarts++;
  credentials(c, c->restarts, &cmd.u.ice);
  fuzz_command(c->home, &cmd);
}
