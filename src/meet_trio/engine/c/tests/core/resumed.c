/* Blobs with any bytes changed are given to a core, which then forwards: it refuses them or goes on, and no number that it sends falls
 * back. usage: resumed SEED TIMES */
#define _GNU_SOURCE /* memfd_create */
#include "core/begin.h"
#include "core/commands.h"
#include "core/layout.h"
#include "core/salvage.h"
#include "core/values.h"
#include "formats/rtp.h"
#include "state/core_state.h"

#include "tests/check.h"
#include "tests/client.h"

#include <sys/mman.h>
#include <unistd.h>

enum { ALICE = 1, BOB = 2, CAMERA = 3, VIEW = 4, SSRC = 1000, BLOBS = 4, FRAMES = 40, PAYLOAD = 60 };

typedef struct {
  uint8_t kind;
  uint32_t id;
  bytes blob;
} kept;

static uint8_t buffer[MT_DATAGRAM_MAX];
static uint64_t state;
static uint32_t forwarded;

static uint32_t dice(uint32_t sides) {
  state += UINT64_C(0x9e3779b97f4a7c15);
  return (uint32_t)(mt_hash64(state) >> 32) % sides;
}

static uint8_t *reserve(void *context) {
  (void)context;
  return buffer;
}

static void send_out(void *context, const mt_path *to, size_t len) {
  (void)context;
  CHECK(to->kind == MT_PATH_UDP && to->udp_socket == 0);
  if (mt_is_rtp_or_rtcp(buffer, len) && !mt_is_rtcp(buffer, len)) forwarded++;
}

static bool take_event(void *context, const mt_event *event) {
  (void)context;
  (void)event;
  return true;
}

static mt_path path_of(uint32_t id) {
  return (mt_path){.kind = MT_PATH_UDP, .family = 4, .port = (uint16_t)id, .ip = {10, 0, 0, 1}};
}

static void add_transport(mt_core *core, uint32_t id, int64_t now) {
  mt_command add = {.type = MT_ADD_TRANSPORT, .id = id}, keys = {.type = MT_SET_SRTP, .id = id};
  put_text(&add.u.ice.ufrag, id == ALICE ? "alice" : "bob");
  put_text(&add.u.ice.password, "password");
  keys.u.srtp.profile = MT_SRTP_AEAD_AES_128_GCM;
  memset(keys.u.srtp.tx, (int)id, sizeof keys.u.srtp.tx);
  memset(keys.u.srtp.rx, (int)id + 100, sizeof keys.u.srtp.rx);
  mt_core_command(core, now, &add);
  mt_core_command(core, now, &keys);
}

static void add_streams(mt_core *core, int64_t now) {
  mt_command p = {.type = MT_ADD_PRODUCER, .id = CAMERA, .transport = ALICE};
  mt_command c = {.type = MT_ADD_CONSUMER, .id = VIEW, .transport = BOB, .producer = CAMERA};
  p.u.producer_spec = (mt_producer_spec){.video = true,
                                         .codec = MT_CODEC_VP8,
                                         .payload_type = 96,
                                         .rtx_payload_type = -1,
                                         .clock_rate = 90000,
                                         .encoding_count = 1,
                                         .nack = true,
                                         .pli = true};
  p.u.producer_spec.encodings[0].ssrc = SSRC;
  c.u.consumer_spec = (mt_consumer_spec){.ssrc = 5, .rtx_ssrc = 6, .payload_type = 97, .rtx_payload_type = 98, .nack = true};
  c.u.consumer_spec.ext_ids[MT_EXT_TRANSPORT_CC] = 5;
  mt_core_command(core, now, &p);
  mt_core_command(core, now, &c);
}

static void check_path(mt_core *core, uint32_t id, int64_t now) {
  static const uint8_t transaction[12];
  uint8_t m[128];
  mt_path from = path_of(id);
  mt_core_datagram(core, now, &from, m, write_check(m, id == ALICE ? "alice" : "bob", "password", transaction, true));
}

/* Frames of two packets, of two temporal layers. */
static void send_frames(mt_core *core, mt_srtp *srtp, uint64_t *number, bool key, int64_t *now) {
  mt_path from = path_of(ALICE);
  for (unsigned i = 0; i < FRAMES; i++) {
    uint8_t packet[MT_DATAGRAM_MAX], payload[PAYLOAD] = {0x90, 0xe0, (uint8_t)(*number >> 9 | 0x80), (uint8_t)(*number / 2), 1};
    bool begins = *number % 2 == 0, is_key = key && i < 2;
    if (!begins) payload[0] = 0x80;
    payload[5] = *number / 2 % 2 ? 0x60 : 0x20;
    payload[6] = begins && is_key ? 0 : 1;
    if (begins && is_key) memcpy(payload + 6, "\0\0\0\x9d\x01\x2a\x80\x02\xe0\x01", 10);
    size_t header = mt_rtp_write_header(packet, MT_RTP_MAX_HEADER, 96, !begins, (uint16_t)*number, (uint32_t)(*number / 2 * 3000),
                                        SSRC, NULL, 0, NULL);
    size_t n = mt_srtp_protect(srtp, (*number)++, packet, header, 0, payload, sizeof payload);
    mt_core_datagram(core, *now, &from, packet, n);
    mt_core_tick(core, *now += 10000);
  }
}

