/* Two linked cores under random load: clients come and go, produce, consume, pause, lose, reorder, ask again, report,
 * and send rubbish. The seed determines the order. Packets flow all the time, some of them gathered, and Python is at times too
 * slow to read events. Sanitizers watch memory. The far ends check rules that hold at any moment:
 *
 *  - Every SRTP and SRTCP packet is authentic, and no index is used twice with the same SSRC (the receiver's replay window).
 *  - Over plain RTP packets go only to the client itself, RTP and RTCP by the right socket, even when others talk to it.
 *  - The header of a packet is well-formed, and its SSRC belongs to a consumer of that client.
 *  - At the end nothing is left, neither objects nor packet buffers.
 *
 * Usage: churn SEED STEPS
 */
#include "base/bytes.h"
#include "core/begin.h"
#include "core/core.h"
#include "core/exchange.h"
#include "links/link.h"
#include "formats/rtcp.h"
#include "formats/rtp.h"
#include "state/core_state.h"
#include "state/figures.h"
#include "state/trace.h"
#include "formats/stun.h"
#include "../check.h"
#include "../client.h"

#include <openssl/crypto.h>

enum { CORES = 2, CLIENTS = 8, SSRCS = 64, IDS = 24, KEYING = 28 };

typedef struct {
  uint32_t ssrc;
  mt_srtp_window rtp, rtcp;
} window;

typedef struct {
  bool alive, keyed, plain;
  unsigned home; /* its core */
  uint32_t id;
  char password[24];
  mt_path path, rtcp_path; /* different only for plain RTP */
  mt_srtp *srtp;           /* the far end's: its tx is our rx */
  uint32_t srtcp_index;
  window windows[SSRCS];
  unsigned window_count;
  uint64_t sent[8]; /* the next index of each SSRC that it sends */
  uint16_t twcc;
  uint16_t last_sequence;
  uint32_t last_ssrc;
} client;

static mt_core *cores[CORES];
static mt_waker *wakers[CORES];
static mt_links links[CORES];
static int64_t now = 1000000;
static uint64_t state;
static client clients[CLIENTS];
static uint32_t next_id = 1;
static struct {
  uint32_t id;
  unsigned home;
  mt_producer_spec spec;
} producers[IDS];
static uint32_t consumers[IDS];
static uint8_t out_buffer[MT_DATAGRAM_MAX];
static bool deaf; /* events are refused */
static bool held; /* all cores */
static uint64_t holds;
static uint64_t media_out, events, traced, gathered;
static mt_stats last_stats[CORES];

static uint32_t dice(uint32_t sides) {
  state += UINT64_C(0x9e3779b97f4a7c15);
  return (uint32_t)(mt_hash64(state) >> 32) % sides;
}

/* A client keeps its port when it moves, so that what is sent to an earlier address of its own is known. */
static bool is_at(const mt_path *own, const mt_path *p) {
  mt_path at = *p;
  if (p->kind == MT_PATH_UDP) at.ip[2] = own->ip[2];
  return mt_path_equal(own, &at);
}

static client *client_at(const mt_path *p) {
  for (unsigned i = 0; i < CLIENTS; i++)
    if (is_at(&clients[i].path, p) || is_at(&clients[i].rtcp_path, p)) return &clients[i];
  return NULL;
}

static window *window_of(client *c, uint32_t ssrc) {
  for (unsigned i = 0; i < c->window_count; i++)
    if (c->windows[i].ssrc == ssrc) return &c->windows[i];
  CHECK(c->window_count < SSRCS);
  window *w = &c->windows[c->window_count++ % SSRCS];
  *w = (window){.ssrc = ssrc};
  return w;
}

/* ---- the sink ---- */

static uint8_t *reserve(void *context) {
  (void)context;
  memset(out_buffer, 0xee, sizeof out_buffer);
  return out_buffer;
}

static void receive_rtp(client *c, size_t len) {
  mt_rtp h;
  size_t plain;
  uint64_t index;
  CHECK(mt_rtp_parse_untrusted(out_buffer, len, &h));
  mt_srtp_status s = mt_srtp_unprotect(c->srtp, &window_of(c, h.ssrc)->rtp, out_buffer, len, h.header_len, &plain, &index);
  CHECK(s == MT_SRTP_OK);
  CHECK(h.ssrc > 100000);
  c->last_ssrc = h.ssrc;
  c->last_sequence = h.sequence;
  media_out++;
}

