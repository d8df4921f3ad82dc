/* TCP clients that do everything wrong, and some things right, at an engine with its own thread and real sockets.
 *
 * Each has a transport that consumes the media that a publisher sends over UDP. Steps are bytes in portions of any size
 * (checks, right and wrong, media, rubbish), reads or long pauses, ends of every kind, and transports that go and come. The
 * sanitizers (threads, or addresses) watch. At the end clients must have been sent away and served, and nothing is left.
 *
 * Usage: storm SEED STEPS
 */
#include "formats/srtp.h"
#include "state/figures.h"
#include "thread.h"
#include "../check.h"
#include "../client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

enum { CLIENTS = 24, KEYING = 28, SSRC = 1000, PUBLISHER = 1, PRODUCER = 1, OUT = 16384 };

typedef struct {
  int sock; /* -1 without a connection */
  uint32_t transport;
  uint8_t out[OUT]; /* to be sent in portions */
  size_t waiting;
} client;

static mt_engine *engine;
static client clients[CLIENTS];
static int publisher;
static mt_srtp *srtp; /* of the publisher */
static uint64_t state, index_next = 1, received;
static uint32_t next_id = 2;
static mt_counters counters;
static uint64_t connections;
static const uint8_t keying[KEYING];

static uint32_t dice(uint32_t sides) {
  state += UINT64_C(0x9e3779b97f4a7c15);
  return (uint32_t)(mt_hash64(state) >> 32) % sides;
}

/* ---- commands ---- */

static void give(mt_command *c) {
  while (!mt_engine_command(engine, c)) usleep(1000);
}

static void add_transport(uint32_t id) {
  char ufrag[16];
  snprintf(ufrag, sizeof ufrag, "u%u", id);
  mt_command add = {.type = MT_ADD_TRANSPORT, .id = id};
  put_text(&add.u.ice.ufrag, ufrag);
  put_text(&add.u.ice.password, "password");
  give(&add);
  mt_command keys = {.type = MT_SET_SRTP, .id = id, .u.srtp.profile = MT_SRTP_AEAD_AES_128_GCM};
  memcpy(keys.u.srtp.tx, keying, KEYING);
  memcpy(keys.u.srtp.rx, keying, KEYING);
  give(&keys);
}

static void add_producer(void) {
  mt_command c = {.type = MT_ADD_PRODUCER, .id = PRODUCER, .transport = PUBLISHER};
  c.u.producer_spec = (mt_producer_spec){
      .video = true, .codec = MT_CODEC_VP8, .payload_type = 96, .rtx_payload_type = -1, .clock_rate = 90000, .encoding_count = 1};
  c.u.producer_spec.encodings[0].ssrc = SSRC;
  give(&c);
}

static void begin_transport(client *c) {
  c->transport = next_id++;
  add_transport(c->transport);
  mt_command consume = {.type = MT_ADD_CONSUMER, .id = c->transport, .transport = c->transport, .producer = PRODUCER};
  consume.u.consumer_spec =
      (mt_consumer_spec){.ssrc = c->transport * 2, .payload_type = 101, .rtx_payload_type = -1, .nack = true, .pli = true};
  put_text(&consume.u.consumer_spec.cname, "c");
  give(&consume);
}

static void end_transport(client *c) {
  mt_command remove = {.type = MT_REMOVE_TRANSPORT, .id = c->transport};
  give(&remove);
}

/* ---- sockets ---- */

