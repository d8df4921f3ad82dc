/* Engines come and go while others send to them: real threads, real sockets, one thread that gives commands, as Python does.
 *
 * Every engine has one client, which publishes and watches all streams of the others. Steps are sends. At times relays stop
 * and begin, mirrors and producers go and come, engines end with their rings and sockets full of packets, and engines begin.
 * The sanitizers (threads, or addresses) watch. At the end packets must have crossed.
 *
 * Usage: storm SEED STEPS
 */
#include "links/link.h"
#include "formats/srtp.h"
#include "state/figures.h"
#include "thread.h"
#include "../check.h"
#include "../client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

enum { ENGINES = 3, KEYING = 28, SSRC = 1000, FRAME = 4, PADDED = 0x20 };

typedef struct {
  mt_engine *engine; /* NULL: not open */
  mt_links links;
  int sock;
  mt_srtp *srtp; /* of the client */
  uint32_t transport, producer;
  bool relayed[ENGINES], mirrored[ENGINES]; /* to the other engines, and from them */
  uint32_t consumers[ENGINES];
  uint64_t index;
  uint32_t srtcp_index;
} slot;

static slot slots[ENGINES];
static uint64_t state, received, padded, crossed, opened, closed_while_relaying;
static uint32_t next_id = 1;
static const uint8_t keying[KEYING];

static uint32_t dice(uint32_t sides) {
  state += UINT64_C(0x9e3779b97f4a7c15);
  return (uint32_t)(mt_hash64(state) >> 32) % sides;
}

/* ---- commands ---- */

static void give(slot *s, mt_command *c) {
  while (!mt_engine_command(s->engine, c)) usleep(1000); /* as if Python tried again */
}

static void simple(slot *s, mt_command_type type, uint32_t id, uint64_t number) {
  mt_command c = {.type = type, .id = id, .u.number = number};
  give(s, &c);
}

static void give_link(slot *s, mt_command_type type, uint32_t id, mt_link *link) {
  mt_command c = {.type = type, .id = id, .u.link = mt_link_hold(link)};
  give(s, &c);
}

static mt_producer_spec spec(void) {
  mt_producer_spec p = {.video = true,
                        .codec = MT_CODEC_VP8,
                        .payload_type = 96,
                        .rtx_payload_type = -1,
                        .clock_rate = 90000,
                        .encoding_count = 1,
                        .nack = true,
                        .pli = true};
  p.encodings[0].ssrc = SSRC;
  return p;
}

static void mirror(slot *a, slot *b) {
  int from = (int)(a - slots), to = (int)(b - slots);
  if (!b->mirrored[from]) {
    mt_command add = {.type = MT_ADD_MIRROR, .id = a->producer, .u.producer_spec = spec()};
    give(b, &add);
    mt_command consume = {.type = MT_ADD_CONSUMER, .id = next_id++, .transport = b->transport, .producer = a->producer};
    mt_consumer_spec *c = &consume.u.consumer_spec;
    *c = (mt_consumer_spec){.ssrc = consume.id * 2, .payload_type = 101, .rtx_payload_type = -1, .nack = true, .pli = true};
    put_text(&c->cname, "c");
    give(b, &consume);
    b->consumers[from] = consume.id;
    b->mirrored[from] = true;
  }
  mt_links_prune(&a->links);
  mt_link *link = mt_links_get(&a->links, mt_engine_waker(a->engine), mt_engine_waker(b->engine), 64);
  CHECK(link != NULL);
  give_link(b, MT_ADD_LINK, 0, link);
  give_link(a, MT_RELAY_PRODUCER, a->producer, link);
  a->relayed[to] = true;
}

static void stop_relaying(slot *a, slot *b) {
  mt_link *link = mt_links_find(&a->links, mt_engine_waker(b->engine));
  if (link) give_link(a, MT_STOP_RELAYING, a->producer, link);
  a->relayed[b - slots] = false;
}

static void remove_mirror(slot *b, int from) {
  if (!b->mirrored[from]) return;
  simple(b, MT_REMOVE_PRODUCER, slots[from].producer, 0);
  simple(b, MT_REMOVE_CONSUMER, b->consumers[from], 0);
  b->mirrored[from] = false;
}