static void receive_rtcp(client *c, size_t len) {
  size_t plain, offset = 0;
  mt_rtcp_packet p;
  CHECK(mt_srtcp_unprotect(c->srtp, &window_of(c, mt_load32(out_buffer + 4))->rtcp, out_buffer, len, &plain) == MT_SRTP_OK);
  while (mt_rtcp_next_untrusted(out_buffer, plain, &offset, &p)) {
  }
  CHECK(offset == plain);
}

static void send_out(void *context, const mt_path *to, size_t len) {
  client *c = client_at(to);
  CHECK(!held);
  CHECK(c != NULL && c->alive && context == &cores[c->home]);
  CHECK(len > 0 && len <= MT_DATAGRAM_MAX);
  if (!c || !mt_is_rtp_or_rtcp(out_buffer, len)) return;
  CHECK(c->keyed);
  CHECK(is_at(mt_is_rtcp(out_buffer, len) ? &c->rtcp_path : &c->path, to));
  if (mt_is_rtcp(out_buffer, len)) receive_rtcp(c, len);
  else receive_rtp(c, len);
}

static void check_traced(const mt_event *event) {
  const uint8_t *at = event->data, *end = at + event->len;
  while (at < end) {
    uint16_t len;
    memcpy(&len, at + sizeof(int64_t), sizeof len);
    CHECK(mt_is_rtp_or_rtcp(at + MT_TRACE_RECORD, len));
    at += MT_TRACE_RECORD + len;
    traced++;
  }
  CHECK(at == end);
}

static bool take_event(void *context, const mt_event *event) {
  if (deaf) return false;
  events++;
  if (event->type == MT_EVENT_HELD) holds++;
  if (event->type == MT_EVENT_TRACED) check_traced(event);
  if (event->type == MT_EVENT_STATS) {
    mt_stats *stats = (mt_stats *)(uintptr_t)event->data;
    last_stats[(mt_core **)context - cores] = *stats;
    mt_stats_free(stats);
  }
  return true;
}

/* ---- actions of clients ---- */

static void command(mt_command_type type, uint32_t id, uint64_t number) {
  mt_command c = {.type = type, .id = id, .u.number = number};
  for (unsigned i = 0; i < CORES; i++) mt_core_command(cores[i], now, &c); /* not all of them know the id */
}

static void prefer(uint32_t id, mt_layers layers) {
  mt_command c = {.type = MT_SET_PREFERRED_LAYERS, .id = id, .u.layers = layers};
  for (unsigned i = 0; i < CORES; i++) mt_core_command(cores[i], now, &c);
}

static void check(client *c) {
  uint8_t m[128], transaction[12];
  char ufrag[16];
  snprintf(ufrag, sizeof ufrag, "u%u", c->id);
  for (unsigned i = 0; i < sizeof transaction; i++) transaction[i] = (uint8_t)dice(256);
  size_t n = write_check(m, ufrag, c->password, transaction, dice(2));
  mt_core_datagram(cores[c->home], now, &c->path, m, n);
}

static void send_media(client *c);
static void send_rtcp(client *c);

static void arrive_plainly(client *c, mt_command *cmd) {
  static const uint8_t near[16] = {10, 0, 0, 0};
  c->plain = c->keyed = true;
  c->srtp = mt_srtp_new_null();
  c->path.kind = MT_PATH_PLAIN_RTP;
  c->path.plain_transport = c->id;
  c->rtcp_path = c->path;
  c->rtcp_path.kind = MT_PATH_PLAIN_RTCP;
  c->rtcp_path.port = (uint16_t)(c->path.port + 30000);
  cmd->type = MT_ADD_PLAIN_TRANSPORT;
  cmd->u.plain = (mt_plain_spec){.comedia = dice(2), .network_count = 1, .networks = {{.family = 4, .prefix = 24}}};
  memcpy(cmd->u.plain.networks[0].ip, near, sizeof near);
  bool comedia = cmd->u.plain.comedia;
  mt_core_command(cores[c->home], now, cmd);
  if (!comedia || dice(2)) {
    mt_command connect = {.type = MT_CONNECT_PLAIN, .id = c->id};
    connect.u.remote.rtp = c->path;
    connect.u.remote.rtcp_port = c->rtcp_path.port;
    mt_core_command(cores[c->home], now, &connect);
  }
  /* With comedia a stranger who came first would be taken for the client. */
  uint8_t rr[] = {0x80, 201, 0, 1, 0, 0, 0, 1}, rtp[12] = {0x80, 96, 0, 1, [11] = 99};
  mt_core_datagram(cores[c->home], now, &c->path, rtp, sizeof rtp);
  mt_core_datagram(cores[c->home], now, &c->rtcp_path, rr, sizeof rr);
}

