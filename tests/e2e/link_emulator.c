/* A bad network between two TUN devices.
 *
 *     the namespace we are started in          a new, nameless network namespace
 *     meetN, 10.213.N.1/30  ──── up ◀──── / ──── down ────▶  link, 10.213.N.2/30, default route
 *
 * The emulator reads each packet that the kernel sends to one device, decides its fate, and writes it to the other
 * device at its time. Fates follow from the seed and the packet's place in its direction, not from the clock. The stages
 * of a packet, in this order: an outage; a rate limit with a drop-tail queue before it; loss (Gilbert-Elliott: losses
 * come in bursts of a mean length); delay with jitter that keeps the order, or with a scatter of each packet's own that
 * does not; for some packets an extra delay, so that later ones overtake them; a duplicate.
 *
 * The link can be a NAT for UDP: after `rebind` the near end sees all ports of the client changed. Ports from before
 * the last `rebind` lead nowhere.
 *
 * However the emulator ends, nothing is left behind: the devices belong to its file descriptors and the namespace to the
 * processes in it. It ends when standard input ends.
 *
 * Only unicast IPv4 is carried. Other packets (router solicitations, mDNS) are dropped uncounted, because they would
 * make fates depend on other traffic of the kernel.
 *
 * Control, one line each, answered by one line:
 *     set DIRECTION loss burst delay_us jitter_us scatter_us reorder reorder_delay_us duplicate rate_bps queue_bytes down
 *     seed NUMBER       start the sequence of fates again
 *     stats             up's counters, then down's, in the order of struct counters
 *     waits DIRECTION   how long packets have waited before the bottleneck, as MILLISECONDS:PACKETS of all that occurred
 *     rebind            the NAT forgets its ports and takes others
 * First line out: N, then the two addresses. On failure: "error: why".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PACKET = 2048, MAX_WAITING = 16384, BATCH = 64, MTU = 1500, MAX_WAIT_MS = 4096 };
enum { UDP = 17, FIRST_PORT = 1024, PORTS = 65536 - FIRST_PORT, PORT_STEP = 7919 };

struct weather {
  double loss, burst;
  int64_t delay_ns, jitter_ns, scatter_ns;
  double reorder;
  int64_t reorder_delay_ns;
  double duplicate, rate_bps, queue_bytes;
  int down;
};

struct counters {
  uint64_t received, delivered, lost, queue_dropped, outage_dropped, reordered, duplicated, overflowed;
  uint64_t nat_dropped, received_bytes, delivered_bytes;
};

struct packet {
  int64_t due_ns;
  uint64_t order; /* breaks ties of equal times */
  uint16_t size;
  uint8_t data[MAX_PACKET];
};

struct direction {
  int from, to;
  struct weather weather;
  struct counters counters;
  uint64_t random;
  bool in_burst;
  int64_t busy_until_ns, last_due_ns;
  uint64_t next_order;
  uint32_t waits[MAX_WAIT_MS];      /* packets, by their milliseconds before the bottleneck */
  struct packet *heap[MAX_WAITING]; /* earliest first */
  size_t waiting;
};

static struct direction directions[2]; /* up, down */

static struct {
  uint32_t shift;      /* of all ports of the client; 0: none */
  bool known[1 << 16]; /* ports that the client has sent from since the last change, as the near end sees them */
} nat;

static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("error: ");
  vprintf(format, arguments);
  printf(": %s\n", strerror(errno));
  va_end(arguments);
  fflush(stdout);
  exit(1);
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* splitmix64, as a number in [0, 1) */
static double draw(struct direction *d) {
  uint64_t z = d->random += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return (double)((z ^ z >> 31) >> 11) / (double)(UINT64_C(1) << 53);
}

