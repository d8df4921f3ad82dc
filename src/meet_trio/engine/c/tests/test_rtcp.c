/* RTCP: every writer's output is read back; known bytes, transport-cc in both directions, malformed and truncated compounds. */
#include "formats/rtcp.c"

#include "check.h"

static bool first(const uint8_t *p, size_t n, mt_rtcp_packet *out) {
  size_t offset = 0;
  return mt_rtcp_next_untrusted(p, n, &offset, out) && offset == n;
}

static const mt_rtcp_report reports[2] = {
    {0x11111111, 0x80, -5, 0x00021234, 77, 0xabcdef01, 0x00010000},
    {0x22222222, 0x00, 0x7fffff, 0x0000ffff, 0, 0, 0},
};
static const mt_rtcp_sender_info info = {0xaabbccdd, UINT64_C(0x0123456789abcdef), 90000, 12, 3456};

static void check_report(const mt_rtcp_packet *p, unsigned i, const mt_rtcp_report *want) {
  mt_rtcp_report r;
  CHECK(mt_rtcp_read_report(p, i, &r));
  CHECK(r.ssrc == want->ssrc && r.fraction_lost == want->fraction_lost && r.total_lost == want->total_lost);
  CHECK(r.highest_sequence == want->highest_sequence && r.jitter == want->jitter);
  CHECK(r.last_sr == want->last_sr && r.delay_since_last_sr == want->delay_since_last_sr);
}

static void test_reports(void) {
  uint8_t out[128];
  mt_rtcp_packet p;
  mt_rtcp_sender_info s;
  mt_rtcp_report r;
  size_t n = mt_rtcp_write_sr(out, sizeof out, &info, reports, 2);
  CHECK(n == 28 + 48 && first(out, n, &p) && p.type == MT_RTCP_SR && p.count == 2 && p.body_len == n - 4);
  CHECK(mt_rtcp_read_sender_info(&p, &s) && s.ssrc == info.ssrc && s.ntp == info.ntp);
  CHECK(s.rtp_timestamp == info.rtp_timestamp && s.packets == info.packets && s.octets == info.octets);
  check_report(&p, 0, &reports[0]);
  check_report(&p, 1, &reports[1]);
  CHECK(!mt_rtcp_read_report(&p, 2, &r));
  CHECK(memory_equals(out, 28, "82c80012 aabbccdd 01234567 89abcdef 00015f90 0000000c 00000d80"));
  CHECK(memory_equals(out + 28, 24, "11111111 80fffffb 00021234 0000004d abcdef01 00010000"));

  n = mt_rtcp_write_rr(out, sizeof out, 0x01020304, reports, 1);
  CHECK(n == 32 && first(out, n, &p) && p.type == MT_RTCP_RR && p.count == 1);
  check_report(&p, 0, &reports[0]);
  CHECK(!mt_rtcp_read_sender_info(&p, &s) && !mt_rtcp_read_report(&p, 1, &r));
  CHECK(mt_rtcp_write_rr(out, 31, 1, reports, 1) == 0 && mt_rtcp_write_sr(out, 51, &info, reports, 1) == 0);
  CHECK(mt_rtcp_write_rr(out, sizeof out, 1, NULL, 0) == 8);
  CHECK(mt_rtcp_write_rr(out, 4096, 1, NULL, 32) == 0); /* the count has five bits */

  mt_rtcp_report extreme = {.total_lost = INT32_MAX};
  n = mt_rtcp_write_rr(out, sizeof out, 1, &extreme, 1);
  CHECK(first(out, n, &p) && mt_rtcp_read_report(&p, 0, &r) && r.total_lost == 0x7fffff);
  extreme.total_lost = INT32_MIN;
  n = mt_rtcp_write_rr(out, sizeof out, 1, &extreme, 1);
  CHECK(first(out, n, &p) && mt_rtcp_read_report(&p, 0, &r) && r.total_lost == -0x800000);

  bytes b = bytes_hex("81c90001 01020304"); /* a count of one without a block */
  CHECK(first(b.p, b.n, &p) && !mt_rtcp_read_report(&p, 0, &r));
  free(b.p);
  b = bytes_hex("81c90006 01020304 11111111 80fffffb 00021234 0000004d abcdef01"); /* its last word is missing */
  CHECK(first(b.p, b.n, &p) && !mt_rtcp_read_report(&p, 0, &r));
  free(b.p);
  b = bytes_hex("80c80001 01020304");
  CHECK(first(b.p, b.n, &p) && !mt_rtcp_read_sender_info(&p, &s));
  free(b.p);
}

