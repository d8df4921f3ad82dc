/* Sends a consumer's packets, and remembers the numbers of each if its client may ask for it again (egress/resend.h). */
#ifndef MT_EGRESS_SEND_H
#define MT_EGRESS_SEND_H

#include "egress/compose.h"

/* Sends packet `p` with the numbers `n`, at once. `epoch`: that it belongs to, as index in mt_consumer.sent_epochs. */
void mt_consumer_send(mt_core *core, mt_consumer *c, uint8_t epoch, const mt_packet *p, const mt_numbers *n, int64_t now);

#endif