static bool earlier(const struct packet *a, const struct packet *b) {
  return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void push(struct direction *d, const uint8_t *data, size_t size, int64_t due_ns) {
  struct packet *packet = d->waiting < MAX_WAITING ? malloc(sizeof *packet) : NULL;
  if (!packet) {
    d->counters.overflowed++;
    return;
  }
  packet->due_ns = due_ns;
  packet->order = d->next_order++;
  packet->size = (uint16_t)size;
  memcpy(packet->data, data, size);
  size_t at = d->waiting++;
  for (; at > 0 && earlier(packet, d->heap[(at - 1) / 2]); at = (at - 1) / 2) d->heap[at] = d->heap[(at - 1) / 2];
  d->heap[at] = packet;
}

static struct packet *pop(struct direction *d) {
  struct packet *first = d->heap[0], *last = d->heap[--d->waiting];
  size_t at = 0;
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= d->waiting) break;
    if (child + 1 < d->waiting && earlier(d->heap[child + 1], d->heap[child])) child++;
    if (!earlier(d->heap[child], last)) break;
    d->heap[at] = d->heap[child];
    at = child;
  }
  d->heap[at] = last;
  return first;
}

static bool is_lost(struct direction *d) {
  const struct weather *w = &d->weather;
  /* Each packet takes the same number of draws: a change of weather does not change later fates. */
  double change = draw(d);
  if (w->loss <= 0) return d->in_burst = false;
  if (w->loss >= 1) return true;
  if (w->burst <= 1) return change < w->loss;
  double leave = 1 / w->burst, enter = w->loss / (w->burst * (1 - w->loss));
  d->in_burst = d->in_burst ? change >= leave : change < enter;
  return d->in_burst;
}

static void decide(struct direction *d, const uint8_t *data, size_t size, int64_t now) {
  const struct weather *w = &d->weather;
  d->counters.received++;
  d->counters.received_bytes += size;
  bool lost = is_lost(d);
  double jitter = draw(d), reorder = draw(d), duplicate = draw(d);
  if (w->down) {
    d->counters.outage_dropped++;
    return;
  }
  int64_t leaves = now;
  if (w->rate_bps > 0) {
    int64_t start = d->busy_until_ns > now ? d->busy_until_ns : now;
    double backlog = (double)(start - now) * w->rate_bps / 8e9;
    if (backlog + (double)size > w->queue_bytes) {
      d->counters.queue_dropped++;
      return;
    }
    int64_t wait_ms = (start - now) / 1000000;
    d->waits[wait_ms < MAX_WAIT_MS ? wait_ms : MAX_WAIT_MS - 1]++;
    leaves = d->busy_until_ns = start + (int64_t)((double)size * 8e9 / w->rate_bps);
  }
  if (lost) {
    d->counters.lost++;
    return;
  }
  int64_t due = leaves + w->delay_ns + (int64_t)(jitter * (double)w->jitter_ns);
  if (reorder < w->reorder) {
    d->counters.reordered++;
    due += w->reorder_delay_ns;
  } else if (w->scatter_ns > 0) {
    due += (int64_t)(jitter * (double)w->scatter_ns);
    if (due < d->last_due_ns) d->counters.reordered++;
    else d->last_due_ns = due;
  } else {
    if (due < d->last_due_ns) due = d->last_due_ns;
    d->last_due_ns = due;
  }
  push(d, data, size, due);
  if (duplicate < w->duplicate) {
    d->counters.duplicated++;
    push(d, data, size, due);
  }
}

/* Gives a UDP port of the packet another value. The checksum follows (RFC 1624). */
static void rewrite_port(uint8_t *port, uint8_t *checksum, uint32_t value) {
  uint32_t old = (uint32_t)port[0] << 8 | port[1], sum = (uint32_t)checksum[0] << 8 | checksum[1];
  port[0] = (uint8_t)(value >> 8);
  port[1] = (uint8_t)value;
  if (!sum) return; /* the sender has left it out */
  sum = (~sum & 0xffff) + (~old & 0xffff) + value;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
  sum = sum ? sum : 0xffff;
  checksum[0] = (uint8_t)(sum >> 8);
  checksum[1] = (uint8_t)sum;
}

/* False if the packet leads nowhere. */
static bool translate(const struct direction *d, uint8_t *data, size_t size) {
  size_t header = (size_t)(data[0] & 15) * 4;
  bool is_fragment = (data[6] & 0x3f) || data[7];
  if (data[9] != UDP || is_fragment || size < header + 8) return true;
  bool is_up = d == &directions[0];
  uint8_t *udp = data + header, *port = is_up ? udp : udp + 2;
  uint32_t value = (uint32_t)port[0] << 8 | port[1];
  if (value < FIRST_PORT) return true;
  if (!is_up && nat.shift && !nat.known[value]) return false;
  if (nat.shift) {
    uint32_t shift = is_up ? nat.shift : PORTS - nat.shift;
    rewrite_port(port, udp + 6, value = FIRST_PORT + (value - FIRST_PORT + shift) % PORTS);
  }
  if (is_up) nat.known[value] = true;
  return true;
}

