/* Moves of clients: they send RTP. */
#include "world.h"

static size_t write_descriptor(client *c, const instruction *i, mt_codec codec, uint8_t *out) {
  bool start = i->y & RTP_START, key = i->y & RTP_KEY;
  if (i->n & RTP_BARE) return 0;
  switch (codec) {
  case MT_CODEC_VP8: { /* RFC 7741 section 4.2; the form that browsers send unless `m` wants another */
    uint8_t form = i->m & 3 ? (uint8_t)(i->m >> 4 & 0xf0) : 0xe0;
    size_t n = 0;
    if (start) c->picture++;
    out[n++] = (uint8_t)((form ? 0x80 : 0) | (start ? 0x10 : 0) | (i->m & 4 ? 1 : 0));
    if (form) out[n++] = form;
    if (form & 0x80 && i->m & 8) out[n++] = c->picture & 0x7f;
    else if (form & 0x80) mt_store16(out + n, c->picture | 0x8000), n += 2;
    if (form & 0x40) out[n++] = (uint8_t)c->picture;
    if (form & 0x30) out[n++] = 0x20;
    static const uint8_t head[] = {0, 0, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x68, 1};
    memcpy(out + n, head, sizeof head);
    out[n] = key ? 0 : 1;
    return n + sizeof head;
  }
  case MT_CODEC_VP9: { /* RFC 9628 section 4.2; with picture id and layers if `m` wants them */
    out[0] = (uint8_t)((start ? 0x08 : 0x00) | (key ? 0 : 0x40));
    if (!(i->m & 3)) return 1;
    out[0] |= (uint8_t)(0xa0 | (i->m & 4) | (i->m >> 3 & 1)); /* I and L; E, Z */
    if (start) c->picture++;
    mt_store16(out + 1, c->picture | 0x8000);
    out[3] = (uint8_t)(i->m >> 4);
    out[4] = (uint8_t)c->picture;
    return 5;
  }
  case MT_CODEC_AV1:
    if (start) c->picture++;
    out[0] = key ? 0x18 : 0x10;
    return 1;
  case MT_CODEC_H264: out[0] = key ? 0x67 : 0x41; return 1;
  case MT_CODEC_OTHER: break;
  }
  return 0;
}

/* A Dependency Descriptor of the structure L3T3_KEY, which comes with key frames; `m` chooses the template. */
static size_t write_dependency(const client *c, const instruction *i, uint8_t *out) {
  static const uint8_t structure[] = {0xfc, 0x00, 0x64, 0x87, 0x88, 0x16, 0x16, 0x17, 0xaa, 0xaa, 0x80, 0x02, 0xa0,
                                      0x00, 0x90, 0x00, 0x10, 0xaa, 0xa0, 0x00, 0xa8, 0x00, 0x24, 0x00, 0x04, 0x00,
                                      0xa8, 0x00, 0x2a, 0x00, 0x09, 0x00, 0x01, 0x00, 0x00, 0x6d, 0x54, 0x90, 0x6d,
                                      0x54, 0x90, 0x6d, 0x54, 0x8f, 0xfa, 0x80, 0x00, 0x64, 0x0b, 0x13, 0x9a, 0xa0,
                                      0x88, 0xa6, 0x2d, 0x35, 0x89, 0x91, 0x08, 0xdb, 0xe2, 0x8b, 0x12, 0x18};
  size_t n = i->y & RTP_KEY ? sizeof structure : 3;
  memcpy(out, structure, n);
  if (n == 3 || i->m & 3) out[0] = (uint8_t)(i->m >> 4 & 0x3f);
  else out[0] &= 0x3f;
  out[0] |= (uint8_t)((i->y & RTP_START ? 0x80 : 0) | (i->m & 4 ? 0x40 : 0));
  mt_store16(out + 1, c->picture);
  return n;
}

/* The codec of this client's first producer: its packets are meant for that one. */
static mt_codec codec_of(const client *c) {
  const mt_transport *t = mt_find_transport(fuzz_cores[c->home], c->id);
  if (!t || mt_list_empty(&t->producers)) return MT_CODEC_VP8;
  return MT_OF(t->producers.next, mt_producer, in_transport)->spec.codec;
}

