/* A consumer: one producer on its way to one client.
 *
 * A consumer forwards one stream of its producer at a time. It rewrites SSRC, sequence numbers, timestamps and VP8 picture
 * numbers, so that its client sees one continuous stream whatever layer is forwarded. This is the state only; the code is in
 * egress/.
 */
#ifndef MT_STATE_CONSUMER_H
#define MT_STATE_CONSUMER_H

#include "base/list.h"
#include "base/rate.h"
#include "base/table.h"
#include "state/changes.h"
#include "state/figures.h"
#include "state/svc.h"
#include "state/transport.h"

typedef struct mt_consumer mt_consumer;
typedef struct mt_numbering mt_numbering;
typedef struct mt_producer mt_producer;

/* How the timestamps of an epoch's packets are moved; see egress/epoch.h. */
typedef struct {
  uint32_t delta;   /* clock units */
  uint32_t present; /* timestamp of the stream's newest packet when the epoch began */
  bool hurried;     /* timestamps before `present` are compressed */
} mt_timing;

/* A stretch of one stream that is forwarded with constant offsets. The consumer's number is the stream's plus the delta, modulo the
 * number's size. */
typedef struct {
  bool used;            /* false: empty, or the stream was reset since */
  bool open;            /* new packets of the stream belong to it */
  uint8_t stream;       /* index in mt_producer.streams */
  uint64_t first, last; /* extended sequence numbers of the stream; `last` is set when the epoch is closed */
  uint64_t sequence_delta;
  mt_timing timing;
  uint16_t picture_delta;  /* VP8 picture id */
  uint8_t tl0_delta;       /* VP8 TL0PICIDX */
  uint8_t sent;            /* index in mt_consumer.sent_epochs */
  mt_numbering *numbering; /* moves the numbers further; NULL: every packet was sent. See egress/numbering.h */
} mt_epoch;

/* What the packets of an epoch that were sent have in common. It lasts longer than the epoch; see egress/sent.h. */
typedef struct {
  bool known; /* false: empty, or the stream was reset since */
  uint8_t stream, tl0_delta;
  mt_timing timing;
  uint64_t first;         /* extended number, the consumer's own: what was sent before it is forgotten */
  uint64_t mark;          /* an extended number of the stream, less than 2^14 before its newest packet, */
  uint64_t mark_sequence; /* and the consumer's own number of that packet */
} mt_sent_epoch;

enum { MT_HEADER_MODEL = 40 /* bytes: the fixed header, and the MID and the two stamps in the one-byte form */ };

typedef struct {               /* of the header of each packet that a consumer sends; see egress/header.h */
  uint8_t len;                 /* of `bytes`, without padding to words; 0: headers are written without it */
  uint8_t abs_send_time, twcc; /* where their values stand; 0: not negotiated */
  uint8_t bytes[MT_HEADER_MODEL];
} mt_header_model;

/* A choice of layers that the publisher sends now. */
typedef struct {
  uint8_t stream, spatial, temporal; /* stream: index in mt_producer.streams; the highest layers that are forwarded */
  uint64_t bitrate;                  /* bit/s on the network */
} mt_layer_option;

enum { MT_MAX_OPTIONS = 12 };

typedef struct {                           /* see egress/allocation.h */
  mt_layer_option options[MT_MAX_OPTIONS]; /* ascending bitrate */
  uint8_t count;
  int8_t held;         /* option in force at the beginning of this allocation; -1: none */
  int8_t chosen;       /* option chosen by it; -1: none */
  bool asked;          /* its lowest option was tried in this allocation */
  int64_t risen;       /* time of the last rise; 0: never */
  int64_t may_rise;    /* no rise before this time */
  uint32_t penalty_us; /* wait after the last rise that failed */
} mt_ladder;

