/* A transport: credentials, routes, the SSRCs of both directions, keys. */
#ifndef MT_STATE_TRANSPORT_H
#define MT_STATE_TRANSPORT_H

#include "base/bucket.h"
#include "base/ledger.h"
#include "base/list.h"
#include "base/rate.h"
#include "base/table.h"
#include "formats/path.h"
#include "formats/srtp.h"
#include "state/changes.h"
#include "state/figures.h"
#include "state/specs.h"

typedef struct mt_transport mt_transport;
typedef struct mt_stream mt_stream;

enum {
  MT_MAX_ROUTES = 8,        /* addresses of one transport */
  MT_MAX_IDLE_SOURCES = 64, /* SSRCs of one client that belong to no stream and keep a whole replay window */
  MT_TWCC_WINDOW = 2048,    /* transport-wide sequence numbers */
};

typedef struct {
  mt_node node;
  mt_transport *transport;
  mt_text ufrag, password;
  bool used;
} mt_credentials;

typedef struct {
  mt_node node; /* in mt_core.routes */
  mt_transport *transport;
  mt_path path;
  int64_t seen; /* last authenticated request */
  bool used;
} mt_route;

typedef struct mt_source { /* an SSRC that the client sends */
  mt_node node;            /* in mt_transport.sources */
  mt_transport *transport;
  uint32_t ssrc;
  mt_srtp_window rtp, rtcp;
  mt_stream *stream; /* NULL: of no producer (any more) */
  mt_list idle;      /* in mt_transport.idle while that is so */
  bool rtx;
  bool astray;          /* plain RTP: the last packet was far away, */
  uint16_t next_astray; /* and this would follow it */
} mt_source;

typedef struct { /* an SSRC that we send */
  uint32_t ssrc;
  uint64_t next; /* SRTP index; everything from here on is unused */
} mt_sender;

typedef struct { /* arrivals of packets with a transport-wide sequence number */
  mt_transport *transport;
  mt_list in_feeding; /* of the core; while there are arrivals to report */
  bool started;
  uint8_t feedback_count;
  uint32_t media_ssrc;
  uint64_t next, end; /* to report next; one past the newest */
  int64_t due;
  int64_t arrivals[MT_TWCC_WINDOW]; /* -1: not come */
} mt_twcc;

typedef struct {  /* one of the two sockets of a plain transport, seen from the core */
  mt_route route; /* never in mt_core.routes; kind MT_PATH_NONE: the far side's address is not known */
  bool fixed;     /* it is the only one that packets are taken from */
} mt_plain_end;

typedef struct {
  mt_plain_end rtp, rtcp;
  bool comedia;
  uint8_t network_count;
  mt_network networks[MT_MAX_NETWORKS];
} mt_plain;

struct mt_transport {
  mt_node node; /* in mt_core.transports */
  mt_list in_core;
  mt_changes changes;
  uint32_t id;
  mt_credentials credentials[2]; /* those in use; those of before a restart */
  mt_route routes[MT_MAX_ROUTES];
  mt_route *selected;
  mt_plain *plain; /* NULL: ICE and DTLS */
  bool was_connected, silent;
  int64_t heard; /* last authenticated request on any route */

  mt_srtp *srtp;
  uint32_t srtcp_next;
  mt_table sources, consumers_by_ssrc;
  mt_list idle; /* sources without stream, the longest so first */
  uint32_t idle_count;
  mt_ledger ended;             /* of sources */
  mt_ledger sent, sent_before; /* of senders; when `sent` is full it becomes `sent_before`, and what was that is forgotten */
  mt_list producers, consumers;
  uint8_t twcc_id;      /* of its producers; 0: none */
  mt_twcc *twcc;        /* allocated with the first producer that wants it */
  uint16_t twcc_next;   /* number of the next packet that we send */
  int32_t resend_bytes; /* that may be sent again to all of its consumers */
  uint32_t rtcp_ssrc;   /* what our feedback is sent as */
  uint64_t max_bitrate;
  mt_bucket media;   /* bytes that its client may send; see ingress/policing.c */
  uint64_t estimate; /* REMB without transport-cc: what we tell the client; 0 = not yet */
  int64_t next_report, reported;
  mt_bucket dtls; /* datagrams that may go up */
  mt_rate rate_in, rate_out;
  mt_transport_stats stats;
};

#endif
