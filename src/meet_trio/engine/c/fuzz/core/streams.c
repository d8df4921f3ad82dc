/* Moves of Python: producers, consumers, relays, and the state of the reader of events. */
#include "world.h"

void fuzz_produce(client *c, const instruction *i) {
  static const mt_codec codecs[] = {MT_CODEC_OTHER, MT_CODEC_VP8, MT_CODEC_VP9, MT_CODEC_H264};
  mt_command cmd = {.type = MT_ADD_PRODUCER, .id = ++fuzz_last_id, .transport = c->id};
  mt_producer_spec *s = &cmd.u.producer_spec;
  if (!c->alive) return;
  s->codec = codecs[i->y & CODEC];
  if (s->codec == MT_CODEC_VP9 && i->n & HAS_AV1) s->codec = MT_CODEC_AV1;
  s->video = s->codec != MT_CODEC_OTHER;
  s->encoding_count = (uint8_t)(1 + ((i->y & LAYERS) >> 2));
  s->paused = i->y & PAUSED;
  s->payload_type = (uint8_t)(s->video ? 96 : 98);
  s->rtx_payload_type = i->n & HAS_RTX ? 97 : -1;
  s->clock_rate = s->video ? 90000 : 48000;
  char mid[3] = {'m', (char)('0' + i->x % PLACES), 0};
  put_text(&s->mid, mid);
  for (uint8_t k = 0; k < s->encoding_count; k++) {
    char rid[3] = {'r', (char)('0' + k), 0};
    if (!(i->n & NAMES_NONE) && i->n & NAMES_SSRC) s->encodings[k].ssrc = FIRST_SSRC + (i->m + k) % SSRCS;
    if (s->encodings[k].ssrc && i->n & HAS_RTX) s->encodings[k].rtx_ssrc = FIRST_SSRC + (i->m + k + 128) % SSRCS;
    if (!(i->n & NAMES_NONE) && (i->n & NAMES_RID || s->encoding_count > 1)) put_text(&s->encodings[k].rid, rid);
  }
  s->ext_ids[MT_EXT_MID] = 1;
  s->ext_ids[MT_EXT_RID] = 2;
  s->ext_ids[MT_EXT_REPAIRED_RID] = 3;
  if (i->n & HAS_TWCC) s->ext_ids[MT_EXT_TRANSPORT_CC] = 4;
  s->ext_ids[MT_EXT_AUDIO_LEVEL] = 5;
  if (i->n & HAS_EXTENSIONS) s->ext_ids[MT_EXT_VIDEO_ORIENTATION] = 6;
  if (i->n & HAS_EXTENSIONS) s->ext_ids[MT_EXT_DEPENDENCY_DESCRIPTOR] = 7;
  s->nack = i->n & HAS_NACK, s->pli = i->n & HAS_PLI, s->fir = i->n & HAS_FIR;
  s->transport_cc = i->n & HAS_TWCC, s->remb = i->n & HAS_REMB;
  if (fuzz_producers[i->x % PLACES].id)
    fuzz_simple(fuzz_producers[i->x % PLACES].home, MT_REMOVE_PRODUCER, fuzz_producers[i->x % PLACES].id, 0);
  fuzz_command(c->home, &cmd);
  fuzz_producers[i->x % PLACES].id = cmd.id;
  fuzz_producers[i->x % PLACES].home = c->home;
  fuzz_producers[i->x % PLACES].mirrored = false;
  fuzz_producers[i->x % PLACES].spec = *s;
}

void fuzz_produced(const instruction *i) {
  static const mt_command_type types[] = {MT_PAUSE_PRODUCER, MT_PAUSE_PRODUCER, MT_REMOVE_PRODUCER, MT_REQUEST_KEYFRAME};
  unsigned place = i->who % PLACES;
  if (!fuzz_producers[place].id) return;
  if (i->y & 1) fuzz_simple(fuzz_producers[place].home, MT_WATCH_LEVEL, fuzz_producers[place].id, 0);
  fuzz_simple(fuzz_producers[place].home, types[i->x % 4], fuzz_producers[place].id, i->x % 4 == 0);
}

