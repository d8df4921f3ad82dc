/* The CPU time of the core for each forwarded packet, without sockets: one publisher, some viewers, SRTP on both sides. The viewers
 * send transport-cc feedback ten times a second, whose work is part of the time.
 *
 *   forward VIEWERS PACKETS ROUNDS [RATE [audio]]
 *
 * RATE: packets a second that the publisher sends, 1000 unless given. Prints nanoseconds for each forwarded packet of the fastest
 * round, how many were forwarded in a round, and the bytes of memory that each viewer has taken at the end, and before it consumed
 * anything. These are the bytes of the process less those before the viewers came, when the publisher's history was full already.
 */
#include "../client.h"

#include "formats/rtcp.h"
#include "formats/rtp.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MAX_VIEWERS = 1024, REPORTED = 256 /* packets */, FEEDBACK = 100 /* ms */ };
enum { PAYLOAD = 1200, FRAME = 8 /* packets */, PUBLISHER = 1, SSRC = 1000, PAYLOAD_TYPE = 96, VIEWED_TYPE = 101 };

typedef struct { /* a viewer's transport-wide numbers */
  int64_t sent[REPORTED];
  uint64_t count, reported;
  uint32_t srtcp;
  uint8_t feedbacks;
  mt_srtp *srtp; /* the viewer's side */
} viewer;

static uint8_t out[MT_DATAGRAM_MAX];
static unsigned long forwarded;
static viewer viewers_by_id[MAX_VIEWERS + 2];
static int64_t clock_us;
static bool is_audio;

static uint8_t *reserve(void *context) {
  (void)context;
  return out;
}

static void count_datagram(void *context, const mt_path *to, size_t len) {
  (void)context;
  if (len > PAYLOAD && (out[1] & 0x7f) == VIEWED_TYPE) forwarded++;
  viewer *v = &viewers_by_id[to->port];
  if (mt_is_rtp_or_rtcp(out, len) && !mt_is_rtcp(out, len)) v->sent[v->count++ % REPORTED] = clock_us;
}

static bool ignore_event(void *context, const mt_event *event) {
  (void)context, (void)event;
  return true;
}

static mt_path path_of(uint32_t transport) {
  return (mt_path){.kind = MT_PATH_UDP, .family = 4, .port = (uint16_t)transport, .ip = {10}};
}

static void keys_of(uint32_t transport, mt_srtp_spec *keys) {
  keys->profile = MT_SRTP_AEAD_AES_128_GCM;
  memset(keys->tx, (int)transport, sizeof keys->tx);
  memset(keys->rx, (int)transport + 128, sizeof keys->rx);
}

static void join(mt_core *core, uint32_t id, int64_t now) {
  static const uint8_t transaction[12];
  uint8_t check[128];
  char ufrag[16];
  mt_path from = path_of(id);
  mt_command add = {.type = MT_ADD_TRANSPORT, .id = id}, keys = {.type = MT_SET_SRTP, .id = id};
  snprintf(ufrag, sizeof ufrag, "u%u", id);
  put_text(&add.u.ice.ufrag, ufrag);
  put_text(&add.u.ice.password, "password");
  mt_core_command(core, now, &add);
  mt_core_datagram(core, now, &from, check, write_check(check, ufrag, "password", transaction, true));
  keys_of(id, &keys.u.srtp);
  mt_core_command(core, now, &keys);
}

static void produce(mt_core *core, int64_t now) {
  mt_command add = {.type = MT_ADD_PRODUCER, .id = 1, .transport = PUBLISHER};
  mt_producer_spec *spec = &add.u.producer_spec;
  *spec = (mt_producer_spec){.video = !is_audio,
                             .codec = is_audio ? MT_CODEC_OTHER : MT_CODEC_VP8,
                             .payload_type = PAYLOAD_TYPE,
                             .rtx_payload_type = -1,
                             .clock_rate = 90000,
                             .encoding_count = 1,
                             .nack = true,
                             .pli = true};
  spec->encodings[0].ssrc = SSRC;
  spec->ext_ids[MT_EXT_ABS_SEND_TIME] = 3;
  mt_core_command(core, now, &add);
}

static void consume(mt_core *core, uint32_t viewer, int64_t now) {
  mt_command add = {.type = MT_ADD_CONSUMER, .id = viewer, .transport = viewer, .producer = 1};
  mt_consumer_spec *spec = &add.u.consumer_spec;
  *spec = (mt_consumer_spec){.ssrc = 2 * viewer,
                             .rtx_ssrc = is_audio ? 0 : 2 * viewer + 1,
                             .payload_type = VIEWED_TYPE,
                             .rtx_payload_type = 102,
                             .nack = true,
                             .pli = true};
  put_text(&spec->mid, "7");
  spec->ext_ids[MT_EXT_MID] = 4;
  spec->ext_ids[MT_EXT_ABS_SEND_TIME] = 2;
  spec->ext_ids[MT_EXT_TRANSPORT_CC] = 5;
  mt_core_command(core, now, &add);
}