static int connect_to_engine(int type, bool ipv6) {
  uint16_t port = htons(mt_engine_port(engine));
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  int fd = socket(ipv6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0), small = 4096;
  if (dice(2)) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  CHECK(connect(fd, ipv6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in, ipv6 ? sizeof in6 : sizeof in) == 0);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

static void hang_up(client *c) {
  struct linger reset = {.l_onoff = 1};
  if (dice(2)) setsockopt(c->sock, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  close(c->sock);
  c->sock = -1;
  c->waiting = 0;
}

static void put(client *c, const uint8_t *p, size_t n) {
  if (c->waiting + n > OUT) return;
  memcpy(c->out + c->waiting, p, n);
  c->waiting += n;
}

static void put_frame(client *c, const uint8_t *p, size_t n) {
  const uint8_t header[2] = {(uint8_t)(n >> 8), (uint8_t)n};
  if (c->waiting + 2 + n > OUT) return;
  put(c, header, 2);
  put(c, p, n);
}

static void put_check(client *c, const char *password) {
  uint8_t m[128], transaction[12] = {(uint8_t)dice(256)};
  char ufrag[16];
  snprintf(ufrag, sizeof ufrag, "u%u", c->transport);
  size_t n = write_check(m, ufrag, password, transaction, dice(2));
  put_frame(c, m, n);
}

static void put_rubbish(client *c) {
  uint8_t p[3000];
  size_t n = 1 + dice(dice(2) ? 60 : sizeof p);
  for (size_t i = 0; i < n; i++) p[i] = (uint8_t)dice(256);
  if (dice(4)) p[0] = (uint8_t[]){0, 22, 128, 1}[dice(4)];
  if (dice(20) == 0) put(c, p, n);
  else if (n <= MT_DATAGRAM_MAX) put_frame(c, p, n);
}

static void push(client *c, size_t most) {
  size_t n = c->waiting < most ? c->waiting : most;
  ssize_t sent = n ? send(c->sock, c->out, n, MSG_NOSIGNAL) : 0;
  if (sent <= 0) return;
  c->waiting -= (size_t)sent;
  memmove(c->out, c->out + sent, c->waiting);
}

static void drain(client *c, size_t most) {
  uint8_t p[4096];
  while (most) {
    ssize_t n = recv(c->sock, p, sizeof p < most ? sizeof p : most, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      hang_up(c);
      return;
    }
    received += (uint64_t)n;
    most -= (size_t)n;
  }
}

/* ---- the publisher, and the engine's events ---- */

static void publish(void) {
  uint8_t p[1500], payload[1000] = {0x90, 0xe0, 0x80, 0x11, 0x22, 0x00};
  uint64_t i = index_next++;
  payload[6] = i % 16 ? 1 : 0; /* a key frame now and then */
  size_t header = mt_rtp_write_header(p, sizeof p, 96, true, (uint16_t)i, (uint32_t)i * 3000, SSRC, NULL, 0, NULL);
  size_t n = mt_srtp_protect(srtp, i, p, header, 0, payload, 40 + dice(900));
  ssize_t sent = send(publisher, p, n, 0);
  (void)sent;
}

static void check_publisher(void) {
  uint8_t m[128], transaction[12] = {0};
  size_t n = write_check(m, "u1", "password", transaction, true);
  for (bool answered = false; !answered;) {
    CHECK(send(publisher, m, n, 0) == (ssize_t)n);
    struct pollfd p = {.fd = publisher, .events = POLLIN};
    answered = poll(&p, 1, 20) == 1;
  }
}

static void read_events(void) {
  mt_event e;
  mt_engine_reset_events(engine);
  while (mt_engine_next_event(engine, &e)) {
    CHECK(e.type != MT_EVENT_FAILED);
    if (e.type == MT_EVENT_STATS) {
      counters = ((const mt_stats *)e.data)->counters;
      connections = ((const mt_stats *)e.data)->tcp_connections;
    }
    mt_event_release(&e);
  }
}

/* ---- the steps ---- */

static void step(void) {
  client *c = &clients[dice(CLIENTS)];
  uint32_t what = dice(1000);
  if (what < 200) {
    for (unsigned burst = dice(30); burst; burst--) publish();
    read_events();
  } else if (what < 205) {
    end_transport(c);
    begin_transport(c);
  } else if (what < 208) {
    usleep(5000); /* time for strangers to time out */
  } else if (c->sock < 0) {
    c->sock = connect_to_engine(SOCK_STREAM, dice(2));
    if (dice(3)) {
      put_check(c, "password");
      push(c, OUT);
    }
  } else if (what < 600) {
    push(c, dice(3) ? OUT : dice(200));
  } else if (what < 700) {
    drain(c, dice(2) ? 100000 : dice(3000));
  } else if (what < 800) {
    put_check(c, dice(20) ? "password" : "another");
  } else if (what < 900) {
    put_rubbish(c);
  } else if (what < 915) {
    hang_up(c);
  } else if (what < 920) {
    shutdown(c->sock, SHUT_WR);
  }
}

static void set_up(void) {
  const mt_settings settings = {.history_packets = 64,
                                .history_ms = 1000,
                                .dtls_per_second = 50,
                                .consent_ms = 30000,
                                .pli_interval_ms = 20,
                                .nack_delay_ms = 10,
                                .nack_interval_ms = 50,
                                .nack_tries = 4,
                                .layer_silence_ms = 1500,
                                .aead = mt_aead_fastest(),
                                .start_bitrate = 1000000,
                                .seed = 1};
  const mt_tcp_settings tcp = {
      .max_connections = 8, .max_strangers = 6, .max_strangers_per_address = 5, .stranger_ms = 20, .send_buffer = 8192};
  mt_addresses addresses = {.count = 2, .ips = {"127.0.0.1", "::1"}};
  engine = mt_engine_open(&settings, &(mt_udp_settings){.gso = true}, &tcp, &addresses, mt_region_new(-1, 0, 0));
  CHECK(engine != NULL);
  if (!engine) exit(check_result());
  CHECK(mt_engine_command(engine, &(mt_command){.type = MT_BEGIN}));
  publisher = connect_to_engine(SOCK_DGRAM, false);
  srtp = mt_srtp_new(MT_SRTP_AEAD_AES_128_GCM, MT_AEAD_LIBCRYPTO, keying, keying);
  add_transport(PUBLISHER);
  add_producer();
  check_publisher();
  for (unsigned i = 0; i < CLIENTS; i++) {
    clients[i].sock = -1;
    begin_transport(&clients[i]);
  }
}

/* Half of the clients lose their transports, half their connections; closing the engine ends the rest. */
static void tear_down(void) {
  for (unsigned i = 0; i < CLIENTS; i++) {
    if (i % 2) end_transport(&clients[i]);
    else if (clients[i].sock >= 0) hang_up(&clients[i]);
  }
  connections = UINT64_MAX;
  for (unsigned tries = 0; connections && tries < 1000; tries++) {
    mt_command c = {.type = MT_REQUEST_STATS};
    give(&c);
    usleep(10000);
    read_events();
  }
  CHECK(connections == 0);
  for (unsigned i = 1; i < CLIENTS; i += 2)
    if (clients[i].sock >= 0) hang_up(&clients[i]);
  int one = connect_to_engine(SOCK_STREAM, false);
  mt_engine_close(engine);
  mt_srtp_free(srtp);
  close(publisher);
  close(one);
}

static int free_descriptor(void) {
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(fd);
  return fd;
}

int main(int argc, char **argv) {
  state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
  unsigned long steps = argc > 2 ? strtoul(argv[2], NULL, 10) : 10000;
  int descriptor = free_descriptor();
  set_up();
  for (unsigned long i = 0; i < steps; i++) step();
  tear_down();
  CHECK(free_descriptor() == descriptor); /* no descriptor is left open */
  printf("%llu accepted, %llu refused, %llu timed out, %llu displaced, %llu bad frames, %llu dropped, %llu bytes came\n",
         (unsigned long long)counters.tcp_accepted, (unsigned long long)counters.tcp_refused,
         (unsigned long long)counters.tcp_strangers_timed_out, (unsigned long long)counters.tcp_strangers_displaced,
         (unsigned long long)counters.tcp_bad_frames, (unsigned long long)counters.tcp_datagrams_dropped,
         (unsigned long long)received);
  if (steps >= 10000) { /* the run was long enough for these */
    CHECK(counters.tcp_accepted > 100 && counters.tcp_strangers_displaced > 0);
    CHECK(counters.tcp_bad_frames > 5 && counters.tcp_datagrams_dropped > 100);
    CHECK(received > 100000);
  }
  return check_result();
}
