/* See redundancy.h. */
#include "egress/redundancy.h"

#include "egress/again.h"
#include "egress/viewer.h"

enum {
  SPARE_PERCENT = 30,        /* of the bytes of video may be redundant */
  SPARE_MUCH_PERCENT = 50,   /* the same where very much is lost */
  SPARE_BURST = 16 * 1024,   /* bytes: a frame of 4 Mbit/s */
  SPARE_DEBT = 8 * 1024,     /* bytes that copies of retransmissions may take before they are earned */
  SMALL_FRAME = 3,           /* packets of a small frame at most */
  LARGEST_FRAME = 32,        /* packets of a frame that is looked back at */
  AUDIO_GAP_US = 80 * MT_MS, /* a packet that was sent longer ago comes too late to be played (DTX) */
};

enum { /* the levels of loss (base/loss_level.h) from which on these are sent twice */
       LAST_PACKETS = MT_LOSS_SOME,
       RETRANSMISSIONS = MT_LOSS_MUCH,
       SMALL_FRAMES = MT_LOSS_MUCH,
       AUDIO = MT_LOSS_SOME,
       AUDIO_TWICE = MT_LOSS_VERY_MUCH,
       LOWEST_LAYER = MT_LOSS_VERY_MUCH,
};

/* The allocation leaves room on the link, or none. */
static unsigned percent_of(const mt_transport *t) {
  unsigned most = mt_viewer_loss_level(t) >= MT_LOSS_VERY_MUCH ? SPARE_MUCH_PERCENT : SPARE_PERCENT;
  return t->downlink && t->downlink->spare_percent < most ? t->downlink->spare_percent : most;
}

static void earn(mt_transport *t, size_t len) {
  t->spare += (int32_t)(len * percent_of(t) / 100);
  if (t->spare > SPARE_BURST) t->spare = SPARE_BURST;
}

/* On a congested link more bytes would only lose others. */
static uint8_t level_of(const mt_transport *t, int64_t now) {
  return mt_viewer_congested(t, now) ? MT_LOSS_NONE : mt_viewer_loss_level(t);
}

/* Returns the bytes of the copy. 0: the packet came longer ago than `most_age`, or is not kept any more. */
static size_t repeat(mt_core *core, mt_consumer *c, uint64_t sequence, int64_t most_age, int64_t now) {
  mt_again again;
  if (!mt_again_find(c, sequence, &again) || now - again.packet->arrived > most_age) return 0;
  size_t len = mt_again_send(core, c, &again, 0, now);
  if (!len) return 0;
  core->counters.redundant_packets++;
  c->stats.redundant++;
  c->redundant_bytes += len;
  return len;
}

/* The same for video. False: the budget is used up, and `debt`, too. */
static bool repeat_video(mt_core *core, mt_consumer *c, uint64_t sequence, int32_t debt, int64_t now) {
  if (c->transport->spare <= -debt) return false;
  c->transport->spare -= (int32_t)repeat(core, c, sequence, INT64_MAX, now);
  return true;
}

/* One packet later, so that one burst of losses does not take both. There is at most twice as much of it as of the sound itself. */
static void repeat_audio(mt_core *core, mt_consumer *c, uint64_t sequence, uint8_t level, int64_t now) {
  if (level >= AUDIO) repeat(core, c, sequence - 1, AUDIO_GAP_US, now);
  if (level >= AUDIO_TWICE) repeat(core, c, sequence - 2, AUDIO_GAP_US, now);
}

/* The number of packets, up to `sequence`, that have the timestamp of `p`'s frame. */
static unsigned frame_size(const mt_consumer *c, const mt_packet *p, uint64_t sequence) {
  mt_again again;
  unsigned n = 1;
  while (n < LARGEST_FRAME && mt_again_find(c, sequence - n, &again) && again.packet->timestamp == p->timestamp) n++;
  return n;
}

static bool is_lowest_layer(const mt_packet *p) { return p->has_vp8 && p->vp8.has_tid && p->vp8.tid == 0; }

static void repeat_frame(mt_core *core, mt_consumer *c, const mt_packet *p, uint64_t sequence, int64_t now) {
  uint8_t level = level_of(c->transport, now);
  if (!repeat_video(core, c, sequence, 0, now) || level < SMALL_FRAMES) return;
  unsigned size = frame_size(c, p, sequence);
  bool whole = size <= SMALL_FRAME || (level >= LOWEST_LAYER && is_lowest_layer(p));
  for (unsigned i = 1; whole && i < size; i++)
    if (!repeat_video(core, c, sequence - size + i, 0, now)) return;
}

void mt_redundancy_sent(mt_core *core, mt_consumer *c, const mt_packet *p, uint64_t sequence, size_t len, int64_t now) {
  bool video = c->producer->spec.video;
  if (video) earn(c->transport, len);
  uint8_t level = level_of(c->transport, now);
  if (level < LAST_PACKETS || sequence != c->newest_sent)
    return; /* a late packet was recovered, and is asked for if it is lost again */
  if (video && p->marker && c->rtx_sender) repeat_frame(core, c, p, sequence, now);
  if (!video && !c->rtx_sender) repeat_audio(core, c, sequence, level, now);
}

void mt_redundancy_resent(mt_core *core, mt_consumer *c, uint64_t sequence, int64_t now) {
  if (level_of(c->transport, now) >= RETRANSMISSIONS && c->rtx_sender) repeat_video(core, c, sequence, SPARE_DEBT, now);
}
