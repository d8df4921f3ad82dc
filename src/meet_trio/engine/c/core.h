/* The forwarder as a state machine: datagrams, commands and the time go in, datagrams and events come out.
 *
 * No I/O, no clock, no threads: `thread.c` gives it a socket and the time, tests give it memory and a time of their own. All calls are made by
 * one thread. Times are microseconds of a monotonic clock, `ntp` (32.32, RFC 3550 §4) is added only where RTCP needs a wall clock.
 *
 * Ids are given out by the caller. Commands on unknown ids do nothing: the object went a moment ago.
 */
#ifndef MT_CORE_H
#define MT_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "srtp.h"

enum {
  MT_MAX_DATAGRAM = 2048,
  MT_MAX_ENCODINGS = 4,
  MT_MAX_MID = 32,
  MT_MAX_RID = 16,
  MT_MAX_CNAME = 64,
  MT_MAX_UFRAG = 64,
  MT_MAX_PWD = 128,
};

/* Where a datagram comes from or goes to. IPv4 is held as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2), so that there is one form to compare. `kind` 0 is UDP; other
 * kinds of paths (a TCP connection by its number) have their own. All bytes count in comparisons. */
typedef struct {
  uint8_t ip[16];
  uint16_t port; /* host order */
  uint8_t kind;
  uint8_t zero;
  uint32_t connection;
} mt_addr;

typedef enum { MT_CODEC_OPUS, MT_CODEC_VP8, MT_CODEC_VP9, MT_CODEC_H264, MT_CODEC_OTHER } mt_codec;

/* Header extensions that the engine knows; others are not forwarded. */
typedef enum {
  MT_EXT_MID,
  MT_EXT_RID,
  MT_EXT_REPAIRED_RID,
  MT_EXT_ABS_SEND_TIME,
  MT_EXT_TRANSPORT_CC,
  MT_EXT_AUDIO_LEVEL,
  MT_EXT_VIDEO_ORIENTATION,
  MT_EXT_TOFFSET,
  MT_EXT_ABS_CAPTURE_TIME,
  MT_EXT_PLAYOUT_DELAY,
  MT_EXT_COUNT
} mt_ext;

typedef struct {
  bool audio;
  mt_codec codec;
  uint8_t payload_type;
  uint8_t rtx_payload_type; /* 0: none; 0 is PCMU and never RTX */
  uint32_t clock_rate;
  char mid[MT_MAX_MID + 1]; /* "" none */
  uint8_t ext_ids[MT_EXT_COUNT]; /* 0: not negotiated */
  unsigned encoding_count; /* lowest layer first */
  struct {
    uint32_t ssrc, rtx_ssrc; /* 0: not known beforehand */
    char rid[MT_MAX_RID + 1];
  } encodings[MT_MAX_ENCODINGS];
  bool nack, pli, fir, transport_cc, remb, paused;
} mt_producer_spec;

typedef struct {
  uint32_t ssrc, rtx_ssrc;
  uint8_t payload_type, rtx_payload_type;
  char mid[MT_MAX_MID + 1];
  char cname[MT_MAX_CNAME + 1];
  uint8_t ext_ids[MT_EXT_COUNT];
  bool nack, pli, fir, paused;
} mt_consumer_spec;

typedef enum {
  MT_CMD_ADD_TRANSPORT,    /* ice */
  MT_CMD_RESTART_ICE,      /* ice */
  MT_CMD_SET_SRTP,         /* srtp */
  MT_CMD_SEND_DTLS,        /* data */
  MT_CMD_SET_MAX_INCOMING, /* number: bit/s */
  MT_CMD_REMOVE_TRANSPORT,
  MT_CMD_ADD_PRODUCER, /* producer; other: its transport */
  MT_CMD_PAUSE_PRODUCER, /* number: 0 or 1 */
  MT_CMD_REMOVE_PRODUCER,
  MT_CMD_REQUEST_KEYFRAME, /* id: producer */
  MT_CMD_ADD_CONSUMER,     /* consumer; other: its transport, number: its producer */
  MT_CMD_PAUSE_CONSUMER,   /* number: 0 or 1 */
  MT_CMD_PREFER_LAYER,     /* number: highest encoding to forward */
  MT_CMD_REMOVE_CONSUMER,
  MT_CMD_STATS, /* id: token */
} mt_command_type;

