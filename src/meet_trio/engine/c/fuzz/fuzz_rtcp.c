/* RTCP: every reader runs on every packet of a compound; transport-cc feedback of fuzzed arrival times is read back. */
#include "formats/rtcp.c"

#include "fuzz.h"

const char *const mt_fuzz_seeds[] = {
    "82c80012 aabbccdd 01234567 89abcdef 00015f90 0000000c 00000d80 11111111 80fffffb 00021234 0000004d abcdef01 00010000"
    "22222222 007fffff 0000ffff 00000000 00000000 00000000 81ca0003 01020304 01026162 00000000",
    "81c90007 01020304 11111111 80fffffb 00021234 0000004d abcdef01 00010000 81cd0003 00000001 00000002 00050003",
    "81ce0002 01020304 05060708 84ce0004 01020304 00000000 05060708 09000000 81cb0001 0a0b0c0d",
    "8fce0005 01020304 00000000 52454d42 010edc6c 11111111",
    "afcd0009 00000001 00000002 fffe000d 00000a07 2002 0001 e442 a800 04 05 fff0 06 07 0010 08 09 0002",
    NULL,
};

/* Reads a feedback packet, in a number of steps that its bytes bound. Returns the number of packets received; -1: malformed. */
static int read_feedback(const mt_rtcp_packet *p, mt_rtcp_twcc *t) {
  mt_rtcp_arrival a;
  unsigned count = 0, received = 0, steps = 0;
  if (!mt_rtcp_read_twcc(p, t)) return -1;
  for (; mt_rtcp_next_twcc(t, &a); count += a.count, received += a.received, steps++) {
    MUST(a.count == 1 || (a.count > 1 && !a.received));
    MUST(a.received || a.arrival == 0);
    MUST(a.sequence == (uint16_t)(t->base_sequence + count));
  }
  MUST(count == t->packet_count && steps <= 7u * p->body_len);
  return (int)received;
}

static void look(const uint8_t *p, size_t size) {
  size_t offset = 0, before = 0;
  mt_rtcp_packet packet;
  while (mt_rtcp_next_untrusted(p, size, &offset, &packet)) {
    mt_rtcp_sender_info info;
    mt_rtcp_report report;
    mt_rtcp_twcc twcc;
    uint32_t a, b;
    uint16_t c, d;
    uint8_t e;
    uint64_t f;
    unsigned i = 0;
    MUST(offset > before && offset <= size && packet.body >= p && packet.body + packet.body_len <= p + offset);
    before = offset;
    (void)mt_rtcp_read_sender_info(&packet, &info);
    (void)mt_rtcp_read_feedback(&packet, &a, &b);
    (void)mt_rtcp_read_remb(&packet, &f);
    (void)read_feedback(&packet, &twcc);
    while (mt_rtcp_read_report(&packet, i, &report)) i++;
    for (i = 0; mt_rtcp_read_nack(&packet, i, &c, &d);) i++;
    for (i = 0; mt_rtcp_read_fir(&packet, i, &a, &e);) i++;
    for (i = 0; mt_rtcp_read_bye(&packet, i, &a);) i++;
  }
}

static void write_and_read(const uint8_t *data, size_t size) {
  int64_t arrivals[600], now = 1000000;
  unsigned count = 0, consumed;
  uint8_t out[1200];
  mt_rtcp_packet packet;
  mt_rtcp_twcc t;
  if (size < 1) return;
  size_t cap = data[0] * 4u;
  for (size_t i = 1; i + 1 < size && count < 600; i += 2) {
    uint16_t v = mt_load16(data + i);
    now += v & 0x4000 ? (int64_t)(v & 0x3fff) * 1000 - 4000000 : v & 0x3fff;
    if (now < 0) now = 0;
    arrivals[count++] = v & 0x8000 ? -1 : now;
  }
  size_t n = mt_rtcp_write_twcc(out, cap, 1, 2, 65500, arrivals, count, 3, &consumed), offset = 0;
  MUST(n <= cap && (n == 0) == (consumed == 0) && consumed <= count);
  if (n == 0) return;
  MUST(mt_rtcp_next_untrusted(out, n, &offset, &packet) && offset == n);
  MUST(read_feedback(&packet, &t) > 0 && t.packet_count == consumed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *p = fuzz_exact(data, size);
  look(p, size);
  write_and_read(p, size);
  free(p);
  return 0;
}
