/* See rtcp.h.
 *
 * Transport-cc feedback is checked in one pass and read in a second one, because its deltas begin where its status chunks end. It is written from small
 * arrays on the stack, and so it covers at most TWCC_MAX_PACKETS packets.
 */
#include "formats/rtcp.h"

#include "base/bytes.h"

#include <string.h>

/* The first byte of the common header (RFC 3550 section 6.4.1) */
enum {
  VERSION_SHIFT = 6,
  VERSION = 2,
  PADDING_BIT = 0x20,
  MAX_COUNT = 0x1f, /* 5 bits: report blocks, sources or FMT */
};

/* Lengths in bytes */
enum {
  COMMON_HEADER = 4,
  SSRC_LEN = 4,
  SENDER_INFO = 24, /* with the SSRC */
  REPORT = 24,
  SDES_ITEM_HEADER = 2,
  FEEDBACK_HEADER = 8, /* the sender's and the media SSRC */
  NACK_ENTRY = 4,
  FIR_ENTRY = 8,
  REMB_HEADER = 8, /* identifier, number of SSRCs, bitrate */
  TWCC_HEADER = FEEDBACK_HEADER + 8,
  TWCC_CHUNK = 2,
};

enum {
  SDES_CNAME = 1,
  MIN_TOTAL_LOST = -0x800000, /* packets: the range of 24 bits */
  MAX_TOTAL_LOST = 0x7fffff,
  BLP_BITS = 16,
  REMB_ID = 0x52454d42, /* "REMB" */
  REMB_MAX_MANTISSA = 0x3ffff,
  REMB_MANTISSA_BITS = 18,
};

/* Transport-cc (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1) */
enum {
  TWCC_MAX_PACKETS = 1024,
  TWCC_TICK_US = 250,         /* the unit of deltas */
  TWCC_REFERENCE_TICKS = 256, /* 64 ms, the unit of reference times */
  CHUNK_VECTOR = 0x8000,      /* the chunk is a vector of symbols, not a run of one symbol */
  CHUNK_TWO_BITS = 0x4000,    /* a symbol of the vector has two bits, not one */
  CHUNK_RUN_SHIFT = 13,
  CHUNK_MAX_RUN = 0x1fff, /* packets */
  ONE_BIT_SYMBOLS = 14,   /* in a vector */
  TWO_BIT_SYMBOLS = 7,
  /* status symbols; the value of a symbol is also the length of its delta in bytes */
  SYMBOL_LOST = 0,
  SYMBOL_SMALL = 1,
  SYMBOL_LARGE = 2,
};

/* ---- reading ---- */

bool mt_rtcp_next_untrusted(const uint8_t *p, size_t n, size_t *offset, mt_rtcp_packet *out) {
  if (*offset > n || n - *offset < COMMON_HEADER) return false;
  const uint8_t *h = p + *offset;
  size_t len = COMMON_HEADER + 4 * (size_t)mt_load16(h + 2);
  if (h[0] >> VERSION_SHIFT != VERSION || len > n - *offset) return false;
  size_t body_len = len - COMMON_HEADER;
  if (h[0] & PADDING_BIT) {
    if (body_len == 0) return false;
    uint8_t padding = h[len - 1]; /* counts itself */
    if (padding == 0 || padding > body_len) return false;
    body_len -= padding;
  }
  if (body_len > UINT16_MAX) return false;
  out->type = h[1];
  out->count = h[0] & MAX_COUNT;
  out->body = h + COMMON_HEADER;
  out->body_len = (uint16_t)body_len;
  *offset += len;
  return true;
}

bool mt_rtcp_read_sender_info(const mt_rtcp_packet *p, mt_rtcp_sender_info *out) {
  const uint8_t *b = p->body;
  if (p->type != MT_RTCP_SR || p->body_len < SENDER_INFO) return false;
  out->ssrc = mt_load32(b);
  out->ntp = (uint64_t)mt_load32(b + 4) << 32 | mt_load32(b + 8);
  out->rtp_timestamp = mt_load32(b + 12);
  out->packets = mt_load32(b + 16);
  out->octets = mt_load32(b + 20);
  return true;
}

