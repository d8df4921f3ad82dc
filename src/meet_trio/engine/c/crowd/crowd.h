/* A crowd: the media of many clients of a server, to load it and to measure it: a thread with the sockets and the clock.
 *
 * Another thread, which is Python's, gives commands and takes events, by rings as with an engine (thread.h). Endpoints, feeds and
 * streams live until the crowd is closed. Each endpoint has a connected UDP socket of its own, a plain one two, as many clients
 * would have.
 *
 * In one turn the thread sends the frames that are due, receives from each socket that is ready for a few batches, and gives some
 * endpoints their round, so that all of them have one every MT_ENDPOINT_ROUND. The time that it does not wait is counted: a thread
 * that is always busy measures itself, not the server.
 */
#ifndef MT_CROWD_CROWD_H
#define MT_CROWD_CROWD_H

#include "crowd/endpoint.h"

typedef struct mt_crowd mt_crowd;

typedef enum {
  MT_CROWD_ADD_ENDPOINT = 1, /* endpoint, fds */
  MT_CROWD_SET_KEYS,         /* srtp */
  MT_CROWD_SEND,             /* data, which the command owns */
  MT_CROWD_ADD_FEED,         /* feed */
  MT_CROWD_ADD_VIEWED,       /* viewed */
  MT_CROWD_SET_SILENT,       /* silent: feeds do not send */
  MT_CROWD_REPORT,           /* id: a token */
} mt_crowd_command_type;

typedef struct {
  mt_crowd_command_type type;
  uint32_t id; /* of the endpoint: the number of endpoints before it */
  int fds[2];  /* for RTP and RTCP; the second is -1 if one socket carries both. They are the command's */
  union {
    mt_endpoint_spec endpoint;
    mt_srtp_spec srtp;
    mt_data data;
    mt_feed_spec feed;
    mt_viewed_spec viewed;
    bool silent;
  } u;
} mt_crowd_command;

typedef enum {
  MT_CROWD_ANSWERED = 1, /* ICE has reached the server */
  MT_CROWD_DTLS,         /* data: a datagram */
  MT_CROWD_FIRST,        /* number: the SSRC of a stream that has begun; at: us */
  MT_CROWD_TOTALS,       /* id: the token; data: mt_crowd_totals; at: us */
  MT_CROWD_FAILED,       /* data: text */
} mt_crowd_event_type;

typedef struct {
  mt_crowd_event_type type;
  uint32_t id, number;
  int64_t at;
  void *data; /* of the receiver, who frees it */
  size_t len;
} mt_crowd_event;

/* `join`: see mt_intake_prepare. `seed`: of numbers and phases. NULL: failure, with errno set. */
mt_crowd *mt_crowd_open(bool join, uint64_t seed);
void mt_crowd_close(mt_crowd *c); /* ends the thread and waits for it; NULL is allowed */
int mt_crowd_event_fd(const mt_crowd *c);
/* True: the crowd owns what the command owns. False: the ring is full. */
bool mt_crowd_command_put(mt_crowd *c, const mt_crowd_command *command);
void mt_crowd_command_discard(mt_crowd_command *command);
void mt_crowd_reset_events(mt_crowd *c);                    /* before events are taken */
bool mt_crowd_next_event(mt_crowd *c, mt_crowd_event *out); /* false: no event waits */

#endif
