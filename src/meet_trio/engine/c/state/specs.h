/* Settings of a core, and what its objects are made from: plain values that a command carries. */
#ifndef MT_STATE_SPECS_H
#define MT_STATE_SPECS_H

#include "base/limits.h"
#include "formats/path.h"
#include "formats/srtp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint32_t history_packets;  /* of a video stream, for retransmission; a power of two */
  uint32_t history_ms;       /* older packets are forgotten */
  uint32_t dtls_per_second;  /* DTLS datagrams of a transport that go up to the handshake */
  uint32_t consent_ms;       /* without an authenticated STUN request a path is dead (RFC 7675) */
  uint32_t pli_interval_ms;  /* least time between two key frame requests for a stream, and until one is repeated */
  uint32_t nack_delay_ms;    /* how long a packet may be late before it is asked for */
  uint32_t nack_interval_ms; /* least time until it is asked for again */
  uint32_t nack_tries;
  uint32_t layer_silence_ms; /* a layer without packets for that long is not arriving */
  uint32_t excess_percent;   /* of the limit that a client is told, what is taken of it in the long run */
  uint32_t excess_ms;        /* as much of the limit may come on top at once */
  uint64_t seed;             /* for sequence numbers, SSRCs and hashes */
} mt_settings;

typedef struct {
  uint8_t len;
  char text[MT_MAX_TEXT];
} mt_text;

typedef enum {
  MT_CODEC_OTHER, /* no notion of key frames: audio */
  MT_CODEC_VP8,
  MT_CODEC_VP9,
  MT_CODEC_H264,
} mt_codec;

/* Header extensions that are read or handed on. */
typedef enum {
  MT_EXT_MID,
  MT_EXT_RID,
  MT_EXT_REPAIRED_RID,
  MT_EXT_ABS_SEND_TIME,
  MT_EXT_TRANSPORT_CC,
  MT_EXT_AUDIO_LEVEL, /* this and those below are handed on as they are */
  MT_EXT_VIDEO_ORIENTATION,
  MT_EXT_TRANSMISSION_OFFSET,
  MT_EXT_ABS_CAPTURE_TIME,
  MT_EXT_PLAYOUT_DELAY,
  MT_EXT_FRAME_MARKING,
  MT_EXT_FRAME_MARKING_07,
  MT_EXT_COUNT,
} mt_ext_kind;

/* Of each mt_ext_kind, as SDP writes it. */
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
  uint32_t clock_rate;
  mt_text mid;
  uint8_t encoding_count; /* lowest layer first */
  mt_encoding_spec encodings[MT_MAX_ENCODINGS];
  uint8_t ext_ids[MT_EXT_COUNT]; /* 0: not negotiated */
  bool nack, pli, fir, transport_cc, remb, paused;
} mt_producer_spec;

typedef struct {
  uint32_t ssrc, rtx_ssrc; /* rtx_ssrc 0: none */
  uint8_t payload_type;
  int16_t rtx_payload_type;
  mt_text mid, cname;
  uint8_t ext_ids[MT_EXT_COUNT];
  bool nack, pli, fir, paused;
} mt_consumer_spec;

typedef struct {
  mt_text ufrag, password;
} mt_ice_spec;

typedef struct {
  uint32_t profile; /* mt_srtp_profile */
  uint8_t tx[MT_SRTP_MAX_KEYING], rx[MT_SRTP_MAX_KEYING];
} mt_srtp_spec;

typedef struct {
  uint8_t *bytes;
  size_t len;
} mt_data;

typedef struct {
  uint8_t family; /* 4 or 6 */
  uint8_t prefix; /* bits */
  uint8_t ip[16];
} mt_network;

typedef struct {
  int rtp_fd, rtcp_fd; /* the command's own until the thread takes them (-1); the core knows sockets by the transport's id */
  bool comedia;        /* the first packet says where the client is */
  uint8_t network_count;
  mt_network networks[MT_MAX_NETWORKS]; /* nothing is taken from or sent to elsewhere */
} mt_plain_spec;

typedef struct {
  mt_path rtp; /* its family, port and ip */
  uint16_t rtcp_port;
} mt_remote_spec;

#endif
