/* Runs of datagrams, each of which the kernel takes as one message (GSO, UDP_SEGMENT).
 *
 * Datagrams that follow each other are a run if they leave by one socket for one destination and have one length; the last one may
 * be shorter. Their bytes lie behind each other in one buffer. The kernel carries a run through its layers as one packet and cuts it
 * as late as it can, which costs it a fraction of its work for as many datagrams.
 *
 * Not every way out can be sent a run: the kernel refuses where a device computes no checksums, where IPsec is on the way, or where
 * a datagram is longer than the MTU. It then has sent nothing of the run. The destination is remembered, and gets no runs any more.
 * A destination that others have displaced costs one more refusal. If runs are refused again and again, and none is accepted, no
 * more are made.
 *
 * Nothing here sends; that is left to io/udp.c.
 */
#ifndef MT_IO_GSO_H
#define MT_IO_GSO_H

#include "base/limits.h"
#include "formats/path.h"

#include <stddef.h>

enum {
  MT_BATCH_DATAGRAMS = 64, /* a run begins only with fewer datagrams before it, */
  MT_RUN_DATAGRAMS = 64,   /* and has this many: the kernel's limit (UDP_MAX_SEGMENTS), */
  MT_RUN_BYTES = 65000,    /* and bytes: with headers less than the 64 KiB of an IP packet */
  MT_REFUSED = 1 << 10,    /* destinations that are remembered */
};

typedef struct {
  int fd, family; /* the socket's; fd -1: the run was sent */
  mt_path to;
  uint32_t count;       /* datagrams */
  bool ended;           /* the last one is shorter, so no other can follow */
  size_t at, len, each; /* bytes: its place in the buffer, its length, and that of each datagram but the last */
} mt_run;

typedef struct {
  bool enabled;
  bool mixed;         /* the runs leave by more than one socket */
  uint32_t count;     /* of `runs` */
  uint32_t datagrams; /* in all of them */
  size_t used;        /* bytes of `data` */
  uint32_t refusals;  /* by the way out, since a run was accepted */
  mt_run runs[MT_BATCH_DATAGRAMS];
  mt_path refused[MT_REFUSED]; /* each at the place of its hash; zeros: none */
  uint8_t data[(MT_BATCH_DATAGRAMS + MT_RUN_DATAGRAMS) * MT_DATAGRAM_MAX];
} mt_gso; /* zeros: empty, and without GSO */

/* The place of the next datagram: MT_DATAGRAM_MAX bytes. */
static inline uint8_t *mt_gso_place(mt_gso *g) { return g->data + g->used; }
/* Adds the `len` bytes at that place, at least one. `may_run`: the socket can send runs. False: the runs have to be sent first. */
bool mt_gso_add(mt_gso *g, int fd, int family, bool may_run, const mt_path *to, size_t len);
/* All runs were sent. The `rest` bytes of the next datagram move to its new place. */
void mt_gso_clear(mt_gso *g, size_t rest);

/* What the kernel has said to a run of several datagrams. */
void mt_gso_accepted(mt_gso *g);
bool mt_gso_refused(mt_gso *g, const mt_run *run, int error); /* True: its datagrams are to be sent one by one. */

#endif