bool mt_rtcp_read_report(const mt_rtcp_packet *p, unsigned i, mt_rtcp_report *out) {
  if ((p->type != MT_RTCP_SR && p->type != MT_RTCP_RR) || i >= p->count) return false;
  size_t at = (p->type == MT_RTCP_SR ? SENDER_INFO : SSRC_LEN) + (size_t)i * REPORT;
  if (at + REPORT > p->body_len) return false;
  const uint8_t *b = p->body + at;
  uint32_t lost = mt_load24(b + 5);
  out->ssrc = mt_load32(b);
  out->fraction_lost = b[4];
  out->total_lost = lost & 0x800000 ? (int32_t)lost - 0x1000000 : (int32_t)lost;
  out->highest_sequence = mt_load32(b + 8);
  out->jitter = mt_load32(b + 12);
  out->last_sr = mt_load32(b + 16);
  out->delay_since_last_sr = mt_load32(b + 20);
  return true;
}

bool mt_rtcp_read_feedback(const mt_rtcp_packet *p, uint32_t *sender, uint32_t *media) {
  if ((p->type != MT_RTCP_RTPFB && p->type != MT_RTCP_PSFB) || p->body_len < FEEDBACK_HEADER) return false;
  *sender = mt_load32(p->body);
  *media = mt_load32(p->body + 4);
  return true;
}

/* The `i`-th entry of `size` bytes behind the two SSRCs of a feedback packet. NULL: there is none. */
static const uint8_t *feedback_entry(const mt_rtcp_packet *p, uint8_t type, uint8_t format, unsigned i, size_t size) {
  if (p->type != type || p->count != format) return NULL;
  size_t at = FEEDBACK_HEADER + i * size;
  return at + size <= p->body_len ? p->body + at : NULL;
}

bool mt_rtcp_read_nack(const mt_rtcp_packet *p, unsigned i, uint16_t *pid, uint16_t *blp) {
  const uint8_t *b = feedback_entry(p, MT_RTCP_RTPFB, MT_RTPFB_NACK, i, NACK_ENTRY);
  if (!b) return false;
  *pid = mt_load16(b);
  *blp = mt_load16(b + 2);
  return true;
}

bool mt_rtcp_read_fir(const mt_rtcp_packet *p, unsigned i, uint32_t *ssrc, uint8_t *sequence) {
  const uint8_t *b = feedback_entry(p, MT_RTCP_PSFB, MT_PSFB_FIR, i, FIR_ENTRY);
  if (!b) return false;
  *ssrc = mt_load32(b);
  *sequence = b[4];
  return true;
}

bool mt_rtcp_read_remb(const mt_rtcp_packet *p, uint64_t *bitrate) {
  const uint8_t *b = feedback_entry(p, MT_RTCP_PSFB, MT_PSFB_AFB, 0, REMB_HEADER);
  if (!b || mt_load32(b) != REMB_ID || (size_t)p->body_len < FEEDBACK_HEADER + REMB_HEADER + SSRC_LEN * (size_t)b[4]) return false;
  unsigned exponent = b[5] >> 2;
  uint64_t mantissa = mt_load24(b + 5) & REMB_MAX_MANTISSA;
  *bitrate = mantissa > UINT64_MAX >> exponent ? UINT64_MAX : mantissa << exponent;
  return true;
}

bool mt_rtcp_read_bye(const mt_rtcp_packet *p, unsigned i, uint32_t *ssrc) {
  if (p->type != MT_RTCP_BYE || i >= p->count || SSRC_LEN * ((size_t)i + 1) > p->body_len) return false;
  *ssrc = mt_load32(p->body + SSRC_LEN * (size_t)i);
  return true;
}

