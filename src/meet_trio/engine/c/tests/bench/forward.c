/* The CPU time of the core for each forwarded packet, without sockets: one publisher, some viewers, SRTP on both sides.
 *
 *   forward VIEWERS PACKETS ROUNDS
 *
 * Prints nanoseconds for each forwarded packet of the fastest round, and how many were forwarded in a round.
 */
#include "../client.h"

#include <stdlib.h>
#include <time.h>

enum { PAYLOAD = 1200, FRAME = 8 /* packets */, PUBLISHER = 1, SSRC = 1000, PAYLOAD_TYPE = 96 };

static uint8_t out[MT_DATAGRAM_MAX];
static unsigned long forwarded;

static uint8_t *reserve(void *context) {
  (void)context;
  return out;
}

static void count_datagram(void *context, const mt_path *to, size_t len) {
  (void)context, (void)to;
  forwarded += len > PAYLOAD;
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
  *spec = (mt_producer_spec){.video = true,
                             .codec = MT_CODEC_VP8,
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
  *spec = (mt_consumer_spec){
      .ssrc = 2 * viewer, .rtx_ssrc = 2 * viewer + 1, .payload_type = 101, .rtx_payload_type = 102, .nack = true, .pli = true};
  put_text(&spec->mid, "7");
  spec->ext_ids[MT_EXT_MID] = 4;
  spec->ext_ids[MT_EXT_ABS_SEND_TIME] = 2;
  spec->ext_ids[MT_EXT_TRANSPORT_CC] = 5;
  mt_core_command(core, now, &add);
}

/* A VP8 packet of a frame of FRAME packets; the first frame is a key frame. */
static size_t write_packet(mt_srtp *srtp, uint64_t number, uint8_t *packet) {
  static const uint8_t key_frame[] = {0x10, 0, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01};
  uint8_t payload[PAYLOAD] = {0};
  bool begins = number % FRAME == 0;
  if (begins && number == 0) memcpy(payload, key_frame, sizeof key_frame);
  else payload[0] = begins ? 0x10 : 0, payload[1] = 1;
  size_t header = mt_rtp_write_header(packet, MT_RTP_MAX_HEADER, PAYLOAD_TYPE, number % FRAME == FRAME - 1, (uint16_t)number,
                                      (uint32_t)(number / FRAME * 3000), SSRC, NULL, 0, NULL);
  return mt_srtp_protect(srtp, number, packet, header, 0, payload, sizeof payload);
}

static int64_t cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: forward VIEWERS PACKETS ROUNDS\n");
    return 2;
  }
  unsigned viewers = (unsigned)atoi(argv[1]), packets = (unsigned)atoi(argv[2]), rounds = (unsigned)atoi(argv[3]);
  mt_settings settings = {.history_packets = 1024,
                          .history_ms = 1000,
                          .dtls_per_second = 50,
                          .consent_ms = 1u << 30,
                          .pli_interval_ms = 500,
                          .nack_delay_ms = 20,
                          .nack_interval_ms = 60,
                          .nack_tries = 10,
                          .layer_silence_ms = 1500,
                          .start_bitrate = 1000000,
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
  for (unsigned i = 0; i < viewers; i++) {
    join(core, PUBLISHER + 1 + i, now);
    consume(core, PUBLISHER + 1 + i, now);
  }
  keys_of(PUBLISHER, &keys);
  mt_srtp *srtp = mt_srtp_new(MT_SRTP_AEAD_AES_128_GCM, keys.rx, keys.tx); /* the publisher's side */
  uint64_t number = 0;
  for (unsigned round = 0; round < rounds; round++) {
    int64_t spent = 0;
    forwarded = 0;
    for (unsigned i = 0; i < packets; i++) {
      uint8_t packet[MT_DATAGRAM_MAX];
      size_t len = write_packet(srtp, number++, packet);
      now += 1000;
      int64_t begun = cpu_ns();
      mt_core_datagram(core, now, &from, packet, len);
      mt_core_tick(core, now);
      spent += cpu_ns() - begun;
    }
    if (forwarded && spent / (int64_t)forwarded < best) best = spent / (int64_t)forwarded;
  }
  printf("%lld %lu\n", (long long)best, forwarded);
  mt_srtp_free(srtp);
  mt_core_free(core);
  return 0;
}
