/* A transport: a client's path for media, with credentials, routes, keys and the SSRCs of both directions.
 *
 * It has ICE and SRTP, or it is a plain transport (core/plain.h) with neither. This is the state only; the code is in paths/,
 * ingress/ and core/.
 */
#ifndef MT_STATE_TRANSPORT_H
#define MT_STATE_TRANSPORT_H

#include "base/bucket.h"
#include "base/ledger.h"
#include "base/list.h"
#include "base/loss_level.h"
#include "base/rate.h"
#include "base/table.h"
#include "formats/path.h"
#include "formats/srtp.h"
#include "state/changes.h"
#include "state/downlink.h"
#include "state/figures.h"
#include "state/specs.h"

typedef struct mt_trace mt_trace; /* state/trace.h */
typedef struct mt_transport mt_transport;
typedef struct mt_stream mt_stream;

enum {
  MT_MAX_ROUTES = 8,        /* addresses of one transport */
  MT_MAX_IDLE_SOURCES = 64, /* SSRCs of one client that belong to no stream and keep a whole replay window */
  MT_TWCC_WINDOW = 2048,    /* transport-wide sequence numbers whose arrivals are kept */
};

typedef struct { /* ICE credentials of this side (RFC 8445 section 5.3) */
  mt_node node;  /* in mt_core.ufrags */
  mt_transport *transport;
  mt_text ufrag, password;
  bool used; /* false: an empty slot */
} mt_credentials;

typedef struct { /* an address that proved the credentials, or claims to be the client's; see paths/routes.h, paths/claims.h */
  mt_node node;  /* in mt_core.routes */
  mt_transport *transport;
  mt_path path;
  int64_t seen;        /* time of its last authenticated request; 0: none yet */
  int64_t arrived;     /* time of its last datagram that looked like media; 0: none yet */
  int64_t advanced;    /* time of its last authentic packet with a higher index than any before; 0: none yet */
  uint32_t taken_from; /* id of the transport that had this address before; 0: none */
  int64_t taken;       /* time at which it was taken from that transport */
  bool used;           /* false: an empty slot */
} mt_route;

typedef struct {      /* an address that media came from before any check did; see paths/claims.h */
  mt_list in_claims;  /* in mt_core.claims while there is a route */
  mt_route *before;   /* selected until media went to the claimed address; NULL: it is lost, or the claimed one is not selected */
  int64_t made;       /* time */
  int64_t not_before; /* time of the next claim at the earliest */
  size_t bytes_left;  /* that may still be sent to the claimed address */
  mt_bucket tries;    /* authentications of datagrams from unknown addresses */
  mt_route *route;    /* the claimed address, one of mt_transport.routes; NULL: none */
} mt_claim;

typedef struct mt_source { /* an SSRC that the client sends */
  mt_node node;            /* in mt_transport.sources */
  mt_node by_ssrc;         /* in mt_core.sources_by_ssrc if `findable_rtp` */
  mt_node by_index;        /* in mt_core.sources_by_index if `findable_rtcp` */
  mt_transport *transport;
  uint32_t ssrc;
  mt_srtp_window rtp, rtcp; /* replay windows */
  mt_stream *stream;        /* NULL: it belongs to no stream (not yet, or not any more) */
  mt_list idle;             /* in mt_transport.idle while `stream` is NULL */
  bool findable_rtp, findable_rtcp;
  bool rtx;             /* it carries the retransmissions of `stream` */
  bool astray;          /* plain RTP: the last packet's number was out of range; see ingress/receive.c */
  uint16_t next_astray; /* the number that would follow it */
} mt_source;

typedef struct { /* an SSRC that we send */
  uint32_t ssrc;
  uint64_t next;    /* SRTP index of the next packet; this one and all above are unused */
  uint64_t ceiling; /* indices from this one on are not used; 0: none. See core/snapshot.h */
  uint64_t taken;   /* `next` in the newest snapshot */
} mt_sender;

typedef struct { /* arrivals of packets with a transport-wide sequence number; see ingress/arrivals.h */
  mt_transport *transport;
  mt_list in_feeding;               /* in mt_core.feeding while there are arrivals to report */
  bool started;                     /* a packet has come */
  uint8_t feedback_count;           /* number of the next feedback packet, modulo 256 */
  uint32_t media_ssrc;              /* of the newest packet */
  uint64_t next, end;               /* extended numbers: where the next report begins, and one past the newest */
  int64_t due;                      /* time of the next report */
  int64_t arrivals[MT_TWCC_WINDOW]; /* times, by number modulo the window; -1: not received */
} mt_twcc;

typedef struct {         /* receiver reports of the client since the last sample of its loss; see egress/viewer.c */
  double expected, lost; /* packets */
  int64_t since;         /* 0: there was no report yet */
  int64_t with_rtx;      /* time of the last report about a consumer with RTX; 0: never */
} mt_reported_loss;