static void test_sdes_and_bye(void) {
  uint8_t out[300];
  mt_rtcp_packet p;
  uint32_t ssrc;
  CHECK(memory_equals(out, mt_rtcp_write_sdes_cname(out, sizeof out, 0x01020304, "a", 1), "81ca0002 01020304 01016100"));
  CHECK(memory_equals(out, mt_rtcp_write_sdes_cname(out, sizeof out, 0x01020304, "ab", 2),
                      "81ca0003 01020304 01026162 00000000")); /* at least one zero ends the list */
  CHECK(mt_rtcp_write_sdes_cname(out, 15, 1, "ab", 2) == 0);
  char longest[256];
  memset(longest, 'x', sizeof longest);
  CHECK(mt_rtcp_write_sdes_cname(out, sizeof out, 1, longest, 255) == 268 && out[267] == 0 && out[264] == 'x');
  CHECK(mt_rtcp_write_sdes_cname(out, sizeof out, 1, longest, 256) == 0);
  size_t n = mt_rtcp_write_bye(out, sizeof out, 0x0a0b0c0d);
  CHECK(memory_equals(out, n, "81cb0001 0a0b0c0d") && mt_rtcp_write_bye(out, 7, 1) == 0);
  CHECK(first(out, n, &p) && mt_rtcp_read_bye(&p, 0, &ssrc) && ssrc == 0x0a0b0c0d && !mt_rtcp_read_bye(&p, 1, &ssrc));
  bytes b = bytes_hex("82cb0001 0a0b0c0d"); /* two are announced, one is there */
  CHECK(first(b.p, b.n, &p) && mt_rtcp_read_bye(&p, 0, &ssrc) && !mt_rtcp_read_bye(&p, 1, &ssrc));
  free(b.p);
}

static void test_feedback(void) {
  uint8_t out[64], sequence;
  mt_rtcp_packet p;
  uint32_t sender, media, ssrc;
  size_t n = mt_rtcp_write_pli(out, sizeof out, 0x01020304, 0x05060708);
  CHECK(memory_equals(out, n, "81ce0002 01020304 05060708") && mt_rtcp_write_pli(out, 11, 1, 2) == 0);
  CHECK(first(out, n, &p) && mt_rtcp_read_feedback(&p, &sender, &media) && sender == 0x01020304 && media == 0x05060708);
  n = mt_rtcp_write_fir(out, sizeof out, 0x01020304, 0x05060708, 9);
  CHECK(memory_equals(out, n, "84ce0004 01020304 00000000 05060708 09000000") && mt_rtcp_write_fir(out, 19, 1, 2, 3) == 0);
  CHECK(first(out, n, &p) && mt_rtcp_read_fir(&p, 0, &ssrc, &sequence) && ssrc == 0x05060708 && sequence == 9);
  CHECK(!mt_rtcp_read_fir(&p, 1, &ssrc, &sequence));
  n = mt_rtcp_write_rr(out, sizeof out, 1, NULL, 0);
  CHECK(first(out, n, &p) && !mt_rtcp_read_feedback(&p, &sender, &media) && !mt_rtcp_read_fir(&p, 0, &ssrc, &sequence));
  bytes b = bytes_hex("81ce0001 01020304");
  CHECK(first(b.p, b.n, &p) && !mt_rtcp_read_feedback(&p, &sender, &media));
  free(b.p);
}