/* The port is right, the address is not. */
static void be_spoken_to_by_strangers(client *c) {
  client stranger = *c;
  if (dice(2)) stranger.path.ip[3] = stranger.rtcp_path.ip[3] = 77;
  else stranger.path.ip[0] = stranger.rtcp_path.ip[0] = 11;
  if (dice(2)) send_media(&stranger);
  else send_rtcp(&stranger);
  mt_command elsewhere = {.type = MT_CONNECT_PLAIN, .id = c->id};
  elsewhere.u.remote.rtp = stranger.path;
  elsewhere.u.remote.rtcp_port = stranger.rtcp_path.port;
  mt_core_command(cores[c->home], now, &elsewhere);
}

static void arrive(client *c) {
  mt_command cmd = {.type = MT_ADD_TRANSPORT, .id = next_id++};
  mt_path path = {.kind = MT_PATH_UDP, .family = 4, .port = (uint16_t)(c->path.port + CLIENTS), .ip = {10, 0, 0, 1}};
  *c = (client){.home = c->home, .alive = true, .id = cmd.id, .path = path, .rtcp_path = path};
  for (unsigned i = 0; i < 8; i++) c->sent[i] = dice(0x8000);
  if (dice(3) == 0) {
    arrive_plainly(c, &cmd);
    return;
  }
  char ufrag[16];
  snprintf(ufrag, sizeof ufrag, "u%u", c->id);
  snprintf(c->password, sizeof c->password, "password%u", c->id);
  put_text(&cmd.u.ice.ufrag, ufrag);
  put_text(&cmd.u.ice.password, c->password);
  mt_core_command(cores[c->home], now, &cmd);
  check(c);
}

static void take_keys(client *c) {
  mt_command cmd = {.type = MT_SET_SRTP, .id = c->id, .u.srtp.profile = MT_SRTP_AEAD_AES_128_GCM};
  if (c->keyed) return;
  for (unsigned i = 0; i < KEYING; i++) {
    cmd.u.srtp.tx[i] = (uint8_t)dice(256);
    cmd.u.srtp.rx[i] = (uint8_t)dice(256);
  }
  c->srtp = mt_srtp_new(MT_SRTP_AEAD_AES_128_GCM, MT_AEAD_LIBCRYPTO, cmd.u.srtp.rx, cmd.u.srtp.tx);
  c->keyed = true;
  mt_core_command(cores[c->home], now, &cmd);
}

static void leave(client *c) {
  command(MT_REMOVE_TRANSPORT, c->id, 0);
  mt_srtp_free(c->srtp);
  c->srtp = NULL;
  c->alive = c->keyed = c->plain = false;
}

static void produce(client *c) {
  mt_command cmd = {.type = MT_ADD_PRODUCER, .id = next_id++, .transport = c->id};
  mt_producer_spec *s = &cmd.u.producer_spec;
  s->video = dice(3) != 0;
  s->codec = s->video ? (mt_codec)(1 + dice(3)) : MT_CODEC_OTHER;
  if (dice(3) && s->video) s->codec = MT_CODEC_VP8;
  s->payload_type = 96;
  s->rtx_payload_type = s->video ? 97 : -1;
  s->clock_rate = s->video ? 90000 : 48000;
  put_text(&s->mid, "m");
  s->encoding_count = s->video ? (uint8_t)(1 + dice(3)) : 1;
  bool announced = dice(2);
  for (uint8_t i = 0; i < s->encoding_count; i++) {
    char rid[4] = {'r', (char)('0' + i), 0, 0};
    if (announced) s->encodings[i].ssrc = 1000 + i;
    if (announced) s->encodings[i].rtx_ssrc = 1004 + i;
    put_text(&s->encodings[i].rid, rid);
  }
  s->ext_ids[MT_EXT_MID] = 1;
  s->ext_ids[MT_EXT_RID] = 2;
  s->ext_ids[MT_EXT_REPAIRED_RID] = 3;
  s->ext_ids[MT_EXT_TRANSPORT_CC] = 4;
  s->ext_ids[MT_EXT_AUDIO_LEVEL] = 5;
  s->nack = dice(4), s->pli = dice(4), s->fir = dice(2), s->transport_cc = dice(2), s->remb = dice(2);
  mt_core_command(cores[c->home], now, &cmd);
  uint32_t place = dice(IDS);
  producers[place].id = cmd.id;
  producers[place].home = c->home;
  producers[place].spec = *s;
}

