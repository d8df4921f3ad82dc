/* See senders.h. */
#include "paths/senders.h"

#include "state/marks.h"

enum {
  /* First sequence numbers are 1 to FIRST_SEQUENCE_MAX. They are below 2^15, because otherwise a receiver that misses the first
   * packets guesses a wrong roll-over count (RFC 3711 appendix A). */
  FIRST_SEQUENCE_MAX = 0x7000,
};

/* Writes the next index to the ledger. False: no memory. */
static bool note_sender(mt_core *core, mt_transport *t, const mt_sender *s) {
  mt_ledger_entry e = {.ssrc = s->ssrc, .rtp_next = s->next};
  if (mt_ledger_put(core->region, &t->sent, &e, core->settings.seed)) return true;
  if (t->sent.count < MT_LEDGER_MAX) return false;
  mt_ledger_free(core->region, &t->sent_before);
  t->sent_before = t->sent;
  t->sent = (mt_ledger){0};
  return mt_ledger_put(core->region, &t->sent, &e, core->settings.seed);
}

bool mt_sender_take(mt_core *core, mt_transport *t, uint32_t ssrc, mt_sender *out) {
  if (mt_table_first(&t->consumers_by_ssrc, mt_hash64(ssrc))) return false;
  const mt_ledger_entry *e = mt_ledger_find(&t->sent, ssrc, core->settings.seed);
  if (!e) e = mt_ledger_find(&t->sent_before, ssrc, core->settings.seed);
  *out = (mt_sender){.ssrc = ssrc, .next = e ? e->rtp_next : 1 + mt_random(core) % FIRST_SEQUENCE_MAX};
  return note_sender(core, t, out); /* now, because the SSRC can still be refused; at its end the ledger has an entry for it */
}

void mt_sender_leave(mt_core *core, mt_transport *t, const mt_sender *s) { note_sender(core, t, s); }
