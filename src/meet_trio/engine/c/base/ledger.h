/* Streams that have ended, 16 bytes each: how far their numbers had come, so that none is ever taken or used again.
 *
 * A hash table without links (linear probing), from SSRC to the next SRTP and SRTCP index. It begins empty, grows by doubling while it
 * is a quarter free, and loses single members never. Hashes are seeded: clients choose SSRCs.
 */
#ifndef MT_BASE_LEDGER_H
#define MT_BASE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MT_LEDGER_MAX = 12288 }; /* members: 256 KiB, 2,048 cameras of three layers with RTX */

typedef struct {
  uint32_t ssrc, rtcp_next;
  uint64_t rtp_next; /* both 0: a free slot */
} mt_ledger_entry;

typedef struct {
  mt_ledger_entry *slots; /* NULL: none yet */
  size_t mask, count;
} mt_ledger; /* zeros: empty */

/* A change or a new member; something of it must not be 0. False: full, or no memory. */
bool mt_ledger_put(mt_ledger *l, const mt_ledger_entry *e, uint64_t seed);
const mt_ledger_entry *mt_ledger_find(const mt_ledger *l, uint32_t ssrc, uint64_t seed); /* NULL: not there */
void mt_ledger_free(mt_ledger *l);

#endif
