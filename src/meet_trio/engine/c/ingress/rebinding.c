/* See rebinding.h. */
#include "ingress/rebinding.h"

#include "base/bytes.h"
#include "base/sequence.h"
#include "formats/rtp.h"
#include "paths/claims.h"

#include <string.h>

enum {
  MAX_VISITS = 16,       /* sources looked at for one datagram */
  MAX_TRIES = 4,         /* of them that it is authenticated against */
  MAX_LOST_RTCP = 16,    /* RTCP packets of one SSRC, lost before the first one from the new address */
  TRIES_PER_SECOND = 5,  /* authentications against one transport */
  TRIES_BURST = 10,      /* at once */
  ALL_PER_SECOND = 2000, /* authentications against all transports of the core */
  ALL_BURST = 1000,      /* at once */
  SSRC_OF_RTCP = 4,      /* bytes before the sender's SSRC */
};

/* ---- finding sources ---- */

static uint64_t ssrc_hash(const mt_core *core, uint32_t ssrc) { return mt_hash64(core->settings.seed ^ mt_hash64(ssrc)); }

/* `next`: the SRTCP index after the highest one. */
static uint64_t index_hash(const mt_core *core, uint32_t ssrc, uint32_t next) {
  return mt_hash64(core->settings.seed ^ mt_hash64((uint64_t)ssrc << 32 | next));
}

static uint32_t next_index(const mt_source *s) { return (uint32_t)s->rtcp.highest + 1; }

void mt_rebinding_note_rtp(mt_core *core, mt_source *s) {
  if (s->findable_rtp || s->transport->plain) return;
  s->findable_rtp = true;
  mt_table_insert(&core->sources_by_ssrc, &s->by_ssrc, ssrc_hash(core, s->ssrc));
}

bool mt_rebinding_note_rtcp(mt_core *core, mt_source *s) {
  uint64_t hash = index_hash(core, s->ssrc, next_index(s));
  if (s->transport->plain || (s->findable_rtcp && s->by_index.hash == hash)) return false;
  if (s->findable_rtcp) mt_table_remove(&core->sources_by_index, &s->by_index);
  s->findable_rtcp = true;
  mt_table_insert(&core->sources_by_index, &s->by_index, hash);
  return true;
}

void mt_rebinding_forget(mt_core *core, mt_source *s) {
  if (s->findable_rtp) mt_table_remove(&core->sources_by_ssrc, &s->by_ssrc);
  if (s->findable_rtcp) mt_table_remove(&core->sources_by_index, &s->by_index);
  s->findable_rtp = s->findable_rtcp = false;
}

/* ---- trying them ---- */

typedef struct {
  mt_core *core;
  const uint8_t *data;
  size_t len, header_len; /* header_len: of RTP; 0: the datagram is RTCP */
  int64_t now;
  unsigned visits, tries; /* that are left */
} attempt;

static bool may_try(attempt *a, mt_transport *t) {
  mt_core *core = a->core;
  mt_bucket_fill(&t->claim.tries, TRIES_PER_SECOND, TRIES_BURST, a->now);
  mt_bucket_fill(&core->tries, ALL_PER_SECOND, ALL_BURST, a->now);
  if (t->claim.tries.level < 1 || core->tries.level < 1) {
    core->counters.rebindings_put_off++;
    return false;
  }
  t->claim.tries.level--;
  core->tries.level--;
  core->counters.rebindings_tried++;
  a->tries--;
  return true;
}

/* True: the datagram is authentic, and the newest of the source. It is decrypted in a copy, with a copy of the window. */
static bool fits(attempt *a, const mt_source *s) {
  mt_transport *t = s->transport;
  uint8_t copy[MT_DATAGRAM_MAX];
  size_t plain_len;
  uint64_t index;
  if (!mt_claim_possible(t, a->now) || !may_try(a, t)) return false;
  memcpy(copy, a->data, a->len);
  mt_srtp_window w = a->header_len ? s->rtp : s->rtcp;
  uint64_t highest = w.highest;
  mt_srtp_status status = a->header_len ? mt_srtp_unprotect(t->srtp, &w, copy, a->len, a->header_len, &plain_len, &index)
                                        : mt_srtcp_unprotect(t->srtp, &w, copy, a->len, &plain_len);
  return status == MT_SRTP_OK && w.highest > highest;
}

static mt_transport *find_by_ssrc(attempt *a, const mt_rtp *h) {
  mt_node *n = mt_table_first(&a->core->sources_by_ssrc, ssrc_hash(a->core, h->ssrc));
  for (; n && a->visits && a->tries; n = mt_table_next(n), a->visits--) {
    mt_source *s = MT_OF(n, mt_source, by_ssrc);
    if (s->ssrc == h->ssrc && mt_sequence_ahead(s->rtp.highest, h->sequence) > 0 && fits(a, s)) return s->transport;
  }
  return NULL;
}

/* The sources that miss the fewest packets come first. */
static mt_transport *find_by_index(attempt *a, uint32_t ssrc, uint32_t index) {
  for (uint32_t lost = 0; lost < MAX_LOST_RTCP && lost <= index; lost++) {
    mt_node *n = mt_table_first(&a->core->sources_by_index, index_hash(a->core, ssrc, index - lost));
    for (; n && a->visits && a->tries; n = mt_table_next(n), a->visits--) {
      mt_source *s = MT_OF(n, mt_source, by_index);
      if (s->ssrc == ssrc && next_index(s) == index - lost && fits(a, s)) return s->transport;
    }
  }
  return NULL;
}

static mt_transport *find_transport(attempt *a) {
  mt_rtp h;
  if (!mt_is_rtcp(a->data, a->len)) {
    if (!mt_rtp_parse_untrusted(a->data, a->len, &h)) return NULL;
    a->header_len = h.header_len;
    return find_by_ssrc(a, &h);
  }
  uint32_t indices[MT_SRTCP_LAYOUTS];
  unsigned count = mt_srtcp_indices_untrusted(a->data, a->len, indices);
  mt_transport *t = NULL;
  for (unsigned i = 0; i < count && !t; i++) t = find_by_index(a, mt_load32(a->data + SSRC_OF_RTCP), indices[i]);
  return t;
}

mt_route *mt_rebinding_try(mt_core *core, const mt_path *from, const uint8_t *data, size_t len, int64_t now) {
  attempt a = {.core = core, .data = data, .len = len, .now = now, .visits = MAX_VISITS, .tries = MAX_TRIES};
  if (from->kind != MT_PATH_UDP || len > MT_DATAGRAM_MAX) return NULL;
  mt_transport *t = find_transport(&a);
  return t ? mt_claim_make(core, t, from, now) : NULL;
}