static void consume(client *c, uint32_t producer) {
  mt_command cmd = {.type = MT_ADD_CONSUMER, .id = next_id++, .transport = c->id, .producer = producer};
  mt_consumer_spec *s = &cmd.u.consumer_spec;
  s->ssrc = 100001 + 2 * dice(SSRCS / 4); /* few, so that they are used again */
  s->nack = dice(2);
  s->rtx_payload_type = s->nack ? 102 : -1; /* without RTX a retransmission is a replay, and receivers notice it */
  s->rtx_ssrc = s->nack ? s->ssrc + 1 : 0;
  s->payload_type = 101;
  put_text(&s->mid, "7");
  put_text(&s->cname, "c");
  s->ext_ids[MT_EXT_MID] = (uint8_t)(1 + dice(20));
  s->ext_ids[MT_EXT_ABS_SEND_TIME] = 22;
  s->ext_ids[MT_EXT_TRANSPORT_CC] = 23;
  s->pli = s->fir = true;
  s->paused = dice(4) == 0;
  mt_core_command(cores[c->home], now, &cmd);
  consumers[dice(IDS)] = cmd.id;
}

/* Mostly one of that core. */
static uint32_t some_producer(unsigned home) {
  uint32_t place = dice(IDS);
  for (unsigned i = 0; i < 8 && producers[place].home != home; i++) place = dice(IDS);
  return producers[place].id;
}

static void send_layer(client *c, uint8_t layer) {
  uint8_t p[1600];
  bool rtx = dice(8) == 0;
  uint32_t which = layer + (rtx ? 4u : 0u), ssrc = 1000 + which;
  if (!c->keyed) return;
  char rid[2] = {'r', (char)('0' + layer)};
  uint8_t number[2], level = (uint8_t)dice(256);
  mt_store16(number, c->twcc++);
  mt_rtp_ext_out ext[] = {{dice(3) ? 1 : 0, 1, (const uint8_t *)"m"},
                          {dice(3) ? (rtx ? 3 : 2) : 0, 2, (const uint8_t *)rid},
                          {4, 2, number},
                          {5, 1, &level}};
  /* A packet may be lost, reordered by up to four, or jump far. */
  uint64_t index = c->sent[which];
  uint32_t fate = dice(100);
  c->sent[which] += fate < 4 ? 1 + dice(5) : fate == 4 ? 1 + dice(3000) : 1;
  if (fate > 90 && index > 8) index -= dice(5);
  size_t header =
      mt_rtp_write_header(p, sizeof p, rtx ? 97 : 96, dice(2), (uint16_t)index, (uint32_t)(now * 9 / 100), ssrc, ext, 4, NULL);
  size_t n = dice(20) ? dice(1200) : dice(1500);
  uint8_t *payload = p + header;
  for (size_t i = 0; i < n && i < 16; i++) payload[i] = (uint8_t)dice(256);
  if (rtx && n >= 2) mt_store16(payload, (uint16_t)(c->sent[layer] - 1 - dice(6)));
  uint8_t *vp8 = payload + (rtx ? 2 : 0);
  if (n > 30) {
    static const uint8_t start[] = {0x90, 0xe0, 0x80, 0x11, 0x22, 0x00};
    memcpy(vp8, start, sizeof start);
    vp8[6] = dice(10) ? 1 : 0; /* a key frame */
  }
  size_t len = mt_srtp_protect(c->srtp, index, p, header, 0, payload, n);
  if (!len) return;
  if (dice(200) == 0) p[dice((uint32_t)len)] ^= 1;
  mt_core_datagram(cores[c->home], now, &c->path, p, len);
}