static void take_in(struct direction *d) {
  uint8_t data[MAX_PACKET];
  for (int i = 0; i < BATCH; i++) {
    ssize_t size = read(d->from, data, sizeof data);
    if (size < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      fail("reading a TUN device");
    }
    if (size < 20 || data[0] >> 4 != 4 || data[16] >= 224) continue;
    if (translate(d, data, (size_t)size)) {
      decide(d, data, (size_t)size, now_ns());
    } else {
      d->counters.received++;
      d->counters.nat_dropped++;
    }
  }
}

static void deliver(struct direction *d) {
  while (d->waiting && d->heap[0]->due_ns <= now_ns()) {
    struct packet *packet = pop(d);
    /* a full or absent receiver loses it, like a network */
    if (write(d->to, packet->data, packet->size) == packet->size) {
      d->counters.delivered++;
      d->counters.delivered_bytes += packet->size;
    } else {
      d->counters.overflowed++;
    }
    free(packet);
  }
}

static void answer_command(char *line) {
  char name[8];
  struct weather w;
  double delay, jitter, scatter, reorder_delay;
  unsigned long long seed;
  if (sscanf(line, "set %7s %lf %lf %lf %lf %lf %lf %lf %lf %lf %lf %d", name, &w.loss, &w.burst, &delay, &jitter, &scatter,
             &w.reorder, &reorder_delay, &w.duplicate, &w.rate_bps, &w.queue_bytes, &w.down) == 12) {
    w.delay_ns = (int64_t)(delay * 1000);
    w.jitter_ns = (int64_t)(jitter * 1000);
    w.scatter_ns = (int64_t)(scatter * 1000);
    w.reorder_delay_ns = (int64_t)(reorder_delay * 1000);
    directions[strcmp(name, "up") != 0].weather = w;
    printf("ok\n");
  } else if (sscanf(line, "seed %llu", &seed) == 1) {
    for (int i = 0; i < 2; i++) {
      directions[i].random = seed * 2 + (unsigned)i;
      directions[i].in_burst = false;
    }
    printf("ok\n");
  } else if (!strcmp(line, "stats")) {
    for (int i = 0; i < 2; i++) {
      const struct counters *c = &directions[i].counters;
      const uint64_t values[] = {c->received,   c->delivered,  c->lost,        c->queue_dropped,  c->outage_dropped, c->reordered,
                                 c->duplicated, c->overflowed, c->nat_dropped, c->received_bytes, c->delivered_bytes};
      for (size_t j = 0; j < sizeof values / sizeof *values; j++)
        printf("%s%llu", i || j ? " " : "", (unsigned long long)values[j]);
    }
    printf("\n");
  } else if (sscanf(line, "waits %7s", name) == 1) {
    const struct direction *d = &directions[strcmp(name, "up") != 0];
    printf("waits");
    for (int ms = 0; ms < MAX_WAIT_MS; ms++)
      if (d->waits[ms]) printf(" %d:%u", ms, d->waits[ms]);
    printf("\n");
  } else if (!strcmp(line, "rebind")) {
    nat.shift = (nat.shift + PORT_STEP) % PORTS;
    memset(nat.known, 0, sizeof nat.known);
    printf("ok\n");
  } else {
    printf("error: unknown command\n");
  }
  fflush(stdout);
}

static void read_commands(void) {
  static char buffer[4096];
  static size_t filled;
  ssize_t size = read(STDIN_FILENO, buffer + filled, sizeof buffer - 1 - filled);
  if (size == 0) exit(0); /* the parent process is gone */
  if (size < 0) return;
  filled += (size_t)size;
  buffer[filled] = 0;
  char *end, *line = buffer;
  while ((end = strchr(line, '\n'))) {
    *end = 0;
    answer_command(line);
    line = end + 1;
  }
  filled -= (size_t)(line - buffer);
  memmove(buffer, line, filled);
}

