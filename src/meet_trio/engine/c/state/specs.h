/* The settings of a core, and the specifications that its objects are made from: plain values, which commands carry.
 *
 * A member that refers to memory or to a socket says who owns it.
 */
#ifndef MT_STATE_SPECS_H
#define MT_STATE_SPECS_H

#include "base/limits.h"
#include "formats/aead.h"
#include "formats/path.h"
#include "formats/srtp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint32_t history_packets;  /* packets of a video stream kept for retransmission; a power of two */
  uint32_t history_ms;       /* age at which a packet is dropped from the history */
  uint32_t dtls_per_second;  /* DTLS datagrams of a transport that go up to the handshake */
  uint32_t consent_ms;       /* without an authenticated STUN request for this long a path is dead (RFC 7675) */
  uint32_t pli_interval_ms;  /* least time between two key frame requests for a stream, and until one is repeated */
  uint32_t nack_delay_ms;    /* time that a packet may be late before the first NACK */
  uint32_t nack_interval_ms; /* least time between two NACKs for a packet */
  uint32_t nack_tries;       /* NACKs for a packet until it is given up */
  uint32_t layer_silence_ms; /* silence after which a stream is not active; see state/arriving.h */
  uint32_t excess_percent;   /* media accepted in the long run, in percent of the limit that the client is told */
  uint32_t excess_ms;        /* largest burst accepted: the bytes that the limit allows in this time */
  mt_aead_library aead;      /* of transports with AES-GCM */
  bool equal_lengths;        /* the packets of a frame are padded to one length where that takes a byte */
  uint64_t start_bitrate;    /* bit/s: estimate of a client's link before anything is known */
  uint64_t seed;             /* of random numbers and hashes */
  uint32_t udp_sockets;      /* of the engine: indices of a path's `udp_socket` are below */
} mt_settings;

typedef struct {
  uint32_t spatial, temporal;
} mt_layers; /* 0 is the lowest of each */

typedef struct {
  uint8_t len; /* bytes; no 0 byte follows */
  char text[MT_MAX_TEXT];
} mt_text;

typedef enum {
  MT_CODEC_OTHER, /* without key frames: audio */
  MT_CODEC_VP8,
  MT_CODEC_VP9,
  MT_CODEC_H264,
  MT_CODEC_AV1,
} mt_codec;

/* Header extensions that the core reads, writes or hands on. */
typedef enum {
  MT_EXT_MID,
  MT_EXT_RID,
  MT_EXT_REPAIRED_RID,
  MT_EXT_ABS_SEND_TIME,
  MT_EXT_TRANSPORT_CC,
  MT_EXT_AUDIO_LEVEL, /* this and the following ones are handed on unchanged */
  MT_EXT_VIDEO_ORIENTATION,
  MT_EXT_TRANSMISSION_OFFSET,
  MT_EXT_ABS_CAPTURE_TIME,
  MT_EXT_PLAYOUT_DELAY,
  MT_EXT_FRAME_MARKING,
  MT_EXT_FRAME_MARKING_07,
  MT_EXT_DEPENDENCY_DESCRIPTOR, /* of AV1 */
  MT_EXT_COUNT,
} mt_ext_kind;

/* The URI of each mt_ext_kind, as SDP writes it. */
extern const char *const mt_extension_uris[MT_EXT_COUNT];

typedef struct {
  uint32_t ssrc, rtx_ssrc; /* 0: not signaled */
  mt_text rid;             /* empty: none */
} mt_encoding_spec;

typedef struct {
  bool video;
  mt_codec codec;
  uint8_t payload_type;
  int16_t rtx_payload_type; /* -1: none */
  uint32_t clock_rate;      /* Hz */
  mt_text mid;              /* empty: none */
  uint8_t encoding_count;
  mt_encoding_spec encodings[MT_MAX_ENCODINGS]; /* lowest layer first */
  uint8_t ext_ids[MT_EXT_COUNT];                /* by mt_ext_kind; 0: not negotiated */
  bool nack, pli, fir, transport_cc, remb;      /* RTCP feedback that was negotiated with the client */
  bool paused;                                  /* from the beginning */
} mt_producer_spec;

typedef struct {
  uint32_t ssrc, rtx_ssrc; /* rtx_ssrc 0: none */
  int16_t rtx_payload_type;
  uint8_t payload_type;
  uint8_t ext_ids[MT_EXT_COUNT]; /* by mt_ext_kind; 0: not negotiated */
  mt_text mid;                   /* empty: none; its first bytes share a cache line with what is before */
  mt_text cname;
  bool nack, pli, fir; /* RTCP feedback that was negotiated with the client */
  bool paused;         /* from the beginning */
} mt_consumer_spec;

typedef struct {
  mt_text ufrag, password;
} mt_ice_spec;

typedef struct {
  uint32_t profile;                                       /* mt_srtp_profile */
  uint8_t tx[MT_SRTP_MAX_KEYING], rx[MT_SRTP_MAX_KEYING]; /* master key followed by master salt, to and from the client */
} mt_srtp_spec;

typedef struct { /* a datagram, whose memory belongs to the command */
  uint8_t *bytes;
  size_t len;
} mt_data;

typedef struct { /* what an earlier process has left of an object; see core/resume.h */
  mt_data blob;
  bool exact; /* it is as the process left it, not older */
} mt_resume_spec;

typedef struct {
  uint8_t family; /* 4 or 6 */
  uint8_t prefix; /* bits */
  uint8_t ip[16]; /* network byte order; IPv4: the first 4 */
} mt_network;

typedef struct {
  int rtp_fd, rtcp_fd; /* the command's own until the thread takes them (-1); the core knows sockets by the transport's id */
  bool comedia;        /* the first packet gives the client's address */
  uint8_t network_count;
  mt_network networks[MT_MAX_NETWORKS]; /* packets are taken from and sent to these only */
} mt_plain_spec;

typedef struct {
  mt_path rtp;        /* only family, port and ip are used */
  uint16_t rtcp_port; /* on the same ip */
} mt_remote_spec;

#endif