static void send_media(client *c) { send_layer(c, (uint8_t)dice(3)); }

static void send_rtcp(client *c) {
  uint8_t p[1600];
  size_t n = 0, cap = sizeof p - MT_SRTCP_MAX_OVERHEAD;
  uint32_t media = dice(4) ? c->last_ssrc : 100001 + dice(40);
  mt_rtcp_sender_info info = {1000 + dice(3), (uint64_t)now << 20, (uint32_t)(now * 9 / 100), 1, 1};
  mt_rtcp_report report = {.ssrc = media, .fraction_lost = (uint8_t)dice(256), .jitter = dice(9000), .last_sr = dice(9)};
  uint16_t lost[8];
  for (unsigned i = 0; i < 8; i++) lost[i] = (uint16_t)(c->last_sequence - 16 + 2 * i);
  if (!c->keyed) return;
  switch (dice(8)) {
  case 0: n = mt_rtcp_write_sr(p, cap, &info, &report, dice(2)); break;
  case 1: n = mt_rtcp_write_rr(p, cap, 1, &report, 1); break;
  case 2: n = mt_rtcp_write_nack(p, cap, 1, media, lost, 8); break;
  case 3: n = mt_rtcp_write_pli(p, cap, 1, media); break;
  case 4: n = mt_rtcp_write_fir(p, cap, 1, media, 3); break;
  case 5: n = mt_rtcp_write_remb(p, cap, 1, 1000000, &media, 1); break;
  case 6: n = dice(10) ? 0 : mt_rtcp_write_bye(p, cap, 1000 + dice(3)); break;
  default:
    n = 8 + 4 * dice(10);
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)dice(256);
  }
  n = n ? mt_srtcp_protect(c->srtp, c->srtcp_index++, p, n, sizeof p) : 0;
  if (n) mt_core_datagram(cores[c->home], now, &c->rtcp_path, p, n);
}

/* Datagrams of one core's clients that come together. The next call that is no datagram may be what forwards them. */
static void send_together(unsigned home) {
  mt_core_gather(cores[home]);
  for (unsigned n = 2 + dice(3); n; n--) {
    client *c = &clients[dice(CLIENTS)];
    if (!c->alive || c->home != home) continue;
    uint8_t layer = (uint8_t)dice(3);
    for (unsigned k = dice(6); k; k--) send_layer(c, layer);
    if (dice(4) == 0) send_rtcp(c);
  }
  gathered += !mt_list_empty(&cores[home]->gathered);
  if (dice(2)) mt_core_forward(cores[home], now);
}

static void give_link(unsigned to, mt_command_type type, uint32_t id, mt_link *link) {
  mt_command cmd = {.type = type, .id = id, .u.link = mt_link_hold(link)};
  mt_core_command(cores[to], now, &cmd);
  mt_command_release(&cmd);
}

static void relay(void) {
  uint32_t place = dice(IDS);
  unsigned from = producers[place].home, to = 1 - from;
  mt_command cmd = {.type = MT_ADD_MIRROR, .id = producers[place].id, .u.producer_spec = producers[place].spec};
  mt_link *link = mt_links_get(&links[from], wakers[from], wakers[to], 16);
  CHECK(link != NULL);
  if (!link || !cmd.id) return;
  if (dice(5)) mt_core_command(cores[to], now, &cmd);
  give_link(to, MT_ADD_LINK, 0, link);
  client *viewer = &clients[dice(CLIENTS)];
  if (viewer->alive && viewer->home == to) consume(viewer, cmd.id);
  give_link(from, dice(8) ? MT_RELAY_PRODUCER : MT_STOP_RELAYING, cmd.id, link);
}

static void cross(unsigned i) {
  for (unsigned k = 0; k < CORES; k++) mt_exchange_flush(cores[k]);
  mt_exchange_count(cores[i]);
  mt_exchange_take(cores[i], now);
  if (dice(2)) mt_core_forward(cores[i], now);
  mt_core_tick(cores[i], now);
}

static void send_rubbish(client *c) {
  uint8_t p[100];
  size_t n = dice(sizeof p);
  for (size_t i = 0; i < n; i++) p[i] = (uint8_t)dice(256);
  bytes copy = bytes_copy(p, n);
  mt_core_datagram(cores[c->home], now, dice(2) ? &c->path : &c->rtcp_path, copy.p, n);
  free(copy.p);
}

