/* RTCP (RFC 3550 §6, RFC 4585, RFC 5104, REMB, transport-cc): walk a compound packet, write the packets an SFU sends.
 * Pure; no allocation. Writers append at `out`, return the bytes written, 0 if they do not fit `cap`. */
#ifndef MT_FORMATS_RTCP_H
#define MT_FORMATS_RTCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  MT_RTCP_SR = 200,
  MT_RTCP_RR = 201,
  MT_RTCP_SDES = 202,
  MT_RTCP_BYE = 203,
  MT_RTCP_APP = 204,
  MT_RTCP_RTPFB = 205,
  MT_RTCP_PSFB = 206,
  MT_RTCP_XR = 207
};
enum { MT_RTPFB_NACK = 1, MT_RTPFB_TRANSPORT_CC = 15, MT_PSFB_PLI = 1, MT_PSFB_FIR = 4, MT_PSFB_AFB = 15 };

typedef struct {
  uint8_t type;        /* MT_RTCP_… */
  uint8_t count;       /* RC / SC / FMT */
  const uint8_t *body; /* after the 4-byte common header */
  uint16_t body_len;   /* without padding */
} mt_rtcp_packet;

/* Walk a compound packet: *offset starts at 0 and moves on. False at the end or at the first malformed packet. */
bool mt_rtcp_next_untrusted(const uint8_t *p, size_t n, size_t *offset, mt_rtcp_packet *out);

typedef struct {
  uint32_t ssrc;
  uint8_t fraction_lost;
  int32_t total_lost;                    /* 24-bit signed */
  uint32_t highest_sequence;             /* extended */
  uint32_t jitter;                       /* clock units */
  uint32_t last_sr, delay_since_last_sr; /* 1/65536 s */
} mt_rtcp_report;

typedef struct {
  uint32_t ssrc;
  uint64_t ntp; /* 32.32 */
  uint32_t rtp_timestamp, packets, octets;
} mt_rtcp_sender_info;

bool mt_rtcp_read_sender_info(const mt_rtcp_packet *p, mt_rtcp_sender_info *out); /* SR only */
/* `i`-th report block of an SR or RR; false when there is none */
bool mt_rtcp_read_report(const mt_rtcp_packet *p, unsigned i, mt_rtcp_report *out);
/* RTPFB/PSFB: sender and media SSRC; false if too short */
bool mt_rtcp_read_feedback(const mt_rtcp_packet *p, uint32_t *sender, uint32_t *media);
/* NACK: the `i`-th (PID, BLP) pair */
bool mt_rtcp_read_nack(const mt_rtcp_packet *p, unsigned i, uint16_t *pid, uint16_t *blp);
/* FIR: the `i`-th entry */
bool mt_rtcp_read_fir(const mt_rtcp_packet *p, unsigned i, uint32_t *ssrc, uint8_t *sequence);
/* REMB: bitrate in bit/s, saturating at UINT64_MAX; false if it is not REMB */
bool mt_rtcp_read_remb(const mt_rtcp_packet *p, uint64_t *bitrate);
/* BYE: the `i`-th SSRC */
bool mt_rtcp_read_bye(const mt_rtcp_packet *p, unsigned i, uint32_t *ssrc);

/* transport-cc (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1) */
typedef struct {
  uint16_t base_sequence, packet_count;
  uint32_t reference_time; /* as sent: 24 bits, units of 64 ms, wraps */
  uint8_t feedback_count;
} mt_rtcp_twcc_info;
/* Calls `visit(ctx, sequence, received, delta_us)` for each packet; delta_us relative to the previous received one (the first: to the reference
 * time). False if malformed (what was visited before stays visited). */
bool mt_rtcp_read_twcc(const mt_rtcp_packet *p, mt_rtcp_twcc_info *info,
                       void (*visit)(void *ctx, uint16_t sequence, bool received, int32_t delta_us), void *ctx);

size_t mt_rtcp_write_sr(uint8_t *out, size_t cap, const mt_rtcp_sender_info *info, const mt_rtcp_report *reports, unsigned count);
size_t mt_rtcp_write_rr(uint8_t *out, size_t cap, uint32_t sender, const mt_rtcp_report *reports, unsigned count);
size_t mt_rtcp_write_sdes_cname(uint8_t *out, size_t cap, uint32_t ssrc, const char *cname, size_t cname_len);
size_t mt_rtcp_write_bye(uint8_t *out, size_t cap, uint32_t ssrc);
size_t mt_rtcp_write_pli(uint8_t *out, size_t cap, uint32_t sender, uint32_t media);
size_t mt_rtcp_write_fir(uint8_t *out, size_t cap, uint32_t sender, uint32_t media, uint8_t sequence);
/* `sequences`: ascending (modulo 2^16); pairs are packed as tightly as PID/BLP allows */
size_t mt_rtcp_write_nack(uint8_t *out, size_t cap, uint32_t sender, uint32_t media, const uint16_t *sequences, unsigned count);
size_t mt_rtcp_write_remb(uint8_t *out, size_t cap, uint32_t sender, uint64_t bitrate, const uint32_t *ssrcs, unsigned count);
/* `arrivals[i]`: arrival time in µs of base + i, or -1 if it did not come. Writes as many as fit a packet and the deltas' range; *consumed
 * gets how many of `count` it covers. 0 when none of them came: without an arrival there is no reference time. */
size_t mt_rtcp_write_twcc(uint8_t *out, size_t cap, uint32_t sender, uint32_t media, uint16_t base, const int64_t *arrivals,
                          unsigned count, uint8_t feedback_count, unsigned *consumed);

#endif