static void give_feedback(mt_core *core, uint32_t id, int64_t now) {
  viewer *v = &viewers_by_id[id];
  int64_t arrivals[REPORTED];
  uint8_t packet[MT_DATAGRAM_MAX];
  mt_path from = path_of(id);
  unsigned count = 0, consumed = 0;
  for (uint64_t i = v->reported; i < v->count && count < REPORTED; i++) arrivals[count++] = v->sent[i % REPORTED];
  if (!count) return;
  size_t n = mt_rtcp_write_twcc(packet, sizeof packet, 1, 1, (uint16_t)v->reported, arrivals, count, v->feedbacks++, &consumed);
  v->reported += consumed;
  n = mt_srtcp_protect(v->srtp, v->srtcp++, packet, n, sizeof packet);
  mt_core_datagram(core, now, &from, packet, n);
}

/* A VP8 packet of a frame of FRAME packets. */
static size_t write_packet(mt_srtp *srtp, uint64_t number, bool is_key, uint8_t *packet) {
  static const uint8_t key_frame[] = {0x10, 0, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01};
  uint8_t payload[PAYLOAD] = {0};
  bool begins = number % FRAME == 0;
  if (begins && is_key) memcpy(payload, key_frame, sizeof key_frame);
  else payload[0] = begins ? 0x10 : 0, payload[1] = 1;
  size_t header = mt_rtp_write_header(packet, MT_RTP_MAX_HEADER, PAYLOAD_TYPE, number % FRAME == FRAME - 1, (uint16_t)number,
                                      (uint32_t)(number / FRAME * 3000), SSRC, NULL, 0, NULL);
  return mt_srtp_protect(srtp, number, packet, header, 0, payload, sizeof payload);
}

static size_t resident(void) {
  unsigned long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (!f || fscanf(f, "%*u %lu", &pages) != 1) abort();
  fclose(f);
  return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static int64_t cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc < 4 || argc > 6) {
    fprintf(stderr, "usage: forward VIEWERS PACKETS ROUNDS [RATE [audio]]\n");
    return 2;
  }
  int64_t rate = argc > 4 ? atoi(argv[4]) : 1000;
  is_audio = argc > 5;
  unsigned viewers = (unsigned)atoi(argv[1]), packets = (unsigned)atoi(argv[2]), rounds = (unsigned)atoi(argv[3]);
  if (viewers > MAX_VIEWERS || rate < 1) return 2;
  mt_settings settings = {.history_packets = 1024,
                          .history_ms = 3000,
                          .dtls_per_second = 50,
                          .consent_ms = 1u << 30,
                          .pli_interval_ms = 500,
                          .nack_delay_ms = 20,
                          .nack_interval_ms = 60,
                          .nack_tries = 10,
                          .layer_silence_ms = 1500,
                          .aead = mt_aead_fastest(),
#if __has_include("state/downlink.h") /* earlier versions do not adapt */
                          .start_bitrate = 50000000,
#endif
                          .excess_percent = 200,
                          .excess_ms = 10000,
                          .seed = 1};
  mt_sink sink = {NULL, reserve, count_datagram, ignore_event};
  mt_core *core = mt_core_new(&settings, &sink);
  int64_t now = 1, best = INT64_MAX;
  mt_srtp_spec keys;
  mt_path from = path_of(PUBLISHER);
  join(core, PUBLISHER, now);
  produce(core, now);
  keys_of(PUBLISHER, &keys);
  mt_srtp *srtp = mt_srtp_new(MT_SRTP_AEAD_AES_128_GCM, MT_AEAD_LIBCRYPTO, keys.rx, keys.tx); /* the publisher's side */
  for (unsigned i = 0; i < viewers; i++) {
    viewer *v = &viewers_by_id[PUBLISHER + 1 + i];
    memset(v, 1, sizeof *v); /* its pages are there from now on */
    keys_of(PUBLISHER + 1 + i, &keys);
    *v = (viewer){.srtp = mt_srtp_new(MT_SRTP_AEAD_AES_128_GCM, MT_AEAD_LIBCRYPTO, keys.rx, keys.tx)};
  }
  uint64_t number = 0;
  while (number < settings.history_packets) {
    uint8_t packet[MT_DATAGRAM_MAX];
    size_t len = write_packet(srtp, number, number == 0, packet);
    mt_core_datagram(core, now += MT_SECOND / rate, &from, packet, len);
    mt_core_tick(core, now);
    number++;
  }
  size_t before = resident();
  for (unsigned i = 0; i < viewers; i++) join(core, PUBLISHER + 1 + i, now);
  size_t joined = resident();
  for (unsigned i = 0; i < viewers; i++) consume(core, PUBLISHER + 1 + i, now);
  for (unsigned round = 0; round < rounds; round++) {
    int64_t spent = 0;
    forwarded = 0;
    for (unsigned i = 0; i < packets; i++) {
      uint8_t packet[MT_DATAGRAM_MAX];
      size_t len = write_packet(srtp, number++, round == 0 && i == 0, packet);
      clock_us = now += MT_SECOND / rate;
      int64_t begun = cpu_ns();
      mt_core_datagram(core, now, &from, packet, len);
      mt_core_tick(core, now);
      for (unsigned v = i % FEEDBACK; v < viewers; v += FEEDBACK) give_feedback(core, PUBLISHER + 1 + v, now);
      spent += cpu_ns() - begun;
    }
    if (forwarded && spent / (int64_t)forwarded < best) best = spent / (int64_t)forwarded;
  }
  size_t by = viewers ? viewers : 1;
  printf("%lld %lu %zu %zu\n", (long long)best, forwarded, (resident() - before) / by, (joined - before) / by);
  mt_srtp_free(srtp);
  mt_core_free(core);
  return 0;
}
