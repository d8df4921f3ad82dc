/* Moves of clients: they send RTCP, DTLS, and bytes of no kind. */
#include "world.h"

static uint32_t sent_ssrc(const client *c, const instruction *i) {
  return i->n & 8 || !c->last_ssrc ? FIRST_SENT_SSRC + i->n % (2 * VIEWS) : c->last_ssrc;
}

/* Bytes of RTCP after its first 8 or 12; type, count and length are filled in. */
static size_t finish(uint8_t *p, uint8_t type, uint8_t count, size_t n) {
  p[0] = (uint8_t)(0x80 | (count & 31));
  p[1] = type;
  mt_store16(p + 2, (uint16_t)(n / 4 - 1));
  return n;
}

static size_t write_rtcp(client *c, const instruction *i, uint8_t *p, size_t cap) {
  uint32_t media = sent_ssrc(c, i), source = FIRST_SSRC + i->n % SSRCS;
  mt_rtcp_report reports[31];
  unsigned count = i->y % 32;
  size_t n = 12;
  for (unsigned k = 0; k < 31; k++)
    reports[k] = (mt_rtcp_report){.ssrc = k & 1 ? FIRST_SENT_SSRC + (i->n + k) % (2 * VIEWS) : media,
                                  .fraction_lost = (uint8_t)(i->p + k * 16 * (i->m & 1)),
                                  .jitter = i->q,
                                  .last_sr = i->q};
  mt_rtcp_sender_info info = {source, (uint64_t)fuzz_now << 20 ^ (uint64_t)i->p << 32, (uint32_t)(fuzz_now * 9 / 100) + i->q, 1, 1};
  memset(p, 0, cap < 16 ? cap : 16);
  mt_store32(p + 4, FIRST_SSRC);
  mt_store32(p + 8, media);
  switch ((i->x & 127) % 12) {
  case 0: return mt_rtcp_write_sr(p, cap, &info, reports, count > 30 ? 30 : count);
  case 1: return mt_rtcp_write_rr(p, cap, FIRST_SSRC, reports, count > 30 ? 30 : count);
  case 2:
    for (unsigned k = 0; k <= i->y && n + 4 <= cap; k++, n += 4) {
      mt_store16(p + n, (uint16_t)(c->last_sequence - i->m - 17 * k));
      mt_store16(p + n + 2, i->p);
    }
    return finish(p, MT_RTCP_RTPFB, MT_RTPFB_NACK, n);
  case 3: return mt_rtcp_write_pli(p, cap, FIRST_SSRC, media);
  case 4:
    for (unsigned k = 0; k <= i->y && n + 8 <= cap; k++, n += 8) {
      memset(p + n, 0, 8);
      mt_store32(p + n, k ? FIRST_SENT_SSRC + (i->n + k) % (2 * VIEWS) : media);
    }
    return finish(p, MT_RTCP_PSFB, MT_PSFB_FIR, n);
  case 5: return mt_rtcp_write_remb(p, cap, FIRST_SSRC, (uint64_t)i->p * i->q * i->q, &media, 1);
  case 6:
    for (n = 4; n < 4 + 4 * (1 + count % 31) && n + 4 <= cap; n += 4)
      mt_store32(p + n, FIRST_SSRC + (i->n + (unsigned)n / 4 - 1) % SSRCS);
    return finish(p, MT_RTCP_BYE, (uint8_t)(n / 4 - 1), n);
  case 7:
    n += 4 * (size_t)(i->y % 64);
    if (n > cap) return 0;
    for (size_t k = 12; k < n; k++) p[k] = (uint8_t)(i->q + k * i->p);
    return finish(p, MT_RTCP_RTPFB, MT_RTPFB_TRANSPORT_CC, n);
  case 8: return mt_rtcp_write_sdes_cname(p, cap, source, "somebody", 1 + count % 8);
  case 9: return finish(p, (uint8_t)(i->p % 16 + 196), (uint8_t)i->q, 12);
  default:
    n = 4 + i->y % 64;
    for (size_t k = 4; k < n && k < cap; k++) p[k] = (uint8_t)(i->q + k * i->p);
    if (n > cap) return 0;
    p[0] = 0x81, p[1] = (uint8_t)(200 + i->m % 8), p[2] = 0, p[3] = (uint8_t)(i->m >> 8);
    return n;
  }
}

void fuzz_send_rtcp(client *c, const instruction *i) {
  size_t room = MT_DATAGRAM_MAX - MT_SRTCP_MAX_OVERHEAD;
  if (!c->alive || !c->srtp) return;
  if (room - c->compound_len >= 64) c->compound_len += write_rtcp(c, i, c->compound + c->compound_len, room - c->compound_len);
  if (i->x & 128 || !c->compound_len) return;
  size_t len = c->compound_len;
  if (!c->plain) len = __real_mt_srtcp_protect(c->srtp, c->srtcp_index++, c->compound, len, sizeof c->compound);
  c->compound_len = 0;
  if (len) fuzz_datagram(c, i->q & 1 ? &c->at[0].path : &c->at[0].rtcp, c->compound, len);
}

void fuzz_send_raw(client *c, const instruction *i) {
  uint8_t p[MT_DATAGRAM_MAX];
  size_t n = i->n % (sizeof p + 1);
  if (!c->alive) return;
  for (size_t k = 0; k < n; k++) p[k] = (uint8_t)(i->m + k * i->p);
  if (n) p[0] = i->y;
  mt_path from = i->x & 4 ? c->at[0].rtcp : c->at[0].path;
  if (i->x & 2) from.ip[0] = 11;
  /* A plain transport knows its client only by the address. */
  else if (c->plain && c->comedia && !c->at[0].proved) c->at[0].proved = fuzz_now;
  fuzz_datagram(c, &from, p, n);
}

void fuzz_dtls(client *c, const instruction *i) {
  uint8_t p[256] = {22};
  mt_command cmd = {.type = MT_SEND_DTLS, .id = c->id};
  if (!c->alive) return;
  if (!(i->x & 1)) {
    fuzz_datagram(c, &c->at[0].path, p, i->y);
    return;
  }
  cmd.u.data.len = i->y ? i->y : 1;
  cmd.u.data.bytes = malloc(cmd.u.data.len);
  HOLDS(cmd.u.data.bytes, "no memory");
  memset(cmd.u.data.bytes, 22, cmd.u.data.len);
  fuzz_command(c->home, &cmd);
  mt_command_release(&cmd);
}