typedef struct {  /* one of the two sockets of a plain transport, seen from the core */
  mt_route route; /* never in mt_core.routes; kind MT_PATH_NONE: the far side's address is not known */
  bool fixed;     /* packets are taken from this address only */
} mt_plain_end;

typedef struct { /* see core/plain.h */
  mt_plain_end rtp, rtcp;
  bool comedia; /* the first packet gives the client's address */
  uint8_t network_count;
  mt_network networks[MT_MAX_NETWORKS]; /* packets are taken from and sent to these only */
} mt_plain;

/* Each packet to the client touches two cache lines of its transport, that of `srtp` and that of `stats.packets_out`, and the
 * selected route. Members of several consumers' packets (`due`) are in the line between. */
struct mt_transport {
  mt_claim claim;        /* its last member is in the line of the next ones */
  mt_srtp *srtp;         /* NULL: there are no keys yet */
  mt_route *selected;    /* the route that packets are sent by; NULL: none */
  mt_downlink *downlink; /* NULL: none; see state/downlink.h */
  mt_trace *trace;       /* NULL: it is not traced */
  int32_t resend_bytes;  /* budget for retransmissions to all of its consumers, in bytes; see egress/resend.h */
  int32_t spare;         /* budget for redundancy to all of its consumers, in bytes; see egress/redundancy.h */
  uint16_t twcc_next;    /* transport-wide sequence number of the next packet that we send */
  mt_loss_level loss;    /* of packets to the client */
  mt_transport_stats stats;
  mt_list due;    /* consumers that are about to get what was gathered; see egress/fanout.c */
  mt_list in_due; /* in a list of transports that have such */

  mt_node node;    /* in mt_core.transports */
  mt_list in_core; /* in mt_core.all_transports */

  mt_list in_visits; /* in mt_core.busy, or, if `quiet`, in a slot of mt_core.wheel */
  int64_t visit_at;  /* time of the next visit of a round if `quiet` */
  bool quiet;        /* rounds have nothing to do for it before `visit_at`; see core/visits.h */

  mt_changes changes;
  uint32_t id;
  mt_credentials credentials[2]; /* those in use, and those of before an ICE restart */
  mt_route routes[MT_MAX_ROUTES];
  mt_plain *plain;    /* NULL: ICE and DTLS */
  bool was_connected; /* a route has been selected before */
  bool silent;        /* consent is lost */
  bool unresumed;     /* an earlier process may have sent with its keys, and the indices are not known */
  bool barred;        /* therefore it has no keys, routes and credentials any more */
  int64_t heard;      /* time of the last authenticated request on any route */
  int64_t moved;      /* time at which another route was selected; what was measured before is of another path; 0: never */
  uint32_t advances;  /* authentic packets with a higher index than any before of their SSRC; modulo 2^32 */

  uint32_t srtcp_next;                 /* SRTCP index of the next packet that we send */
  uint32_t srtcp_ceiling, srtcp_taken; /* as those of mt_sender */
  mt_table sources, consumers_by_ssrc;
  mt_list idle;          /* sources without stream, the one that became so first at the front */
  uint32_t idle_count;   /* members of `idle` */
  mt_ledger ended;       /* next indices of sources that have ended; see ingress/sources.h */
  mt_ledger sent;        /* next indices of senders; see paths/senders.h */
  mt_ledger sent_before; /* when `sent` is full it replaces this one, whose entries are forgotten */
  mt_list producers, consumers;
  uint8_t twcc_id; /* header extension id of transport-wide sequence numbers from its client; 0: none */
  mt_twcc *twcc;   /* allocated with the first producer that negotiated it; NULL: none yet */
  mt_reported_loss reported_loss;
  uint64_t max_outgoing; /* bit/s, limit for what is sent to the client; 0: none */
  uint32_t rtcp_ssrc;    /* sender SSRC of our feedback */
  uint64_t max_bitrate;  /* bit/s, limit for the client's media; 0: none */
  mt_bucket media;       /* bytes that its client may send; see ingress/policing.c */
  uint64_t estimate;     /* bit/s: the REMB sent to a client without transport-cc; 0: none yet */
  int64_t next_report;   /* time of the next RTCP reports */
  int64_t reported;      /* time of the last ones */
  mt_bucket dtls;        /* DTLS datagrams that may go up to the handshake */
  mt_rate rate_in, rate_out;
  uint64_t link; /* bit/s: the last estimate of the link to the client, with which a new downlink begins; 0: none */
};

_Static_assert(offsetof(mt_transport, claim.route) / MT_CACHE_LINE == offsetof(mt_transport, loss.level) / MT_CACHE_LINE &&
                   offsetof(mt_transport, stats.packets_out) / MT_CACHE_LINE ==
                       offsetof(mt_transport, stats.bytes_out) / MT_CACHE_LINE,
               "two lines");

#endif