static void restart(client *c) {
  mt_command cmd = {.type = MT_RESTART_ICE, .id = c->id};
  char ufrag[16];
  snprintf(ufrag, sizeof ufrag, "u%u", c->id); /* the same name again, so that checks go on */
  put_text(&cmd.u.ice.ufrag, ufrag);
  put_text(&cmd.u.ice.password, c->password);
  mt_core_command(cores[c->home], now, &cmd);
}

/* The client's NAT gives it another address, from which nothing but media comes at first. */
static void move(client *c) {
  if (c->plain) return;
  c->path.ip[2]++;
  c->rtcp_path = c->path;
  for (unsigned i = 0; i < 8; i++) send_media(c);
  if (dice(2)) return; /* most steps are shorter than the time to the next check, so half of the claims end without one */
  now += dice(400) * 1000;
  for (unsigned i = 0; i < CORES; i++) mt_core_tick(cores[i], now);
  check(c);
}

/* Some clients are silent meanwhile. */
static void pass_long(void) {
  now += (int64_t)dice(60) * 1000000;
  for (unsigned i = 0; i < CLIENTS; i++)
    if (clients[i].alive && !clients[i].plain && dice(4)) check(&clients[i]);
}

/* Commands come while all cores are held, and nothing is sent. */
static void hold(client *c) {
  uint64_t sent[CORES];
  for (unsigned i = 0; i < 2; i++) {
    command(MT_HOLD, i + 1, 0);
    for (unsigned k = 0; k < CORES; k++) mt_exchange_flush(cores[k]);
  }
  for (unsigned i = 0; i < CORES; i++) {
    CHECK(mt_list_empty(&cores[i]->gathered));
    CHECK(mt_hold_answer(cores[i]) != deaf);
    sent[i] = cores[i]->counters.datagrams_out;
  }
  held = true;
  if (dice(2)) consume(c, some_producer(c->home));
  if (dice(2)) command(MT_PAUSE_CONSUMER, consumers[dice(IDS)], dice(2));
  if (dice(2)) prefer(consumers[dice(IDS)], (mt_layers){dice(5), dice(9)});
  if (dice(2)) command(MT_REQUEST_KEYFRAME, producers[dice(IDS)].id, 0);
  if (dice(4) == 0) command(MT_REMOVE_CONSUMER, consumers[dice(IDS)], 0);
  if (dice(8) == 0) leave(c);
  now += dice(500) * 1000;
  for (unsigned i = 0; i < CORES; i++) CHECK(cores[i]->counters.datagrams_out == sent[i]);
  held = false;
  command(MT_BEGIN, 0, 0);
}

static void step(void) {
  client *c = &clients[dice(CLIENTS)];
  uint32_t what = dice(1000);
  now += dice(4000);
  for (unsigned i = 0; i < CORES; i++) mt_core_tick(cores[i], now);
  if (dice(3) == 0) cross(dice(CORES));
  if (!c->alive) {
    if (dice(10) == 0) arrive(c);
    return;
  }
  if (!c->keyed && dice(10) == 0) take_keys(c);
  if (what < 600) send_media(c);
  else if (what < 700) send_together(c->home);
  else if (what < 850) send_rtcp(c);
  else if (what < 880) send_rubbish(c);
  else if (what < 900 && c->plain) be_spoken_to_by_strangers(c);
  else if (what < 900) check(c);
  else if (what < 910) produce(c);
  else if (what < 925) consume(c, some_producer(c->home));
  else if (what < 935) relay();
  else if (what < 945) command(MT_PAUSE_CONSUMER, consumers[dice(IDS)], dice(4) == 0);
  else if (what < 951) prefer(consumers[dice(IDS)], (mt_layers){dice(5), dice(9)});
  else if (what < 953) command(MT_SET_CONSUMER_PRIORITY, consumers[dice(IDS)], dice(300));
  else if (what < 955) command(MT_REQUEST_CONSUMER_KEYFRAME, consumers[dice(IDS)], 0);
  else if (what < 965) command(MT_REMOVE_CONSUMER, consumers[dice(IDS)], 0);
  else if (what < 970) command(MT_REMOVE_PRODUCER, producers[dice(IDS)].id, 0);
  else if (what < 980) command(MT_PAUSE_PRODUCER, producers[dice(IDS)].id, dice(4) == 0);
  else if (what < 983) command(MT_REQUEST_KEYFRAME, producers[dice(IDS)].id, 0);
  else if (what < 985) command(MT_WATCH_LEVEL, producers[dice(IDS)].id, 0);
  else if (what < 988) command(MT_REQUEST_STATS, dice(100), 0);
  else if (what < 989) command(MT_SET_MAX_BITRATE, c->id, dice(2) * 1500000);
  else if (what < 990) command(MT_SET_TRANSPORT_MAX_OUTGOING, c->id, dice(3) * 200000);
  else if (what < 991) command(MT_TRACE_TRANSPORT, c->id, dice(3));
  else if (what < 992) leave(c);
  else if (what < 994) restart(c);
  else if (what < 996) pass_long();
  else if (what < 998) move(c);
  else if (what < 999) hold(c);
  else deaf = !deaf;
}