static void resume(mt_core *core, const kept *k, bool damaged, int64_t now) {
  static const mt_command_type types[] = {
      [MT_BLOB_TRANSPORT] = MT_RESUME_TRANSPORT, [MT_BLOB_PRODUCER] = MT_RESUME_PRODUCER, [MT_BLOB_CONSUMER] = MT_RESUME_CONSUMER};
  mt_command c = {.type = types[k->kind], .id = k->id, .u.resume = {.exact = !damaged || dice(8) != 0}};
  bytes copy = bytes_copy(k->blob.p, k->blob.n);
  for (unsigned i = damaged ? 1 + dice(4) : 0; i; i--) {
    uint32_t near = dice(3) ? (uint32_t)copy.n : 200;
    copy.p[dice(near < copy.n ? near : (uint32_t)copy.n)] = dice(3) ? (uint8_t)dice(256) : dice(2) ? 0xff : 0;
  }
  c.u.resume.blob = (mt_data){copy.p, copy.n};
  mt_core_command(core, now, &c);
  mt_command_release(&c);
}

static mt_core *new_core(int fd) {
  mt_settings settings = {.seed = 1,
                          .consent_ms = 30000,
                          .history_packets = 64,
                          .history_ms = 1000,
                          .pli_interval_ms = 500,
                          .nack_delay_ms = 20,
                          .nack_interval_ms = 50,
                          .nack_tries = 3,
                          .layer_silence_ms = 1500,
                          .excess_percent = 10000,
                          .excess_ms = 10000,
                          .start_bitrate = 1000000,
                          .udp_sockets = 1};
  mt_sink sink = {NULL, reserve, send_out, take_event};
  mt_core *core = mt_core_new_in(mt_region_new(fd, mt_layout(), 0), &settings, &sink);
  if (!core) abort();
  return core;
}

static uint64_t next_of(mt_core *core) {
  mt_node *n = mt_table_first(&core->consumers, mt_hash64(VIEW));
  return n ? MT_OF(n, mt_consumer, node)->senders[0].next : 0;
}

static void go_on(const kept *blobs, mt_srtp *srtp, uint64_t number, int64_t now, bool damaged) {
  mt_core *core = new_core(-1);
  mt_core_hold_at_first(core);
  for (uint32_t id = ALICE; id <= BOB; id++) add_transport(core, id, now);
  for (unsigned i = 0; i < 2; i++) resume(core, &blobs[i], damaged, now);
  add_streams(core, now);
  for (unsigned i = 2; i < BLOBS; i++) resume(core, &blobs[i], damaged, now);
  mt_core_begin(core, now);
  uint64_t before = next_of(core);
  if (damaged) {
    check_path(core, ALICE, now);
    check_path(core, BOB, now);
  }
  forwarded = 0;
  send_frames(core, srtp, &number, damaged && dice(2), &now);
  CHECK(next_of(core) >= before);
  CHECK(damaged || (forwarded >= FRAMES / 2 && core->counters.resumes_refused == 0));
  mt_core_free(core);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  state = (uint64_t)atol(argv[1]);
  int fd = memfd_create("region", MFD_CLOEXEC);
  int64_t now = 1000000;
  uint64_t number = 65500;
  mt_core *core = new_core(fd);
  uint8_t keys[MT_SRTP_MAX_KEYING];
  memset(keys, ALICE + 100, sizeof keys);
  mt_srtp *srtp = mt_srtp_new(MT_SRTP_AEAD_AES_128_GCM, MT_AEAD_LIBCRYPTO, keys, keys);
  for (uint32_t id = ALICE; id <= BOB; id++) {
    add_transport(core, id, now);
    check_path(core, id, now);
  }
  add_streams(core, now);
  mt_command layers = {.type = MT_SET_PREFERRED_LAYERS, .id = VIEW};
  send_frames(core, srtp, &number, true, &now);
  mt_core_command(core, now, &layers); /* the upper temporal layer is left out */
  send_frames(core, srtp, &number, false, &now);
  mt_core_free(core);
  kept blobs[BLOBS] = {0};
  const char *why;
  mt_salvaged found;
  mt_salvage *s = mt_salvage_new(fd, &why);
  for (unsigned i = 0; i < BLOBS && s && mt_salvage_next(s, &found) && found.bytes; i++)
    blobs[i] = (kept){found.kind, found.id, bytes_copy(found.bytes, found.len)};
  mt_salvage_free(s);
  CHECK(blobs[BLOBS - 1].kind == MT_BLOB_CONSUMER);
  if (blobs[BLOBS - 1].blob.p) {
    go_on(blobs, srtp, number, now, false);
    for (long i = atol(argv[2]); i; i--) go_on(blobs, srtp, number, now, true);
  }
  for (unsigned i = 0; i < BLOBS; i++) free(blobs[i].blob.p);
  mt_srtp_free(srtp);
  close(fd);
  return check_result();
}