/* A packet that was sent, as far as a retransmission needs it; see egress/sent.h. */
typedef struct {
  uint32_t abs_send_time : 24; /* header extension as sent: 24 bits, 1/2^18 s */
  uint32_t epoch : 3;          /* index in mt_consumer.sent_epochs */
  uint32_t marker : 1;         /* as sent */
  uint32_t known : 1;          /* 0: an empty slot */
  uint16_t stream_sequence;    /* the low bits of the stream's extended sequence number */
  uint16_t picture_id, twcc;   /* as sent; `twcc`: transport-wide sequence number */
  uint16_t again;              /* time of the last retransmission in milliseconds, modulo 2^16; 0: none */
} mt_sent;

enum {
  MT_MAX_HELD = 64,   /* NACKs that a consumer answers later */
  MT_SENT_EPOCHS = 8, /* epochs whose packets it remembers */
  MT_SR_MEMORY = 4    /* sent sender reports that it remembers */
};

typedef struct { /* in mt_transport.consumers_by_ssrc */
  mt_node node;
  mt_consumer *consumer;
} mt_consumer_by_ssrc;

/* The members stand in the order of how often they are touched. Forwarding a packet touches the first seven cache lines of a
 * consumer, and the end of an epoch, a report or a NACK those behind. */
struct mt_consumer {
  /* Each packet of the producer, sent or left out. */
  mt_list in_producer;
  mt_list in_due; /* in mt_transport.due */
  mt_transport *transport;
  mt_producer *producer; /* NULL: removed, or never there */
  bool paused;
  int8_t target;              /* index of the stream to forward; -1: none arrives */
  bool switching;             /* a key frame of `target` waits for the end of the current frame */
  uint8_t preferred;          /* highest layer that the client wants */
  uint8_t preferred_temporal; /* highest temporal layer that the client wants */
  int8_t allowed;             /* highest layer that its transport has room for; -1: none; see egress/allocation.h */
  uint8_t allowed_temporal;   /* highest temporal layer that its transport has room for */
  uint8_t temporal;           /* highest temporal layer that is forwarded; frames above it are left out */
  bool frame_known;           /* the next two are set */
  bool frame_left_out;        /* the newest frame of the open epoch is left out */
  uint32_t frame_timestamp;   /* its timestamp, of the stream */
  mt_epoch epochs[2];         /* the current one, and the one before it */
  mt_list behind; /* in mt_downlink.behind while it goes on with the history and not with what comes; see egress/forward.h */
  uint64_t next;  /* then: the first packet of the stream that it has not got, an extended sequence number */

  /* The newest packet sent. */
  uint64_t highest;        /* extended sequence number, the consumer's own */
  int64_t last_sent;       /* when */
  uint32_t last_timestamp; /* clock units, the consumer's own */
  uint16_t last_picture;   /* picture id or AV1's frame number, the consumer's own */
  uint8_t last_tl0;        /* TL0PICIDX, the consumer's own */
  bool has_picture;        /* a packet with a picture id was sent: the two before are set */
  bool started;            /* an epoch has begun */
  bool flowing;            /* it was sent after the last pause, so a gap before the next packet is a freeze */
  bool last_marker;        /* it ended a frame */
  bool playout_written;    /* packets carry the playout delay */
  mt_svc svc;              /* layers of VP9 and AV1; see egress/svc.h */

  /* Each packet that leaves. */
  mt_sender *sender, *rtx_sender; /* in `senders`; NULL: none */
  mt_sender senders[2];
  mt_sent *sent;           /* `sent_slots`, indexed by sequence number; see egress/sent.h */
  uint16_t sent_slots;     /* 0: no memory was taken yet */
  uint16_t sent_most;      /* slots at most; 0 without NACK */
  bool sent_refused;       /* there was no memory for more slots */
  uint8_t sent_epoch_next; /* the slot of `sent_epochs` for the next epoch */
  int32_t resend_bytes;    /* budget for retransmissions, in bytes; see egress/resend.h */
  uint64_t newest_sent;    /* extended sequence number, the highest that has left; packets up to `highest` may wait for the pacer */
  uint64_t packets, octets; /* sent, without retransmissions; octets of payload (RFC 3550 section 6.4.1) */
  uint64_t last_keyframe;   /* extended sequence number of the first packet of the last key frame sent, its own; 0: none */
  mt_header_model header;
  mt_consumer_spec spec;
  mt_sent_epoch sent_epochs[MT_SENT_EPOCHS];

