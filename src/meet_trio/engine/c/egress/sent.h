/* The packets that a consumer has sent lately, as far as sending one of them again needs it.
 *
 * A slot has 12 bytes: what differs from packet to packet and from client to client. What is the same for all clients is in the
 * stream's history, and what is the same for all packets of an epoch is in mt_consumer.sent_epochs. The slots are a ring, indexed by
 * the consumer's own sequence number. The ring has the newest numbers that have left, `mt_consumer.newest_sent` and those before it.
 *
 * The number of slots follows what the consumer sends. A ring doubles if it would lose a packet that is younger than a history, up
 * to `mt_consumer.sent_most`. It is halved once a second while a quarter of it would do. So a ring has at most about twice the slots
 * that are needed, and all its growths together copy fewer slots than packets were sent. Without memory it stays as it is
 * (`dropped_no_memory`), and it tries again when all of its slots have been used once more.
 *
 * A slot has 16 bits of the stream's sequence number. They mean one packet: an epoch forgets a packet before the stream is 2^16
 * numbers ahead of it.
 */
#ifndef MT_EGRESS_SENT_H
#define MT_EGRESS_SENT_H

#include "egress/compose.h"

enum {
  MT_SENT_LEAST = 32,       /* slots of a ring at first */
  MT_SENT_MOST = 768,       /* slots of a consumer of video: 3 s at 2.4 Mbit/s */
  MT_SENT_MOST_AUDIO = 128, /* slots of one of audio: as many packets as the history of such a stream has */
};

void mt_sent_init(mt_core *core); /* the pools of rings */

/* Packet `p` leaves now with the numbers `n` and the stamps `v`. `epoch`: index in mt_consumer.sent_epochs. It is called before
 * `newest_sent` is set to it. */
void mt_sent_note(mt_core *core, mt_consumer *c, uint8_t epoch, const mt_packet *p, const mt_numbers *n, const mt_stamps *v,
                  int64_t now);
/* The slot of the consumer's own number; NULL: no packet was sent with it, or it is not remembered. */
mt_sent *mt_sent_find(const mt_consumer *c, uint64_t sequence);
/* The stream's packet that was sent, in the history; NULL: it is not kept any more. */
const mt_packet *mt_sent_packet(const mt_consumer *c, const mt_sent *sent, uint64_t sequence);
/* The number is so old that its slot is used by another packet. */
bool mt_sent_forgotten(const mt_consumer *c, uint64_t sequence);
void mt_sent_again(mt_sent *sent, int64_t now);                /* notes the time of a retransmission */
int64_t mt_sent_since_again(const mt_sent *sent, int64_t now); /* microseconds; in steps of a millisecond */

/* Epoch `e` begins, whose first packet gets the number `sequence`. Returns its index. The oldest epoch is forgotten. */
uint8_t mt_sent_begin(mt_consumer *c, const mt_epoch *e, uint64_t sequence);
void mt_sent_void(mt_consumer *c, uint8_t stream);               /* the stream was reset: its packets are forgotten */
void mt_sent_shrink(mt_core *core, mt_consumer *c, int64_t now); /* once a second */
void mt_sent_free(mt_core *core, mt_consumer *c);

#endif