void fuzz_consume(client *c, const instruction *i) {
  mt_command cmd = {
      .type = MT_ADD_CONSUMER, .id = ++fuzz_last_id, .transport = c->id, .producer = fuzz_producers[i->x % PLACES].id};
  mt_consumer_spec *s = &cmd.u.consumer_spec;
  if (!c->alive || !cmd.producer) return;
  s->ssrc = FIRST_SENT_SSRC + 2 * (i->m % VIEWS);
  s->nack = i->n & 1;
  s->rtx_ssrc = i->n & 2 ? s->ssrc + 1 : 0;
  s->payload_type = 101;
  s->rtx_payload_type = i->n & 2 ? 102 : -1;
  put_text(&s->mid, "7");
  put_text(&s->cname, "c");
  s->ext_ids[MT_EXT_MID] = i->n & 32 ? 20 : 1;
  if (i->n & 4) s->ext_ids[MT_EXT_ABS_SEND_TIME] = 2;
  if (i->n & 8) s->ext_ids[MT_EXT_TRANSPORT_CC] = 3;
  s->ext_ids[MT_EXT_DEPENDENCY_DESCRIPTOR] = 7;
  s->ext_ids[MT_EXT_AUDIO_LEVEL] = 5;
  s->pli = s->fir = true;
  s->paused = i->n & 16;
  if (fuzz_consumers[i->y % VIEWS].id)
    fuzz_simple(fuzz_consumers[i->y % VIEWS].home, MT_REMOVE_CONSUMER, fuzz_consumers[i->y % VIEWS].id, 0);
  fuzz_command(c->home, &cmd);
  fuzz_consumers[i->y % VIEWS].id = cmd.id;
  fuzz_consumers[i->y % VIEWS].home = c->home;
}

void fuzz_consumed(const instruction *i) {
  unsigned place = i->who % VIEWS, home = fuzz_consumers[place].home;
  uint32_t id = fuzz_consumers[place].id;
  if (!id) return;
  switch (i->x % 4) {
  case 0: fuzz_simple(home, MT_PAUSE_CONSUMER, id, true); break;
  case 1: fuzz_simple(home, MT_PAUSE_CONSUMER, id, false); break;
  case 2: fuzz_prefer(home, id, i->n % 6, MT_MAX_TEMPORAL - 1); break;
  default: fuzz_simple(home, MT_REMOVE_CONSUMER, id, 0); break;
  }
}

void fuzz_wished(const client *c, const instruction *i) {
  unsigned place = i->who % VIEWS, home = fuzz_consumers[place].home;
  uint32_t id = fuzz_consumers[place].id;
  if (i->x % 4 == 3) fuzz_simple(c->home, MT_SET_TRANSPORT_MAX_OUTGOING, c->id, (uint64_t)i->n * 1000);
  else if (!id) return;
  else if (i->x % 4 == 0) fuzz_prefer(home, id, i->n % 6, i->m % 10);
  else if (i->x % 4 == 1) fuzz_simple(home, MT_SET_CONSUMER_PRIORITY, id, i->n);
  else fuzz_simple(home, MT_REQUEST_CONSUMER_KEYFRAME, id, 0);
}

void fuzz_relay(const instruction *i) {
  unsigned place = i->who % PLACES, from = fuzz_producers[place].home, to = 1 - from, what = i->x % 4;
  mt_command mirror = {.type = MT_ADD_MIRROR, .id = fuzz_producers[place].id, .u.producer_spec = fuzz_producers[place].spec};
  if (!mirror.id) return;
  fuzz_have_core(to);
  if (what == 3) {
    fuzz_simple(to, MT_REMOVE_PRODUCER, mirror.id, 0);
    return;
  }
  mt_link *link = mt_links_get(&fuzz_links[from], fuzz_wakers[from], fuzz_wakers[to], LINK_SLOTS);
  HOLDS(link, "no memory");
  if (what < 2) {
    fuzz_producers[place].mirrored = true;
    fuzz_command(to, &mirror);
    mt_command add = {.type = MT_ADD_LINK, .u.link = mt_link_hold(link)};
    fuzz_command(to, &add);
    mt_command_release(&add);
  }
  mt_command cmd = {.type = what < 2 ? MT_RELAY_PRODUCER : MT_STOP_RELAYING, .id = mirror.id, .u.link = mt_link_hold(link)};
  fuzz_command(from, &cmd);
  mt_command_release(&cmd);
}

void fuzz_python(client *c, const instruction *i) {
  switch (i->x % 4) {
  case 0: fuzz_simple(c->home, MT_REQUEST_STATS, i->who, 0); break;
  case 1: fuzz_deaf = true; break;
  case 2: fuzz_deaf = false; break;
  default: fuzz_simple(c->home, MT_SET_MAX_BITRATE, c->id, (uint64_t)i->n * 1000); break;
  }
}