/* The number of packets that a status chunk covers. */
static unsigned chunk_length(uint16_t chunk) {
  if (!(chunk & CHUNK_VECTOR)) return chunk & CHUNK_MAX_RUN;
  return chunk & CHUNK_TWO_BITS ? TWO_BIT_SYMBOLS : ONE_BIT_SYMBOLS;
}

/* The status symbol of the `k`-th packet of a chunk. */
static unsigned chunk_symbol(uint16_t chunk, unsigned k) {
  if (!(chunk & CHUNK_VECTOR)) return chunk >> CHUNK_RUN_SHIFT & 3;
  return chunk & CHUNK_TWO_BITS ? chunk >> (12 - 2 * k) & 3 : chunk >> (13 - k) & 1;
}

/* The bytes of the deltas of a chunk's first `n` packets. False: a symbol is reserved. */
static bool chunk_deltas(uint16_t chunk, unsigned n, size_t *bytes) {
  if (!(chunk & CHUNK_VECTOR)) {
    unsigned symbol = chunk_symbol(chunk, 0);
    *bytes = (size_t)n * symbol;
    return n == 0 || symbol <= SYMBOL_LARGE;
  }
  *bytes = 0;
  for (unsigned k = 0; k < n; k++) {
    unsigned symbol = chunk_symbol(chunk, k);
    if (symbol > SYMBOL_LARGE) return false;
    *bytes += symbol;
  }
  return true;
}

bool mt_rtcp_read_twcc(const mt_rtcp_packet *p, mt_rtcp_twcc *out) {
  const uint8_t *b = p->body;
  size_t n = p->body_len, chunks = TWCC_HEADER, deltas = 0;
  if (p->type != MT_RTCP_RTPFB || p->count != MT_RTPFB_TRANSPORT_CC || n < TWCC_HEADER) return false;
  *out = (mt_rtcp_twcc){
      .base_sequence = mt_load16(b + 8),
      .packet_count = mt_load16(b + 10),
      .reference_time = mt_load24(b + 12),
      .feedback_count = b[15],
      .body = b,
      .chunk = TWCC_HEADER,
  };
  for (unsigned left = out->packet_count; left > 0; chunks += TWCC_CHUNK) {
    if (n - chunks < TWCC_CHUNK) return false;
    uint16_t chunk = mt_load16(b + chunks);
    unsigned covered = chunk_length(chunk) < left ? chunk_length(chunk) : left;
    size_t bytes;
    if (!covered || !chunk_deltas(chunk, covered, &bytes)) return false;
    deltas += bytes;
    left -= covered;
  }
  if (n - chunks < deltas) return false;
  out->delta = (uint16_t)chunks;
  return true;
}

bool mt_rtcp_next_twcc(mt_rtcp_twcc *t, mt_rtcp_arrival *out) {
  if (t->done == t->packet_count) return false;
  uint16_t chunk = mt_load16(t->body + t->chunk);
  if (t->in_chunk == chunk_length(chunk)) {
    t->chunk += TWCC_CHUNK;
    t->in_chunk = 0;
    chunk = mt_load16(t->body + t->chunk);
  }
  unsigned symbol = chunk_symbol(chunk, t->in_chunk), count = 1;
  if (symbol == SYMBOL_LOST && !(chunk & CHUNK_VECTOR)) {
    unsigned left = (unsigned)t->packet_count - t->done;
    count = chunk_length(chunk) < left ? chunk_length(chunk) : left;
  }
  if (symbol == SYMBOL_SMALL) t->ticks += t->body[t->delta];
  if (symbol == SYMBOL_LARGE) t->ticks += (int16_t)mt_load16(t->body + t->delta);
  *out = (mt_rtcp_arrival){
      .sequence = (uint16_t)(t->base_sequence + t->done),
      .count = (uint16_t)count,
      .received = symbol != SYMBOL_LOST,
      .arrival = symbol == SYMBOL_LOST ? 0 : (int64_t)t->ticks * TWCC_TICK_US,
  };
  t->delta = (uint16_t)(t->delta + symbol);
  t->in_chunk = (uint16_t)(t->in_chunk + count);
  t->done = (uint16_t)(t->done + count);
  return true;
}