static void test_nack(void) {
  static const struct {
    uint16_t sequences[6];
    unsigned count;
    const char *pairs;
  } cases[] = {
      {{5}, 1, "00050000"},
      {{5, 6, 21}, 3, "00058001"},
      {{5, 22}, 2, "00050000 00160000"},
      {{65534, 65535, 0, 14, 15}, 5, "fffe8003 000f0000"}, /* over the wrap: +1, +2, +16; then a new pair */
      {{7, 7, 8}, 3, "00070001"},
  };
  for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint8_t out[64];
    size_t n = mt_rtcp_write_nack(out, sizeof out, 1, 2, cases[i].sequences, cases[i].count);
    CHECK(memory_equals(out + 12, n - 12, cases[i].pairs));
    CHECK(mt_rtcp_write_nack(out, n - 1, 1, 2, cases[i].sequences, cases[i].count) == 0);
    mt_rtcp_packet p;
    uint16_t pid, blp;
    CHECK(first(out, n, &p) && p.type == MT_RTCP_RTPFB && p.count == MT_RTPFB_NACK);
    CHECK(mt_rtcp_read_nack(&p, 0, &pid, &blp) && pid == cases[i].sequences[0]);
    CHECK(!mt_rtcp_read_nack(&p, (unsigned)(n - 12) / 4, &pid, &blp));
  }
  CHECK(mt_rtcp_write_nack((uint8_t[16]){0}, 16, 1, 2, NULL, 0) == 0);
}

static void test_remb(void) {
  static const struct {
    uint64_t bitrate, read;
  } cases[] = {{0, 0},
               {0x3ffff, 0x3ffff},
               {0x40000, 0x40000},
               {0x40001, 0x40000},
               {1500000, 1500000},
               {UINT64_MAX, UINT64_C(0x3ffff) << 46}};
  static const uint32_t ssrcs[2] = {0x11111111, 0x22222222};
  uint8_t out[64];
  mt_rtcp_packet p;
  uint64_t bitrate;
  for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t n = mt_rtcp_write_remb(out, sizeof out, 1, cases[i].bitrate, ssrcs, 2);
    CHECK(n == 28 && first(out, n, &p) && mt_rtcp_read_remb(&p, &bitrate) && bitrate == cases[i].read);
    CHECK(mt_rtcp_write_remb(out, 27, 1, cases[i].bitrate, ssrcs, 2) == 0);
  }
  size_t n = mt_rtcp_write_remb(out, sizeof out, 0x01020304, 1500000, ssrcs, 1);
  CHECK(memory_equals(out, n, "8fce0005 01020304 00000000 52454d42 010edc6c 11111111"));
  bytes b = bytes_hex("8fce0004 00000001 00000000 52454d42 00ffffff"); /* exponent 63 */
  CHECK(first(b.p, b.n, &p) && mt_rtcp_read_remb(&p, &bitrate) && bitrate == UINT64_MAX);
  b.p[16] = 1; /* an SSRC that is not in the packet */
  CHECK(first(b.p, b.n, &p) && !mt_rtcp_read_remb(&p, &bitrate));
  b.p[16] = 0;
  b.p[12] = 'r';
  CHECK(first(b.p, b.n, &p) && !mt_rtcp_read_remb(&p, &bitrate));
  free(b.p);
}

/* ---- transport-cc ---- */

typedef struct {
  unsigned count;
  uint16_t sequence[TWCC_MAX_PACKETS];
  int32_t delta[TWCC_MAX_PACKETS];
  bool received[TWCC_MAX_PACKETS];
} seen;

