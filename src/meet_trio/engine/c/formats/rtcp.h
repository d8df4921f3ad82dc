/* RTCP (RFC 3550 section 6, RFC 4585, RFC 5104, REMB, transport-cc): a walker over compound packets, readers of the packets that an
 * SFU uses, and writers of those that it sends.
 *
 * The functions keep no state and allocate nothing. mt_rtcp_next_untrusted checks the common header and the padding once; a reader
 * then only has to stay inside `body_len`. A reader returns false for a packet of another type and for one that is too short alike.
 * Reduced-size RTCP (RFC 5506) needs no special care: the first packet of a datagram may be of any type.
 *
 * A writer writes one packet at `out` and returns its length in bytes. It returns 0 if the packet does not fit the `cap` bytes
 * there or has too many entries for RTCP. Encryption is not done here (formats/srtp.h).
 */
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
/* Feedback message types (FMT): RFC 4585 sections 6.2 and 6.3, RFC 5104 section 4.3.1, transport-cc; AFB carries REMB. */
enum { MT_RTPFB_NACK = 1, MT_RTPFB_TRANSPORT_CC = 15, MT_PSFB_PLI = 1, MT_PSFB_FIR = 4, MT_PSFB_AFB = 15 };

typedef struct {
  uint8_t type;        /* MT_RTCP_… */
  uint8_t count;       /* RC, SC or FMT, by type */
  const uint8_t *body; /* after the common header of 4 bytes */
  uint16_t body_len;   /* bytes, without padding */
} mt_rtcp_packet;

/* Reads the next packet of a compound packet of `n` bytes. `*offset` is 0 at first, and then the offset after the packet read.
 * False: the compound packet ends, or its next packet is malformed. */
bool mt_rtcp_next_untrusted(const uint8_t *p, size_t n, size_t *offset, mt_rtcp_packet *out);

typedef struct {
  uint32_t ssrc;
  uint8_t fraction_lost;                 /* 256ths */
  int32_t total_lost;                    /* packets; signed, 24 bits */
  uint32_t highest_sequence;             /* extended, 32 bits */
  uint32_t jitter;                       /* clock units */
  uint32_t last_sr, delay_since_last_sr; /* 1/65536 s; last_sr is the middle of an NTP time */
} mt_rtcp_report;                        /* RFC 3550 section 6.4.1 */

typedef struct {
  uint32_t ssrc;
  uint64_t ntp; /* seconds, 32.32 fixed point */
  uint32_t rtp_timestamp;
  uint32_t packets, octets; /* sent so far; octets of payload */
} mt_rtcp_sender_info;      /* RFC 3550 section 6.4.1 */

/* An SR's sender info. False: the packet is no SR or too short. */
bool mt_rtcp_read_sender_info(const mt_rtcp_packet *p, mt_rtcp_sender_info *out);
/* The `i`-th report block of an SR or RR. False: there is none. */
bool mt_rtcp_read_report(const mt_rtcp_packet *p, unsigned i, mt_rtcp_report *out);
/* The sender's and the media SSRC of an RTPFB or PSFB (RFC 4585 section 6.1). False: the packet is of another type or too short. */
bool mt_rtcp_read_feedback(const mt_rtcp_packet *p, uint32_t *sender, uint32_t *media);
/* The `i`-th PID and BLP of a NACK (RFC 4585 section 6.2.1). False: there is none. */
bool mt_rtcp_read_nack(const mt_rtcp_packet *p, unsigned i, uint16_t *pid, uint16_t *blp);
/* The `i`-th entry of a FIR (RFC 5104 section 4.3.1.1). False: there is none. */
bool mt_rtcp_read_fir(const mt_rtcp_packet *p, unsigned i, uint32_t *ssrc, uint8_t *sequence);
/* The bitrate of a REMB in bit/s, at most UINT64_MAX (draft-alvestrand-rmcat-remb-03 section 2.2). False: the packet is no REMB. */
bool mt_rtcp_read_remb(const mt_rtcp_packet *p, uint64_t *bitrate);
/* The `i`-th SSRC of a BYE (RFC 3550 section 6.6). False: there is none. */
bool mt_rtcp_read_bye(const mt_rtcp_packet *p, unsigned i, uint32_t *ssrc);

/* A transport-cc feedback packet (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1) and a reader's place in it. It
 * points into the packet, which must outlive it. */
typedef struct {
  uint16_t base_sequence, packet_count;
  uint32_t reference_time; /* units of 64 ms, 24 bits that wrap */
  uint8_t feedback_count;
  /* private to rtcp.c */
  const uint8_t *body;
  uint16_t chunk, delta; /* offsets in the body: of the current status chunk, of the next delta */
  uint16_t in_chunk;     /* packets of the current chunk that are done */
  uint16_t done;         /* packets that are done */
  int32_t ticks;         /* arrival time of the last packet that was received */
} mt_rtcp_twcc;
typedef struct {
  uint16_t sequence; /* of the first packet */
  uint16_t count;    /* packets; above 1 only for a run of packets that were not received */
  bool received;
  int64_t arrival; /* microseconds since the reference time, and possibly before it; 0 if not received */
} mt_rtcp_arrival;

/* False: the packet is of another type or malformed. All of it is checked here, in time linear in its bytes. */
bool mt_rtcp_read_twcc(const mt_rtcp_packet *p, mt_rtcp_twcc *out);
/* The next packet that the feedback reports, or the next run of packets that were not received. A run of any length is one step,
 * so that a few bytes cause little work. False: there are no more. */
bool mt_rtcp_next_twcc(mt_rtcp_twcc *t, mt_rtcp_arrival *out);

/* `count`: reports, at most 31. */
size_t mt_rtcp_write_sr(uint8_t *out, size_t cap, const mt_rtcp_sender_info *info, const mt_rtcp_report *reports, unsigned count);
size_t mt_rtcp_write_rr(uint8_t *out, size_t cap, uint32_t sender, const mt_rtcp_report *reports, unsigned count);
size_t mt_rtcp_write_sdes_cname(uint8_t *out, size_t cap, uint32_t ssrc, const char *cname, size_t cname_len);
size_t mt_rtcp_write_bye(uint8_t *out, size_t cap, uint32_t ssrc);
size_t mt_rtcp_write_pli(uint8_t *out, size_t cap, uint32_t sender, uint32_t media);
size_t mt_rtcp_write_fir(uint8_t *out, size_t cap, uint32_t sender, uint32_t media, uint8_t sequence);
/* `sequences`: ascending modulo 2^16. Each pair of PID and BLP covers as many of them as it can. Returns 0 also if `count` is 0. */
size_t mt_rtcp_write_nack(uint8_t *out, size_t cap, uint32_t sender, uint32_t media, const uint16_t *sequences, unsigned count);
/* `bitrate`: bit/s; it is rounded down to the 18 bits of its mantissa. At most 255 SSRCs. */
size_t mt_rtcp_write_remb(uint8_t *out, size_t cap, uint32_t sender, uint64_t bitrate, const uint32_t *ssrcs, unsigned count);
/* `arrivals[i]` is the arrival time of packet `base` + i in microseconds, or -1 if it has not come. The feedback covers as many
 * packets as fit `cap`, one feedback packet and the range of its deltas; `*consumed` receives their number. Returns 0 also if no
 * packet has come: without an arrival there is no reference time. */
size_t mt_rtcp_write_twcc(uint8_t *out, size_t cap, uint32_t sender, uint32_t media, uint16_t base, const int64_t *arrivals,
                          unsigned count, uint8_t feedback_count, unsigned *consumed);

#endif