typedef struct {
  mt_command_type type;
  uint32_t id, other;
  uint64_t number;
  union {
    struct {
      char ufrag[MT_MAX_UFRAG + 1], pwd[MT_MAX_PWD + 1];
    } ice;
    struct {
      mt_srtp_profile profile;
      uint8_t tx[MT_SRTP_MAX_KEYING], rx[MT_SRTP_MAX_KEYING];
    } srtp;
    struct {
      uint16_t len;
      uint8_t bytes[MT_MAX_DATAGRAM];
    } data;
    mt_producer_spec producer;
    mt_consumer_spec consumer;
  };
} mt_command;

typedef enum {
  MT_EVENT_ICE_CONNECTED, /* id: transport; addr */
  MT_EVENT_ICE_MOVED,     /* id: transport; addr */
  MT_EVENT_ICE_SILENT,    /* id: transport */
  MT_EVENT_DTLS,          /* id: transport; data */
  MT_EVENT_STREAM,        /* id: producer; a: encoding, b: ssrc */
  MT_EVENT_LAYER,         /* id: consumer; a: encoding or UINT32_MAX */
  MT_EVENT_AUDIO_LEVEL,   /* id: producer; a: -dBov 0-127 */
  MT_EVENT_PRODUCER_SCORE, /* id: producer; data: one byte for each encoding, 0-10 */
  MT_EVENT_CONSUMER_SCORE, /* id: consumer; a: 0-10 */
  MT_EVENT_STATS,         /* id: token; data: JSON */
  MT_EVENT_FAILED,        /* data: message */
} mt_event_type;

typedef struct {
  mt_event_type type;
  uint32_t id, a, b;
  mt_addr addr;
  const uint8_t *data; /* valid during the call */
  size_t len;
} mt_event;

/* What the core speaks to. `buffer` gives MT_MAX_DATAGRAM bytes for the next datagram, `send` sends what was written there; `event` returns false
 * when there is no room: the core keeps what must not be lost and tries again. */
typedef struct {
  void *ctx;
  uint8_t *(*buffer)(void *ctx);
  void (*send)(void *ctx, const mt_addr *to, size_t len);
  bool (*event)(void *ctx, const mt_event *event);
} mt_sink;

typedef struct {
  int64_t consent_timeout_us; /* RFC 7675 §5.1: 30 s */
  int64_t keyframe_interval_us; /* between two requests for one stream */
  int64_t nack_delay_us;    /* a gap may be reordering for so long */
  int64_t nack_interval_us; /* between two tries */
  unsigned nack_tries;
  unsigned video_history, audio_history; /* packets kept for each stream, powers of two */
  unsigned dtls_per_second; /* datagrams of one transport that go up */
  unsigned max_transports, max_streams;
} mt_core_settings;

void mt_core_settings_default(mt_core_settings *s);

typedef struct mt_core mt_core;

/* `seed`: random. NULL when there is no memory. */
mt_core *mt_core_new(const mt_core_settings *settings, const mt_sink *sink, uint64_t seed);
void mt_core_free(mt_core *core); /* with everything in it; wipes keys */

void mt_core_datagram(mt_core *core, int64_t now, uint64_t ntp, const mt_addr *from, uint8_t *data, size_t len);
void mt_core_command(mt_core *core, int64_t now, const mt_command *command);
/* Timers; call every 10 ms while there are transports. */
void mt_core_tick(mt_core *core, int64_t now, uint64_t ntp);
bool mt_core_is_idle(const mt_core *core); /* no transports: nothing to tick for */

#endif
