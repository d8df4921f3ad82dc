/* See rounds.h. */
#include "periodic/rounds.h"

#include "egress/fanout.h"
#include "egress/relay.h"
#include "ingress/level.h"
#include "links/wish.h"

/* There is a choice of streams, or of layers in the one stream. */
static bool has_layers(const mt_producer *p) {
  return p->spec.encoding_count > 1 || p->spec.codec == MT_CODEC_VP9 || p->spec.codec == MT_CODEC_AV1;
}

void mt_producer_round(mt_core *core, mt_producer *p, int64_t now) {
  if (has_layers(p)) mt_producer_choose_layers(core, p, true, now);
  mt_level_round(core, p, now);
  mt_relay_round(core, p, now);
  for (uint8_t i = 0; i < p->spec.encoding_count; i++) mt_layer_rates_round(&p->streams[i].layers);
  int64_t horizon = now - (int64_t)core->settings.history_ms * MT_MS;
  for (uint8_t i = 0; i < p->spec.encoding_count; i++) mt_history_expire(&p->streams[i].history, &core->packets, horizon);
}

void mt_mirror_round(mt_core *core, mt_producer *m, int64_t now) {
  mt_producer_round(core, m, now);
  mt_wish_listen_all(core, m, now);
  if (now < m->rates_due) return;
  int64_t elapsed = m->rates_due ? now - m->rates_due + MT_SECOND : 0;
  m->rates_due = now + MT_SECOND;
  for (uint8_t i = 0; i < m->spec.encoding_count; i++) {
    mt_stream *s = &m->streams[i];
    mt_rate_update(&s->rate, s->stats.bytes, elapsed);
  }
}