static void set_address(int sock, struct ifreq *request, unsigned long command, const char *address, const char *what) {
  struct sockaddr_in *in = (struct sockaddr_in *)&request->ifr_addr;
  memset(in, 0, sizeof *in);
  in->sin_family = AF_INET;
  if (inet_pton(AF_INET, address, &in->sin_addr) != 1 || ioctl(sock, command, request) < 0) fail("%s %s", what, address);
}

/* Opens a TUN device in the current namespace; `name` may have a %d and is replaced by the kernel's choice. */
static int open_tun(char name[IFNAMSIZ]) {
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) fail("opening /dev/net/tun");
  memcpy(request.ifr_name, name, IFNAMSIZ);
  if (ioctl(fd, TUNSETIFF, &request) < 0) fail("making a TUN device (root or CAP_NET_ADMIN is needed)");
  memcpy(name, request.ifr_name, IFNAMSIZ);
  return fd;
}

static void bring_up(const char *name, const char *address) {
  char path[128];
  struct ifreq request = {0};
  int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (sock < 0) fail("opening a socket");
  snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
  int ipv6 = open(path, O_WRONLY | O_CLOEXEC);
  if (ipv6 >= 0) { /* a kernel without IPv6 has none */
    if (write(ipv6, "1", 1) < 0) fail("%s", path);
    close(ipv6);
  }
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (address) {
    set_address(sock, &request, SIOCSIFADDR, address, "setting address");
    set_address(sock, &request, SIOCSIFNETMASK, "255.255.255.252", "setting netmask");
    request.ifr_mtu = MTU;
    if (ioctl(sock, SIOCSIFMTU, &request) < 0) fail("setting the MTU");
    request.ifr_qlen = 2000;
    if (ioctl(sock, SIOCSIFTXQLEN, &request) < 0) fail("setting the queue length");
  }
  if (ioctl(sock, SIOCGIFFLAGS, &request) < 0) fail("reading the flags of %s", name);
  request.ifr_flags |= IFF_UP;
  if (ioctl(sock, SIOCSIFFLAGS, &request) < 0) fail("bringing %s up", name);
  close(sock);
}

static void add_default_route(const char *gateway) {
  struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
  struct sockaddr_in *to = (struct sockaddr_in *)&route.rt_gateway;
  int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  route.rt_dst.sa_family = route.rt_genmask.sa_family = to->sin_family = AF_INET;
  if (sock < 0 || inet_pton(AF_INET, gateway, &to->sin_addr) != 1 || ioctl(sock, SIOCADDRT, &route) < 0)
    fail("adding the default route");
  close(sock);
}

int main(void) {
  char near_name[IFNAMSIZ] = "meet%d", far_name[IFNAMSIZ] = "link";
  char near_address[32], far_address[32];
  int number;

  int near = open_tun(near_name);
  if (sscanf(near_name, "meet%d", &number) != 1 || number > 255) fail("too many links: %s", near_name);
  snprintf(near_address, sizeof near_address, "10.213.%d.1", number);
  snprintf(far_address, sizeof far_address, "10.213.%d.2", number);
  bring_up(near_name, near_address);
  if (unshare(CLONE_NEWNET) < 0) fail("making a network namespace");
  int far = open_tun(far_name);
  bring_up("lo", NULL);
  bring_up(far_name, far_address);
  add_default_route(near_address);

  directions[0] = (struct direction){.from = far, .to = near, .random = 0};
  directions[1] = (struct direction){.from = near, .to = far, .random = 1};
  printf("%d %s %s\n", number, near_address, far_address);
  fflush(stdout);

  struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {far, POLLIN, 0}, {near, POLLIN, 0}};
  for (;;) {
    int64_t due = INT64_MAX;
    for (int i = 0; i < 2; i++)
      if (directions[i].waiting && directions[i].heap[0]->due_ns < due) due = directions[i].heap[0]->due_ns;
    int64_t wait = due == INT64_MAX ? 0 : due - now_ns();
    if (wait < 0) wait = 0;
    struct timespec timeout = {wait / 1000000000, wait % 1000000000};
    if (ppoll(fds, 3, due == INT64_MAX ? NULL : &timeout, NULL) < 0 && errno != EINTR) fail("waiting");
    for (int i = 0; i < 2; i++)
      if (fds[1 + i].revents) take_in(&directions[i]);
    for (int i = 0; i < 2; i++) deliver(&directions[i]);
    if (fds[0].revents) read_commands();
  }
}
