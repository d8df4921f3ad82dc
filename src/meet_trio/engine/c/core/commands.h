/* Commands: what Python tells a core to do.
 *
 * A command is a plain value that crosses a ring. It owns what its union points to (bytes, sockets, a reference to a link) until it
 * is released or discarded. A command is not answered: one for an id that does not exist, or one that is refused, is counted and
 * has no other effect. Ids are the caller's, one space for each kind of object.
 */
#ifndef MT_CORE_COMMANDS_H
#define MT_CORE_COMMANDS_H

#include "state/specs.h"

typedef struct mt_core mt_core;
typedef struct mt_link mt_link; /* links/link.h */

/* For each command: the member of the union that it uses, and what `id` is if it is not the object's own. */
typedef enum {
  MT_ADD_TRANSPORT = 1, /* ice */
  MT_RESTART_ICE,       /* ice */
  MT_SET_SRTP,          /* srtp */
  MT_SEND_DTLS,         /* data */
  MT_REMOVE_TRANSPORT,
  MT_SET_MAX_BITRATE,            /* number: bit/s, 0 = no limit */
  MT_SET_TRANSPORT_MAX_OUTGOING, /* number: bit/s, 0 = no limit */
  MT_ADD_PRODUCER,               /* producer_spec */
  MT_PAUSE_PRODUCER,             /* number: bool */
  MT_REMOVE_PRODUCER,
  MT_ADD_MIRROR,                /* id: a producer of another engine; producer_spec */
  MT_ADD_LINK,                  /* link: this engine is its sink */
  MT_RELAY_PRODUCER,            /* link: this engine is its source */
  MT_STOP_RELAYING,             /* link */
  MT_ADD_CONSUMER,              /* consumer_spec */
  MT_PAUSE_CONSUMER,            /* number: bool */
  MT_SET_PREFERRED_LAYERS,      /* layers: the highest to forward */
  MT_SET_CONSUMER_PRIORITY,     /* number: 1-255 */
  MT_REQUEST_CONSUMER_KEYFRAME, /* at its client's expense */
  MT_REMOVE_CONSUMER,
  MT_REQUEST_KEYFRAME,    /* id: a producer */
  MT_REQUEST_STATS,       /* id: a token that the answering event carries */
  MT_ADD_PLAIN_TRANSPORT, /* plain */
  MT_CONNECT_PLAIN,       /* remote */
  MT_WATCH_LEVEL,         /* id: a producer, whose audio level makes events from now on */
  MT_TRACE_TRANSPORT,     /* number: bool */
  MT_RESUME_TRANSPORT,    /* resume; this and the next two come while the core is held, after what adds the object and its keys */
  MT_RESUME_PRODUCER,     /* resume; also of a mirror */
  MT_RESUME_CONSUMER,     /* resume */
  MT_REQUEST_SNAPSHOT,    /* id: a token that the answering event carries, above 0; it replaces a request that waits */
  MT_SNAPSHOT_STORED,     /* id: the token of the snapshot that was taken last; 0: none is stored any more */
  MT_SEND_UNTIL,          /* number: time in microseconds from which on nothing is sent, 0 = no limit */
  MT_BEGIN,               /* the hold ends, and the thread reads its sockets from now on; see core/begin.h, thread.h */
  MT_HOLD,                /* id: a token that the answering event carries */
} mt_command_type;

typedef struct {
  mt_command_type type;
  uint32_t id;
  uint32_t transport, producer; /* ids: of a new producer or consumer its transport, of a new consumer its producer */
  union {
    mt_ice_spec ice;
    mt_srtp_spec srtp;
    mt_data data;
    mt_resume_spec resume;
    mt_plain_spec plain;
    mt_remote_spec remote;
    mt_producer_spec producer_spec;
    mt_consumer_spec consumer_spec;
    mt_link *link; /* with a reference of the command's own */
    mt_layers layers;
    uint64_t number;
  } u;
} mt_command;

/* Applies the command. `now`: microseconds. */
void mt_core_command(mt_core *core, int64_t now, const mt_command *command);
void mt_command_release(mt_command *c); /* frees what it owns after it was applied, and wipes passwords and keys */
void mt_command_discard(mt_command *c); /* the same for a command that is not applied, because its engine has closed */

#endif
