/* Headers of packets that leave: those of the model have the same bytes as
 * those that are written element by element. */
#include "egress/header.c"

#include "../check.h"

enum { TURNS = 20000, LONGEST = 20 /* bytes of an element's value */ };

static uint64_t state = 1;
static unsigned modelled, with_own;

static uint32_t dice(uint32_t sides) {
  state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
  return (uint32_t)(state >> 33) % sides;
}

/* Not called: the packets here have no dependency descriptor that was read. */
void mt_dd_rewrite(uint8_t *dd, uint16_t frame_number) { (void)dd, (void)frame_number, abort(); }

bool mt_playout_written(const mt_consumer *c) { return c->playout_written; }

void mt_playout_write(const mt_consumer *c, uint8_t *out) {
  (void)c;
  memset(out, 7, MT_PLAYOUT_BYTES);
}

static void any_spec(mt_consumer_spec *s) {
  uint32_t most = dice(8) ? 14 : 20; /* ids above 14 need the two-byte form */
  *s = (mt_consumer_spec){.ssrc = dice(UINT32_MAX),
                          .rtx_ssrc = dice(UINT32_MAX),
                          .payload_type = (uint8_t)dice(128),
                          .rtx_payload_type = (int16_t)((int)dice(129) - 1)};
  for (unsigned i = 0; i < MT_EXT_COUNT; i++) s->ext_ids[i] = (uint8_t)(dice(3) ? 1 + dice(most) : 0);
  s->mid.len = (uint8_t)(dice(4) ? dice(4) : dice(LONGEST));
  memset(s->mid.text, 'm', s->mid.len);
}

static void any_packet(mt_packet *p) {
  p->ext_count = 0;
  for (uint8_t kind = 0; kind < MT_EXT_COUNT; kind++) {
    if (kind == MT_EXT_MID || kind == MT_EXT_ABS_SEND_TIME || kind == MT_EXT_TRANSPORT_CC || dice(4)) continue;
    p->ext[p->ext_count++] =
        (mt_packet_ext){.kind = kind, .len = (uint8_t)(dice(8) ? 1 + dice(4) : dice(LONGEST)), .offset = (uint16_t)dice(100)};
  }
}

static void both_are_equal(mt_consumer *c, const mt_packet *p) {
  uint8_t one[MT_RTP_MAX_HEADER], other[MT_RTP_MAX_HEADER];
  mt_numbers n = {.timestamp = dice(UINT32_MAX), .marker = dice(2)};
  mt_stamps v = {.abs_send_time = dice(1 << 24), .twcc = (uint16_t)dice(1 << 16)};
  bool rtx = dice(2), follows = follows_model(c, p);
  uint16_t sequence = (uint16_t)dice(1 << 16);
  modelled += follows;
  with_own += follows && p && p->ext_count;
  memset(one, 0xaa, sizeof one);
  memset(other, 0x55, sizeof other);
  size_t a = mt_header_write(c, one, p, &n, rtx, sequence, &v), b = write_elements(c, other, p, &n, rtx, sequence, &v);
  CHECK(a && a == b);
  CHECK(memcmp(one, other, a) == 0);
}

int main(void) {
  static mt_consumer consumer;
  static mt_packet packet;
  for (unsigned i = 0; i < sizeof packet.data; i++) packet.data[i] = (uint8_t)(i * 7 + 1);
  for (unsigned i = 0; i < TURNS; i++) {
    any_spec(&consumer.spec);
    mt_header_prepare(&consumer);
    consumer.playout_written = dice(8) == 0;
    any_packet(&packet);
    both_are_equal(&consumer, dice(8) ? &packet : NULL);
  }
  CHECK(modelled > TURNS / 4 && modelled < TURNS && with_own > TURNS / 20);
  return check_result();
}