/* ---- writing ---- */

/* `len`: bytes of the whole packet, a multiple of 4. */
static void write_common(uint8_t *out, unsigned count, uint8_t type, size_t len) {
  out[0] = (uint8_t)(VERSION << VERSION_SHIFT | count);
  out[1] = type;
  mt_store16(out + 2, (uint16_t)(len / 4 - 1));
}

static void write_reports(uint8_t *out, const mt_rtcp_report *reports, unsigned count) {
  for (unsigned i = 0; i < count; i++, out += REPORT) {
    const mt_rtcp_report *r = &reports[i];
    int32_t lost = r->total_lost;
    if (lost > MAX_TOTAL_LOST) lost = MAX_TOTAL_LOST;
    if (lost < MIN_TOTAL_LOST) lost = MIN_TOTAL_LOST;
    mt_store32(out, r->ssrc);
    out[4] = r->fraction_lost;
    mt_store24(out + 5, (uint32_t)lost & 0xffffff);
    mt_store32(out + 8, r->highest_sequence);
    mt_store32(out + 12, r->jitter);
    mt_store32(out + 16, r->last_sr);
    mt_store32(out + 20, r->delay_since_last_sr);
  }
}

size_t mt_rtcp_write_sr(uint8_t *out, size_t cap, const mt_rtcp_sender_info *info, const mt_rtcp_report *reports, unsigned count) {
  size_t len = COMMON_HEADER + SENDER_INFO + (size_t)count * REPORT;
  if (count > MAX_COUNT || len > cap) return 0;
  write_common(out, count, MT_RTCP_SR, len);
  mt_store32(out + 4, info->ssrc);
  mt_store32(out + 8, (uint32_t)(info->ntp >> 32));
  mt_store32(out + 12, (uint32_t)info->ntp);
  mt_store32(out + 16, info->rtp_timestamp);
  mt_store32(out + 20, info->packets);
  mt_store32(out + 24, info->octets);
  write_reports(out + COMMON_HEADER + SENDER_INFO, reports, count);
  return len;
}

size_t mt_rtcp_write_rr(uint8_t *out, size_t cap, uint32_t sender, const mt_rtcp_report *reports, unsigned count) {
  size_t len = COMMON_HEADER + SSRC_LEN + (size_t)count * REPORT;
  if (count > MAX_COUNT || len > cap) return 0;
  write_common(out, count, MT_RTCP_RR, len);
  mt_store32(out + 4, sender);
  write_reports(out + COMMON_HEADER + SSRC_LEN, reports, count);
  return len;
}

size_t mt_rtcp_write_sdes_cname(uint8_t *out, size_t cap, uint32_t ssrc, const char *cname, size_t cname_len) {
  /* One to four zeros end the list of items and fill the last word. */
  size_t len = COMMON_HEADER + ((SSRC_LEN + SDES_ITEM_HEADER + cname_len) / 4 + 1) * 4;
  if (cname_len > UINT8_MAX || len > cap) return 0;
  memset(out, 0, len);
  write_common(out, 1, MT_RTCP_SDES, len);
  mt_store32(out + 4, ssrc);
  out[8] = SDES_CNAME;
  out[9] = (uint8_t)cname_len;
  if (cname_len) memcpy(out + 10, cname, cname_len);
  return len;
}

size_t mt_rtcp_write_bye(uint8_t *out, size_t cap, uint32_t ssrc) {
  enum { LEN = COMMON_HEADER + SSRC_LEN };
  if (cap < LEN) return 0;
  write_common(out, 1, MT_RTCP_BYE, LEN);
  mt_store32(out + 4, ssrc);
  return LEN;
}