/* Reads the whole feedback; a run of lost packets becomes single packets. `delta`: since the packet received before. */
static bool read_feedback(const mt_rtcp_packet *p, mt_rtcp_twcc *t, seen *s) {
  mt_rtcp_arrival a;
  int64_t before = 0;
  s->count = 0;
  if (!mt_rtcp_read_twcc(p, t)) return false;
  while (mt_rtcp_next_twcc(t, &a)) {
    CHECK(a.count == 1 || (a.count > 1 && !a.received));
    for (unsigned k = 0; k < a.count; k++) {
      if (s->count == TWCC_MAX_PACKETS) abort();
      s->sequence[s->count] = (uint16_t)(a.sequence + k);
      s->received[s->count] = a.received;
      s->delta[s->count++] = a.received ? (int32_t)(a.arrival - before) : 0;
    }
    if (a.received) before = a.arrival;
  }
  CHECK(!mt_rtcp_next_twcc(t, &a)); /* the end is the end */
  return true;
}

static void test_twcc_read(void) {
  /* runs: 2 small, 1 lost; two-bit vector: L S - S - - L; one-bit vector, cut by the count: S - S; two bytes of padding */
  bytes b = bytes_hex("afcd0009 00000001 00000002 fffe000d 00000a07 2002 0001 e442 a800"
                      "04 05 fff0 06 07 0010 08 09 0002");
  static const int received[13] = {1, 1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1};
  static const int ticks[13] = {4, 5, 0, -16, 6, 0, 7, 0, 0, 16, 8, 0, 9};
  seen s = {0};
  mt_rtcp_packet p;
  mt_rtcp_twcc i;
  CHECK(first(b.p, b.n, &p) && read_feedback(&p, &i, &s));
  CHECK(i.base_sequence == 0xfffe && i.packet_count == 13 && i.reference_time == 10 && i.feedback_count == 7);
  CHECK(s.count == 13);
  for (unsigned k = 0; k < 13; k++)
    CHECK(s.sequence[k] == (uint16_t)(0xfffe + k) && s.received[k] == received[k] && s.delta[k] == ticks[k] * 250);
  free(b.p);

  b = bytes_hex("8fcd0006 00000001 00000002 00050004 fffffe07 e400 80ff f0 000000"); /* L S - - */
  s.count = 0;
  CHECK(first(b.p, b.n, &p) && read_feedback(&p, &i, &s) && s.count == 4);
  CHECK(i.reference_time == 0xfffffe && s.delta[0] == (int16_t)0x80ff * 250 && s.delta[1] == 0xf0 * 250);
  CHECK(s.received[1] && !s.received[2] && !s.received[3]);
  free(b.p);

  b = bytes_hex("8fcd0009 00000001 00000002 0005ffff 00000007 1fff 1fff 1fff 1fff 1fff 1fff 1fff 1fff 1fff 0000");
  mt_rtcp_arrival run;
  unsigned runs = 0, packets = 0;
  CHECK(first(b.p, b.n, &p) && mt_rtcp_read_twcc(&p, &i));
  for (; mt_rtcp_next_twcc(&i, &run); runs++) packets += run.count;
  CHECK(runs == 9 && packets == 0xffff); /* a step for each run, and not for each packet */
  free(b.p);

  static const char *const malformed[] = {
      "8fcd0004 00000001 00000002 00050001 00000007",                   /* no chunk */
      "8fcd0005 00000001 00000002 00050001 00000007 4001 0000",         /* valid: the deltas are there */
      "8fcd0005 00000001 00000002 00050003 00000007 4003 0000",         /* six bytes of deltas are due, two are there */
      "8fcd0006 00000001 00000002 00050001 00000007 6001 000000000000", /* reserved symbol */
      "8fcd0005 00000001 00000002 00050001 00000007 0000 0000",         /* runs of length 0 */
      "8fcd0005 00000001 00000002 0005ffff 00000007 3fff 3fff",
      "8fcd0003 00000001 00000002 00050001",
  };
  for (unsigned k = 0; k < sizeof malformed / sizeof *malformed; k++) {
    b = bytes_hex(malformed[k]);
    s.count = 0;
    CHECK(first(b.p, b.n, &p) && read_feedback(&p, &i, &s) == (k == 1));
    free(b.p);
  }
}