  /* Its places, and what it was made with. */
  mt_node node; /* in mt_core.consumers */
  mt_consumer_by_ssrc by_ssrc, by_rtx_ssrc;
  mt_list in_transport;
  mt_changes changes;
  uint32_t id, producer_id;

  /* The choice of layers. */
  uint8_t priority;           /* 1 and above: a higher one gets its layers before */
  uint8_t followed;           /* value of `preferred` at the last choice of a target */
  int8_t followed_allowed;    /* value of `allowed` then */
  uint8_t announced_temporal; /* temporal layer of the last event; 0 if `announced_layer` is -1 */
  int8_t announced_layer;     /* of the last event, also of one that the sink has not taken yet; -1: none */
  int64_t allowed_since;      /* time of the last change of `allowed` or `allowed_temporal`; 0: never */
  mt_ladder ladder;           /* what its transport can choose from */
  int64_t skipping_since;     /* microseconds: nothing is forwarded since then, until a key frame comes; 0: not so */
  int64_t spatial_asked;      /* time of the last wish for a key frame that leads to another spatial layer; 0: never */
  int64_t layer_announced;    /* time of the last event */
  int64_t layer_since;        /* time of the last change of the layers that it told; 0: never */
  uint64_t switch_first;      /* while `switching`: that key frame's first extended sequence number in its stream */
  int64_t switch_since;       /* when it came */

  /* Reports, scores and key frames. */
  struct {
    uint32_t ntp_middle;                 /* middle 32 bits of the report's NTP timestamp */
    int64_t sent;                        /* when; 0: an empty slot */
  } reports[MT_SR_MEMORY];               /* the last sender reports, for the round-trip time */
  uint8_t report_next;                   /* the slot of `reports` for the next one */
  uint8_t announced_score;               /* 0-10, of the last event, also of one that the sink has not taken yet */
  bool score_known;                      /* there has been such an event */
  mt_list scored;                        /* in mt_core.scored for a second after such an event */
  mt_list owed;                          /* in mt_core.owed while a key frame request is put off */
  uint8_t owed_streams;                  /* streams with a key frame request that is put off, as bits */
  uint32_t owed_since[MT_MAX_ENCODINGS]; /* the stream's count of key frames when its request was put off */
  int64_t owed_until[MT_MAX_ENCODINGS];  /* the request is not made before */
  int64_t keyframes_paid;                /* time up to which the budget of key frame requests is used; see egress/keyframes.c */
  int64_t score_announced;               /* time of the last score event */

  mt_list holding; /* in mt_core.holding while NACKs wait; see egress/resend.h */
  uint8_t held_count;
  uint64_t held[MT_MAX_HELD]; /* numbers that they ask for, extended, its own */
  int64_t keyframe_sent;      /* when the packet `last_keyframe` was sent */
  uint64_t first;             /* extended sequence number of the first packet, its own */
  uint64_t packets_reported;  /* `packets` at the last receiver report */
  int64_t lost_reported;      /* packets that the client had lost up to then */
  int64_t lost_counted;       /* packets of rtp_lost_out */
  uint64_t redundant_bytes;   /* sent as redundancy; see egress/redundancy.h */
  int64_t playout_moved;      /* time of the last change of the playout delay; 0: never; see egress/playout.h */

  mt_rate rate, redundant_rate;
  mt_consumer_stats stats;
  bool changing; /* the epochs change, see state/kept.h */
};

#endif