static void write_feedback(uint8_t *out, uint8_t type, unsigned format, size_t len, uint32_t sender, uint32_t media) {
  write_common(out, format, type, len);
  mt_store32(out + 4, sender);
  mt_store32(out + 8, media);
}

size_t mt_rtcp_write_pli(uint8_t *out, size_t cap, uint32_t sender, uint32_t media) {
  enum { LEN = COMMON_HEADER + FEEDBACK_HEADER };
  if (cap < LEN) return 0;
  write_feedback(out, MT_RTCP_PSFB, MT_PSFB_PLI, LEN, sender, media);
  return LEN;
}

size_t mt_rtcp_write_fir(uint8_t *out, size_t cap, uint32_t sender, uint32_t media, uint8_t sequence) {
  enum { LEN = COMMON_HEADER + FEEDBACK_HEADER + FIR_ENTRY };
  if (cap < LEN) return 0;
  write_feedback(out, MT_RTCP_PSFB, MT_PSFB_FIR, LEN, sender, 0); /* the media SSRC is 0 (RFC 5104 section 4.3.1.2) */
  mt_store32(out + 12, media);
  mt_store32(out + 16, (uint32_t)sequence << 24);
  return LEN;
}

size_t mt_rtcp_write_nack(uint8_t *out, size_t cap, uint32_t sender, uint32_t media, const uint16_t *sequences, unsigned count) {
  size_t len = COMMON_HEADER + FEEDBACK_HEADER;
  if (count == 0) return 0;
  for (unsigned i = 0; i < count;) {
    uint16_t pid = sequences[i++], blp = 0;
    for (; i < count && (uint16_t)(sequences[i] - pid) <= BLP_BITS; i++)
      if (sequences[i] != pid) blp |= (uint16_t)(1u << ((uint16_t)(sequences[i] - pid) - 1));
    if (len + NACK_ENTRY > cap || len / 4 > UINT16_MAX) return 0;
    mt_store16(out + len, pid);
    mt_store16(out + len + 2, blp);
    len += NACK_ENTRY;
  }
  write_feedback(out, MT_RTCP_RTPFB, MT_RTPFB_NACK, len, sender, media);
  return len;
}

size_t mt_rtcp_write_remb(uint8_t *out, size_t cap, uint32_t sender, uint64_t bitrate, const uint32_t *ssrcs, unsigned count) {
  size_t len = COMMON_HEADER + FEEDBACK_HEADER + REMB_HEADER + SSRC_LEN * (size_t)count;
  unsigned exponent = 0;
  if (count > UINT8_MAX || len > cap) return 0;
  while (bitrate >> exponent > REMB_MAX_MANTISSA) exponent++;
  write_feedback(out, MT_RTCP_PSFB, MT_PSFB_AFB, len, sender, 0);
  mt_store32(out + 12, REMB_ID);
  mt_store32(out + 16, count << 24 | exponent << REMB_MANTISSA_BITS | (uint32_t)(bitrate >> exponent));
  for (unsigned i = 0; i < count; i++) mt_store32(out + COMMON_HEADER + FEEDBACK_HEADER + REMB_HEADER + SSRC_LEN * i, ssrcs[i]);
  return len;
}

/* The chunk that covers most of the `n` symbols: a run if it covers at least as many as a vector, or all of them. */
static uint16_t choose_chunk(const uint8_t *symbols, unsigned n, unsigned *covered) {
  unsigned run = 1, narrow = 0;
  while (run < n && run < CHUNK_MAX_RUN && symbols[run] == symbols[0]) run++;
  while (narrow < n && narrow < ONE_BIT_SYMBOLS && symbols[narrow] != SYMBOL_LARGE) narrow++;
  bool one_bit = narrow == ONE_BIT_SYMBOLS || narrow == n;
  unsigned vector = one_bit ? ONE_BIT_SYMBOLS : TWO_BIT_SYMBOLS;
  if (run == n || run >= vector) {
    *covered = run;
    return (uint16_t)(symbols[0] << CHUNK_RUN_SHIFT | run);
  }
  *covered = n < vector ? n : vector;
  unsigned chunk = one_bit ? CHUNK_VECTOR : CHUNK_VECTOR | CHUNK_TWO_BITS;
  for (unsigned k = 0; k < *covered; k++) chunk |= (unsigned)symbols[k] << (one_bit ? 13 - k : 12 - 2 * k);
  return (uint16_t)chunk;
}