/* Writes, reads back and compares the packets received and their times, to the tick. Returns the number of packets covered. */
static unsigned round_trip(const int64_t *arrivals, unsigned count, size_t cap) {
  bytes b = {malloc(cap ? cap : 1), cap};
  unsigned consumed = 99;
  seen s = {0};
  mt_rtcp_packet p;
  mt_rtcp_twcc i;
  size_t n = mt_rtcp_write_twcc(b.p, cap, 1, 2, 65530, arrivals, count, 200, &consumed);
  if (n == 0) {
    CHECK(consumed == 0);
    free(b.p);
    return 0;
  }
  CHECK(n <= cap && n % 4 == 0 && consumed > 0 && consumed <= count);
  CHECK(first(b.p, n, &p) && read_feedback(&p, &i, &s));
  CHECK(i.base_sequence == 65530 && i.packet_count == consumed && i.feedback_count == 200 && s.count == consumed);
  int64_t now = -1;
  for (unsigned k = 0; k < consumed && k < s.count; k++) {
    CHECK(s.sequence[k] == (uint16_t)(65530 + k) && s.received[k] == (arrivals[k] >= 0));
    if (!s.received[k]) continue;
    if (now < 0) {
      now = arrivals[k] / 64000 * 64000;
      CHECK(i.reference_time == (uint32_t)(now / 64000 & 0xffffff));
    }
    now += s.delta[k];
    CHECK(now <= arrivals[k] && arrivals[k] - now < 250);
  }
  free(b.p);
  return consumed;
}

static uint32_t random_state = 12345;
static uint32_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return random_state;
}

static void test_twcc_write(void) {
  static int64_t a[2000];
  for (unsigned k = 0; k < 2000; k++) a[k] = -1;
  CHECK(round_trip(a, 100, 1200) == 0); /* no packet came */
  a[0] = INT64_C(1) << 50;              /* a clock that has run for a long time */
  CHECK(round_trip(a, 1, 1200) == 1);
  a[0] = 64000 * 5 + 63999;
  CHECK(round_trip(a, 1, 24) == 1 && round_trip(a, 1, 23) == 0 && round_trip(a, 1, 0) == 0);
  a[0] = -1;
  a[5] = 1000;
  a[3] = 9000; /* out of order: a negative step */
  CHECK(round_trip(a, 7, 1200) == 7);
  a[6] = a[5] + INT64_C(32767) * 250; /* the longest step, and one more tick */
  CHECK(round_trip(a, 7, 1200) == 7);
  a[6] += 250;
  CHECK(round_trip(a, 7, 1200) == 6);

  for (unsigned k = 0; k < 2000; k++) a[k] = 777 + 1003 * (int64_t)k;
  CHECK(round_trip(a, 2000, 65535) == TWCC_MAX_PACKETS);
  CHECK(round_trip(a, 2000, 600) == 600 - 22); /* a run: one chunk, one byte each */
  CHECK(round_trip(a, 10, 1200) == 10);

  for (unsigned round = 0; round < 300; round++) {
    unsigned count = 1 + next_random() % 400, loss = next_random() % 101, wild = next_random() % 101;
    int64_t now = next_random();
    for (unsigned k = 0; k < count; k++) {
      now += next_random() % 100 < wild ? (int64_t)(next_random() % 400000) - 100000 : next_random() % 2000;
      if (now < 0) now = 0;
      a[k] = next_random() % 100 < loss ? -1 : now;
    }
    unsigned whole = round_trip(a, count, 4096);
    unsigned part = round_trip(a, count, next_random() % 300);
    CHECK(part <= whole);
    if (wild == 0 && loss < 100 && whole) CHECK(whole == count);
  }
}

/* ---- compounds ---- */

