/* SSRCs that have ended, 16 bytes each: the next SRTP and the next SRTCP index of each.
 *
 * When an SSRC returns, the ledger keeps its old indices from being accepted a second time (replay, RFC 3711 section 3.3.2) or used
 * a second time (two-time pad, RFC 3711 section 9.1).
 *
 * A ledger is a hash table with linear probing. It starts empty and doubles so that a quarter of its slots stays free. It never
 * removes a single member; its owner frees all of it. Hashes are seeded because clients choose SSRCs: the caller passes the same
 * seed in every call. The slots lie in a region; the caller passes that one in every call, too.
 */
#ifndef MT_BASE_LEDGER_H
#define MT_BASE_LEDGER_H

#include "base/region.h"

enum { MT_LEDGER_MAX = 12288 }; /* members: 2,048 cameras of three layers with RTX; their slots take 256 KiB */

typedef struct {
  uint32_t ssrc, rtcp_next; /* rtcp_next: SRTCP index, 31 bits */
  uint64_t rtp_next;        /* SRTP index, 48 bits. A slot where both indices are 0 is free */
} mt_ledger_entry;

enum { MT_KEPT_LEDGER = 1 }; /* kind of the slots in the region; see state/kept.h for the others */

typedef struct {
  mt_ledger_entry *slots; /* NULL: none yet */
  size_t mask, count;     /* slots - 1, members */
} mt_ledger;              /* zeros: empty */

/* Adds a member, or replaces that of the same SSRC. One of its two indices must not be 0. False: the ledger is full or there is no
 * memory, and it is unchanged. */
bool mt_ledger_put(mt_region *r, mt_ledger *l, const mt_ledger_entry *e, uint64_t seed);
const mt_ledger_entry *mt_ledger_find(const mt_ledger *l, uint32_t ssrc, uint64_t seed); /* NULL: not a member */
void mt_ledger_free(mt_region *r, mt_ledger *l);                                         /* leaves an empty ledger */

#endif