size_t mt_rtcp_write_twcc(uint8_t *out, size_t cap, uint32_t sender, uint32_t media, uint16_t base, const int64_t *arrivals,
                          unsigned count, uint8_t feedback_count, unsigned *consumed) {
  uint8_t symbols[TWCC_MAX_PACKETS], deltas[2 * TWCC_MAX_PACKETS];
  unsigned n = 0, first = 0, done = 0;
  size_t chunks_len = 0, deltas_len = 0;
  *consumed = 0;
  cap &= ~(size_t)3; /* padding to whole words must fit too */
  if (count > TWCC_MAX_PACKETS) count = TWCC_MAX_PACKETS;
  while (first < count && arrivals[first] < 0) first++;
  if (first == count) return 0;

  /* Arrival times are rounded to ticks before they are subtracted, so that rounding errors do not add up. */
  int64_t reference = arrivals[first] / (TWCC_TICK_US * TWCC_REFERENCE_TICKS);
  int64_t previous = reference * TWCC_REFERENCE_TICKS;
  int16_t steps[TWCC_MAX_PACKETS];
  for (; n < count; n++) {
    if (arrivals[n] < 0) {
      symbols[n] = SYMBOL_LOST;
      continue;
    }
    int64_t tick = arrivals[n] / TWCC_TICK_US, step = tick - previous;
    if (step < INT16_MIN || step > INT16_MAX) break; /* the next feedback packet has a reference time of its own */
    symbols[n] = step >= 0 && step <= UINT8_MAX ? SYMBOL_SMALL : SYMBOL_LARGE;
    steps[n] = (int16_t)step;
    previous = tick;
  }

  uint8_t *chunks = out + COMMON_HEADER + TWCC_HEADER;
  while (done < n) {
    unsigned covered, fitting = 0;
    uint16_t chunk = choose_chunk(symbols + done, n - done, &covered);
    size_t need = COMMON_HEADER + TWCC_HEADER + chunks_len + TWCC_CHUNK + deltas_len;
    for (; fitting < covered && need + symbols[done + fitting] <= cap; fitting++) need += symbols[done + fitting];
    if (fitting == 0) break;
    if (fitting < covered) { /* the feedback packet is full */
      n = done + fitting;
      chunk = choose_chunk(symbols + done, fitting, &covered);
    }
    mt_store16(chunks + chunks_len, chunk);
    chunks_len += TWCC_CHUNK;
    for (unsigned k = 0; k < covered; k++, done++) {
      if (symbols[done] == SYMBOL_SMALL) deltas[deltas_len] = (uint8_t)steps[done];
      if (symbols[done] == SYMBOL_LARGE) mt_store16(deltas + deltas_len, (uint16_t)steps[done]);
      deltas_len += symbols[done];
    }
  }
  if (done <= first) return 0; /* no packet that has come fits */
  memcpy(chunks + chunks_len, deltas, deltas_len);
  size_t len = COMMON_HEADER + TWCC_HEADER + chunks_len + deltas_len;
  /* The padding is zeros without the P bit, as in the draft's figure. With the P bit, aiortc refuses a body whose
   * length is no multiple of 4. */
  while (len % 4) out[len++] = 0;
  write_feedback(out, MT_RTCP_RTPFB, MT_RTPFB_TRANSPORT_CC, len, sender, media);
  mt_store16(out + 12, base);
  mt_store16(out + 14, (uint16_t)done);
  mt_store24(out + 16, (uint32_t)reference & 0xffffff);
  out[19] = feedback_count;
  *consumed = done;
  return len;
}