/* Calls every reader on every packet. */
static unsigned read_all(const uint8_t *p, size_t n) {
  size_t offset = 0;
  unsigned packets = 0;
  mt_rtcp_packet packet;
  while (mt_rtcp_next_untrusted(p, n, &offset, &packet)) {
    mt_rtcp_sender_info sender_info;
    mt_rtcp_report report;
    mt_rtcp_twcc twcc;
    seen s = {0};
    uint32_t a, b;
    uint16_t c, d;
    uint8_t e;
    uint64_t f;
    packets++;
    (void)mt_rtcp_read_sender_info(&packet, &sender_info);
    (void)mt_rtcp_read_feedback(&packet, &a, &b);
    (void)mt_rtcp_read_remb(&packet, &f);
    (void)read_feedback(&packet, &twcc, &s);
    for (unsigned i = 0; i < 40; i++) {
      (void)mt_rtcp_read_report(&packet, i, &report);
      (void)mt_rtcp_read_nack(&packet, i, &c, &d);
      (void)mt_rtcp_read_fir(&packet, i, &a, &e);
      (void)mt_rtcp_read_bye(&packet, i, &a);
    }
  }
  return packets;
}

static void test_compound(void) {
  uint8_t out[512];
  size_t n = 0;
  unsigned consumed;
  const int64_t arrivals[] = {100, -1, 9000000, 9000100};
  n += mt_rtcp_write_sr(out + n, sizeof out - n, &info, reports, 2);
  n += mt_rtcp_write_sdes_cname(out + n, sizeof out - n, 1, "cname", 5);
  n += mt_rtcp_write_nack(out + n, sizeof out - n, 1, 2, (uint16_t[]){1, 50}, 2);
  n += mt_rtcp_write_pli(out + n, sizeof out - n, 1, 2);
  n += mt_rtcp_write_fir(out + n, sizeof out - n, 1, 2, 3);
  n += mt_rtcp_write_remb(out + n, sizeof out - n, 1, 1000000, (uint32_t[]){1}, 1);
  n += mt_rtcp_write_twcc(out + n, sizeof out - n, 1, 2, 7, arrivals, 4, 1, &consumed);
  n += mt_rtcp_write_bye(out + n, sizeof out - n, 1);
  CHECK(read_all(out, n) == 8);
  for (size_t cut = 0; cut < n; cut++) {
    bytes b = bytes_copy(out, cut);
    CHECK(read_all(b.p, b.n) < 8);
    free(b.p);
  }
  for (unsigned round = 0; round < 5000; round++) {
    bytes b = bytes_copy(out, n);
    for (unsigned k = 0; k < 3; k++) b.p[next_random() % n] = (uint8_t)next_random();
    (void)read_all(b.p, b.n);
    free(b.p);
  }
}

static void test_common_header(void) {
  mt_rtcp_packet p;
  static const struct {
    const char *hex;
    bool ok;
    size_t body_len;
  } cases[] = {
      {"80c90000", true, 0},           {"40c90000", false, 0},         {"80c90001", false, 0},
      {"a0c90001 00000004", true, 0},  {"a0c90001 00000001", true, 3}, {"a0c90001 00000000", false, 0},
      {"a0c90001 00000005", false, 0}, {"a0c90000", false, 0},
  };
  for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
    bytes b = bytes_hex(cases[i].hex);
    size_t offset = 0;
    CHECK(mt_rtcp_next_untrusted(b.p, b.n, &offset, &p) == cases[i].ok);
    CHECK(offset == (cases[i].ok ? b.n : 0));
    if (cases[i].ok) CHECK(p.body_len == cases[i].body_len);
    free(b.p);
  }
  size_t beyond = 9;
  CHECK(!mt_rtcp_next_untrusted((const uint8_t *)"12345678", 8, &beyond, &p));
}

int main(void) {
  test_reports();
  test_sdes_and_bye();
  test_feedback();
  test_nack();
  test_remb();
  test_twcc_read();
  test_twcc_write();
  test_compound();
  test_common_header();
  return check_result();
}
