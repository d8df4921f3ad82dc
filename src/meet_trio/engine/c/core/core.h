/* The engine's core: an SFU's state machine without I/O, clock or thread.
 *
 * Datagrams, commands and the time go in; datagrams and events come out through a sink. The thread (thread.c)
 * lends it a socket and a clock, the tests lend it memory and a clock of their own. Single-threaded; no call blocks.
 *
 *   transport   a client's path for media: ICE-lite credentials, the addresses that proved them, SRTP keys; or plain RTP
 *   producer    what a client sends: one to four streams (simulcast), found by SSRC, MID + RID, MID + repaired RID
 *   consumer    a producer's stream on its way to another client: rewritten SSRC, sequence numbers, timestamps, extensions
 *   mirror      a producer of another engine, filled through a link (link.h)
 *
 * Ids are given out by the caller, one space for each kind. A command for an id that does not exist is counted and has
 * no other effect: objects may go at any moment, a command may have been on its way.
 * Times are microseconds of a monotonic clock, rising from any value above 0.
 */
#ifndef MT_CORE_H
#define MT_CORE_H

#include "formats/path.h"
#include "formats/srtp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  MT_DATAGRAM_MAX = 2048, /* largest datagram in or out */
  MT_MAX_ENCODINGS = 4,
  MT_MAX_TEXT = 64, /* ufrag, password, MID, RID, CNAME */
  MT_MAX_NETWORKS = 16, /* that a plain transport may talk to */
};

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

extern const char *const mt_extension_uris[MT_EXT_COUNT];

typedef struct {
  uint32_t ssrc, rtx_ssrc; /* 0: not announced */
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

typedef enum {
  MT_ADD_TRANSPORT = 1, /* ice */
  MT_RESTART_ICE,       /* ice */
  MT_SET_SRTP,          /* srtp */
  MT_SEND_DTLS,         /* data */
  MT_REMOVE_TRANSPORT,
  MT_SET_MAX_BITRATE, /* number: bit/s, 0 = no limit */
  MT_ADD_PRODUCER,    /* producer */
  MT_PAUSE_PRODUCER,  /* number: bool */
  MT_REMOVE_PRODUCER,
  MT_ADD_MIRROR,     /* id: a producer of another engine; producer */
  MT_ADD_LINK,       /* link: this engine is its sink */
  MT_RELAY_PRODUCER, /* link: this engine is its source */
  MT_STOP_RELAYING,  /* link */
  MT_ADD_CONSUMER,   /* consumer */
  MT_PAUSE_CONSUMER, /* number: bool */
  MT_SET_LAYER,      /* number: highest spatial layer to forward */
  MT_REMOVE_CONSUMER,
  MT_REQUEST_KEYFRAME, /* id: a producer */
  MT_REQUEST_STATS,    /* id: a token */
  MT_ADD_PLAIN_TRANSPORT, /* plain */
  MT_CONNECT_PLAIN,       /* remote */
} mt_command_type;

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

typedef struct mt_link mt_link; /* link.h */

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

typedef struct {
  mt_command_type type;
  uint32_t id;
  uint32_t transport, producer; /* of a new producer or consumer */
  union {
    mt_ice_spec ice;
    mt_srtp_spec srtp;
    mt_data data;
    mt_plain_spec plain;
    mt_remote_spec remote;
    mt_producer_spec producer_spec;
    mt_consumer_spec consumer_spec;
    mt_link *link; /* a reference of the command's own */
    uint64_t number;
  } u;
} mt_command;

void mt_command_release(mt_command *c); /* what it holds, after it was applied */
void mt_command_discard(mt_command *c); /* the same, for an engine that has closed before */

typedef enum {
  MT_EVENT_ICE_CONNECTED = 1, /* id: transport; path */
  MT_EVENT_ICE_MOVED,
  MT_EVENT_ICE_SILENT,
  MT_EVENT_PLAIN_CONNECTED, /* id: transport; path: where its RTP goes */
  MT_EVENT_DTLS,           /* id: transport; data, len: valid during the call */
  MT_EVENT_STREAM_STARTED, /* id: producer; index, number: SSRC */
  MT_EVENT_LAYER_CHANGED,  /* id: consumer; value: spatial layer or -1 */
  MT_EVENT_AUDIO_LEVEL,    /* id: producer; value: dBov, 0 (loudest) to -127 */
  MT_EVENT_PRODUCER_SCORE, /* id: producer; index: number of encodings; scores */
  MT_EVENT_CONSUMER_SCORE, /* id: consumer; value: 0-10 */
  MT_EVENT_STATS,          /* id: token; data: mt_stats *, which is the receiver's when it takes the event */
  MT_EVENT_FAILED,         /* data, len: text (the thread's event; the core never fails) */
} mt_event_type;

typedef struct {
  mt_event_type type;
  uint32_t id;
  uint32_t number;
  int32_t value;
  uint8_t index;
  uint8_t scores[MT_MAX_ENCODINGS];
  mt_path path;
  const void *data;
  size_t len;
} mt_event;

typedef struct {
  void *context;
  /* Room for one datagram of MT_DATAGRAM_MAX bytes; never NULL. Without a `send` it is given again. */
  uint8_t *(*reserve)(void *context);
  void (*send)(void *context, const mt_path *to, size_t len);
  /* False: no room now. State changes are kept and offered again; DTLS datagrams are lost, as on a network. */
  bool (*event)(void *context, const mt_event *event);
} mt_sink;

typedef struct mt_core mt_core;

mt_core *mt_core_new(const mt_settings *settings, const mt_sink *sink); /* NULL: no memory */
void mt_core_free(mt_core *core);

/* `data` is decrypted in place. */
void mt_core_datagram(mt_core *core, int64_t now, const mt_path *from, uint8_t *data, size_t len);
/* Whether the path is a route of a transport: it has proved itself, and consent was not lost since. */
bool mt_core_knows(mt_core *core, const mt_path *path);
/* A TCP connection has ended. If a transport's media went that way, it goes by the way that was heard last, if that lives. */
void mt_core_path_closed(mt_core *core, int64_t now, const mt_path *path);
void mt_core_command(mt_core *core, int64_t now, const mt_command *command);
/* Do what time asks for and offer waiting events; returns when to come again. Cheap when nothing is due. */
int64_t mt_core_tick(mt_core *core, int64_t now);

/* Other engines: look at what has come, then apply all commands, then take what was seen (true: there is more of it). */
void mt_core_look(mt_core *core);
bool mt_core_cross(mt_core *core, int64_t now);
bool mt_core_idle(mt_core *core);        /* nothing has come */
void mt_core_ring(mt_core *core);        /* wake those whom something was sent to; after each batch */
void mt_core_leave_links(mt_core *core); /* closes this end of all links, as mt_core_free does too */

#endif