static void produce(slot *s) {
  s->producer = next_id++;
  mt_command c = {.type = MT_ADD_PRODUCER, .id = s->producer, .transport = s->transport, .u.producer_spec = spec()};
  give(s, &c);
}

static void stop_producing(slot *s) {
  for (int i = 0; i < ENGINES; i++) {
    if (slots[i].engine) remove_mirror(&slots[i], (int)(s - slots));
    s->relayed[i] = false;
  }
  simple(s, MT_REMOVE_PRODUCER, s->producer, 0);
}

/* ---- engines ---- */

static void begin(slot *s) {
  const mt_settings settings = {.history_packets = 64,
                                .history_ms = 1000,
                                .dtls_per_second = 50,
                                .consent_ms = 30000,
                                .pli_interval_ms = 20,
                                .nack_delay_ms = 10,
                                .nack_interval_ms = 50,
                                .nack_tries = 4,
                                .layer_silence_ms = 1500,
                                .equal_lengths = true,
                                .aead = mt_aead_fastest(),
                                .start_bitrate = 1000000,
                                .seed = 1};
  uint8_t m[128], transaction[12] = {0};
  char ufrag[16];
  *s = (slot){.sock = -1};
  mt_addresses addresses = {.count = 2, .ips = {"127.0.0.1", "::1"}};
  mt_tcp_settings tcp = {
      .max_connections = 64, .max_strangers = 16, .max_strangers_per_address = 8, .stranger_ms = 1000, .send_buffer = 65536};
  s->engine = mt_engine_open(&settings, &(mt_udp_settings){.gso = true}, &tcp, &addresses, mt_region_new(-1, 0, 0));
  CHECK(s->engine != NULL);
  if (!s->engine) exit(check_result());
  give(s, &(mt_command){.type = MT_BEGIN});
  opened++;
  s->sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons(mt_engine_port(s->engine)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  CHECK(connect(s->sock, (struct sockaddr *)&to, sizeof to) == 0);
  s->transport = next_id++;
  s->index = 1;
  snprintf(ufrag, sizeof ufrag, "u%u", s->transport);
  mt_command add = {.type = MT_ADD_TRANSPORT, .id = s->transport};
  put_text(&add.u.ice.ufrag, ufrag);
  put_text(&add.u.ice.password, "password");
  give(s, &add);
  mt_command keys = {.type = MT_SET_SRTP, .id = s->transport, .u.srtp.profile = MT_SRTP_AEAD_AES_128_GCM};
  memcpy(keys.u.srtp.tx, keying, KEYING);
  memcpy(keys.u.srtp.rx, keying, KEYING);
  give(s, &keys);
  s->srtp = mt_srtp_new(MT_SRTP_AEAD_AES_128_GCM, MT_AEAD_LIBCRYPTO, keying, keying);
  produce(s);
  size_t n = write_check(m, ufrag, "password", transaction, true);
  for (bool answered = false; !answered;) { /* until the transport exists */
    CHECK(send(s->sock, m, n, 0) == (ssize_t)n);
    struct pollfd p = {.fd = s->sock, .events = POLLIN};
    answered = poll(&p, 1, 20) == 1;
  }
}

static void read_events(slot *s) {
  mt_event e;
  mt_links_prune(&s->links);
  mt_engine_reset_events(s->engine);
  while (mt_engine_next_event(s->engine, &e)) {
    CHECK(e.type != MT_EVENT_FAILED);
    if (e.type == MT_EVENT_STATS) crossed += ((const mt_stats *)e.data)->counters.relay_packets_in;
    mt_event_release(&e);
  }
}

static void end(slot *s) {
  simple(s, MT_REQUEST_STATS, 1, 0);
  usleep(dice(2) ? 2000 : 0);
  read_events(s);
  for (int i = 0; i < ENGINES; i++) closed_while_relaying += s->relayed[i] || s->mirrored[i];
  mt_engine_close(s->engine);
  s->engine = NULL;
  mt_links_free(&s->links);
  mt_srtp_free(s->srtp);
  close(s->sock);
  int gone = (int)(s - slots);
  for (int i = 0; i < ENGINES; i++) {
    if (!slots[i].engine) continue;
    remove_mirror(&slots[i], gone);
    slots[i].relayed[gone] = false;
  }
}

/* ---- media ---- */

/* The last packet of a frame is a byte longer, so the engine pads the others, which other engines read at the same time. */
static void send_packet(slot *s) {
  uint8_t p[1500], payload[1000] = {0x90, 0xe0, 0x80, 0x11, 0x22, 0x00};
  uint64_t index = s->index++, frame = index / FRAME;
  bool last = index % FRAME == FRAME - 1;
  payload[6] = index % (4 * FRAME) ? 1 : 0; /* a key frame now and then */
  size_t header = mt_rtp_write_header(p, sizeof p, 96, last, (uint16_t)index, (uint32_t)frame * 3000, SSRC, NULL, 0, NULL);
  size_t n = mt_srtp_protect(s->srtp, index, p, header, 0, payload, 40 + mt_hash64(frame) % 900 + last);
  ssize_t sent = send(s->sock, p, n, 0);
  (void)sent; /* a full socket loses it */
}

static void ask(slot *s) {
  uint8_t p[256];
  uint32_t consumer = s->consumers[dice(ENGINES)];
  size_t n = mt_rtcp_write_pli(p, 200, 1, consumer * 2);
  n = mt_srtcp_protect(s->srtp, s->srtcp_index++, p, n, sizeof p);
  ssize_t sent = send(s->sock, p, n, 0);
  (void)sent;
}

static void receive(slot *s) {
  uint8_t p[2048];
  for (ssize_t n; (n = recv(s->sock, p, sizeof p, 0)) > 0; received++) padded += mt_is_rtp_or_rtcp(p, (size_t)n) && p[0] & PADDED;
}

/* ---- the steps ---- */

static void step(void) {
  slot *a = &slots[dice(ENGINES)], *b = &slots[dice(ENGINES)];
  uint32_t what = dice(1000);
  if (!a->engine) {
    if (dice(4) == 0) begin(a);
    return;
  }
  if (what < 700) {
    for (unsigned burst = dice(30); burst; burst--) send_packet(a);
  } else if (what < 800) {
    receive(a);
    read_events(a);
  } else if (what < 850) {
    ask(a);
  } else if (what < 950 && a != b && b->engine) {
    if (dice(3)) mirror(a, b);
    else stop_relaying(a, b);
  } else if (what < 965) {
    remove_mirror(a, (int)(b - slots));
  } else if (what < 975) {
    stop_producing(a);
    produce(a);
  } else if (what < 980) {
    simple(a, MT_PAUSE_CONSUMER, a->consumers[dice(ENGINES)], dice(2));
  } else if (what < 988) {
    for (int i = 0; i < ENGINES; i++) /* full of packets */
      for (unsigned k = 0; slots[i].engine && k < 100; k++) send_packet(&slots[i]);
    end(a);
  }
}

static int free_descriptor(void) {
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(fd);
  return fd;
}

int main(int argc, char **argv) {
  state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
  unsigned long steps = argc > 2 ? strtoul(argv[2], NULL, 10) : 3000;
  int descriptor = free_descriptor();
  for (unsigned i = 0; i < ENGINES; i++) begin(&slots[i]);
  for (unsigned long i = 0; i < steps; i++) step();
  for (unsigned i = ENGINES; i-- > 0;)
    if (slots[i].engine) end(&slots[i]);
  CHECK(free_descriptor() == descriptor); /* no descriptor is left open */
  if (steps >= 2000) {                    /* the run was long enough for these */
    CHECK(opened > steps / 500);
    CHECK(closed_while_relaying > 0);
    CHECK(crossed > steps / 10);
    CHECK(received > steps / 10);
    CHECK(padded > steps / 100);
  }
  printf("%llu engines, %llu packets crossed, %llu came out, %llu of them padded\n", (unsigned long long)opened,
         (unsigned long long)crossed, (unsigned long long)received, (unsigned long long)padded);
  return check_result();
}