static const char *mid_of(const client *c, unsigned which) {
  static char mid[3] = "m0";
  const mt_transport *t = mt_find_transport(fuzz_cores[c->home], c->id);
  unsigned k = 0;
  mid[1] = '0';
  if (!t) return mid;
  MT_EACH (item, &t->producers)
    if (k++ == which) mid[1] = MT_OF(item, mt_producer, in_transport)->spec.mid.text[1];
  return mid;
}

static int32_t jump(const instruction *i, unsigned which) {
  return which % JUMPS == JUMP_RAW ? (int16_t)i->q : fuzz_jumps[which % JUMPS];
}

static uint16_t next_twcc(client *c, const instruction *i) {
  uint16_t *w = c->twcc, n = (uint16_t)(w[i->p >> TWCC_FROM_SHIFT & 3] + jump(i, i->p >> TWCC_JUMP_SHIFT));
  if (!w[3]) w[1] = w[2] = w[3] = n;
  w[0] = n;
  if ((int16_t)(n - w[1]) > 0) w[1] = n;
  if ((int16_t)(n - w[2]) < 0) w[2] = n;
  return n;
}

void fuzz_send_rtp(client *c, const instruction *i) {
  uint8_t p[MT_DATAGRAM_MAX + 600], payload[MT_DATAGRAM_MAX], number[2], level = (uint8_t)i->m;
  if (!c->alive || !c->srtp) return;
  bool rtx = i->y & RTP_RTX;
  mt_codec codec = codec_of(c);
  uint8_t which = i->x, layer = (i->y & RTP_LAYER) >> 4;
  int64_t moved = (int64_t)c->next[which] - 1 + jump(i, i->p);
  uint64_t index = moved < 0 ? 0 : (uint64_t)moved;
  if (index >= c->next[which]) c->next[which] = index + 1;
  if (i->y & RTP_START) c->timestamp += 3000;
  char rid[2] = {'r', (char)('0' + layer)};
  mt_store16(number, next_twcc(c, i));
  const char *mid = mid_of(c, i->m >> 12 & 3);
  uint8_t dependency[UINT8_MAX];
  uint8_t dependency_len = codec == MT_CODEC_AV1 ? (uint8_t)write_dependency(c, i, dependency) : 0;
  mt_rtp_ext_out ext[] = {{i->y & RTP_MID ? 1 : 0, 2, (const uint8_t *)mid},
                          {i->y & RTP_RID ? (rtx ? 3 : 2) : 0, 2, (const uint8_t *)rid},
                          {4, 2, number},
                          {i->n & RTP_LEVEL ? 5 : 0, 1, &level},
                          {i->n & RTP_LEVEL ? 6 : 0, 1, &level},
                          {dependency_len ? 7 : 0, dependency_len, dependency}};
  uint8_t pt = rtx ? 97 : codec == MT_CODEC_OTHER ? 98 : 96;
  size_t header = mt_rtp_write_header(p, sizeof p, pt, i->y & RTP_MARKER, (uint16_t)index, c->timestamp, FIRST_SSRC + which, ext,
                                      sizeof ext / sizeof *ext, NULL);
  size_t n = 0;
  if (rtx) {
    mt_store16(payload, (uint16_t)(c->next[layer] - 1 - (i->m & 63)));
    n = 2;
  }
  n += write_descriptor(c, i, codec, payload + n);
  mt_store32(payload + n, ++fuzz_serial);
  n += 4;
  for (size_t size = i->n & RTP_SIZE; n < size && n < sizeof payload; n++) payload[n] = (uint8_t)n;
  if (i->n & RTP_PADDING) { /* and nothing else: a bandwidth probe */
    p[0] |= 0x20;
    n = 1 + (i->n & 0xff) % 255;
    memset(payload, 0, n);
    payload[n - 1] = (uint8_t)n;
  }
  if (header + n + MT_SRTP_MAX_OVERHEAD > MT_DATAGRAM_MAX) n = MT_DATAGRAM_MAX - header - MT_SRTP_MAX_OVERHEAD;
  size_t len = header + n;
  if (c->plain) memcpy(p + header, payload, n);
  else len = __real_mt_srtp_protect(c->srtp, index, p, header, 0, payload, n);
  if (!len) return;
  if (i->n & RTP_UNAUTHENTIC) p[len - 1] ^= 1;
  if (c->plain && c->comedia && !c->at[0].proved) c->at[0].proved = fuzz_now;
  fuzz_datagram(c, i->n & RTP_BY_RTCP_PORT ? &c->at[0].rtcp : &c->at[0].path, p, len);
}