int main(int argc, char **argv) {
  state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
  unsigned long steps = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
  mt_settings settings = {.history_packets = 64,
                          .history_ms = 1000,
                          .dtls_per_second = 50,
                          .consent_ms = 30000,
                          .pli_interval_ms = 300,
                          .nack_delay_ms = 10,
                          .nack_interval_ms = 50,
                          .nack_tries = 4,
                          .layer_silence_ms = 1500,
                          .equal_lengths = true,
                          .aead = mt_aead_fastest(),
                          .start_bitrate = 1000000,
                          .seed = state};
  for (unsigned i = 0; i < CORES; i++) {
    mt_sink sink = {&cores[i], reserve, send_out, take_event};
    cores[i] = mt_core_new(&settings, &sink);
    wakers[i] = mt_waker_new(-1);
  }
  for (unsigned i = 0; i < CLIENTS; i++) {
    clients[i].path = (mt_path){.kind = MT_PATH_UDP, .family = 4, .port = (uint16_t)(i + 1), .ip = {10, 0, 0, 1}};
    clients[i].home = i % CORES;
    arrive(&clients[i]);
  }
  for (unsigned long i = 0; i < steps; i++) step();
  deaf = false;
  command(MT_REQUEST_STATS, 1, 0);
  now++;
  for (unsigned i = 0; i < CORES; i++) mt_core_tick(cores[i], now);
  uint64_t resent = 0, crossed = 0, moved = 0;
  for (unsigned i = 0; i < CORES; i++) {
    moved += last_stats[i].counters.rebindings_moved;
    resent += last_stats[i].counters.retransmissions;
    crossed += last_stats[i].counters.relay_packets_in;
    CHECK(last_stats[i].counters.relay_packets_in <= last_stats[1 - i].counters.relay_packets_out);
  }
  for (unsigned i = 0; i < CLIENTS; i++)
    if (clients[i].alive) leave(&clients[i]);
  for (uint32_t id = 1; id < next_id; id++) command(MT_REMOVE_PRODUCER, id, 0); /* mirrors outlive their sources */
  for (unsigned i = 0; i < 3; i++) {
    command(MT_REQUEST_STATS, 1, 0);
    now += 10000000;
    for (unsigned k = 0; k < CORES; k++) cross(k);
  }
  for (unsigned i = 0; i < CORES; i++) {
    const mt_stats *last = &last_stats[i];
    CHECK(last->transport_count + last->producer_count + last->mirror_count + last->consumer_count == 0);
    CHECK(last->buffers_used == 0);
    mt_core_free(cores[i]);
    mt_waker_drop(wakers[i]);
    mt_links_free(&links[i]);
  }
  if (steps >= 10000) { /* the run was long enough for these */
    CHECK(media_out > steps / 200);
    CHECK(resent > 0);
    CHECK(moved > 0);
    CHECK(crossed > steps / 400);
    CHECK(events > steps / 1000);
    CHECK(traced > steps / 1000);
    CHECK(holds > steps / 2000);
    CHECK(gathered > steps / 100);
  }
  printf("%llu media packets out, %llu crossed, %llu retransmissions, %llu moves, %llu events\n", (unsigned long long)media_out,
         (unsigned long long)crossed, (unsigned long long)resent, (unsigned long long)moved, (unsigned long long)events);
  return check_result();
}
