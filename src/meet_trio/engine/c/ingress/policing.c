/* See policing.h. */
#include "ingress/policing.h"

#include "base/bucket.h"

enum {
  /* A lower limit counts as this one: libwebrtc does not go below 30 kbit/s for each layer, and does not apply REMB to audio. */
  LEAST_LIMIT = 256000, /* bit/s */
  /* A client sends before it is told a limit. This allows a second at 10 Mbit/s for that. */
  LEAST_BURST = 1250000, /* bytes */
};

bool mt_transport_takes(mt_core *core, mt_transport *t, int64_t now) {
  if (!t->max_bitrate) return true;
  double limit = (double)(t->max_bitrate > LEAST_LIMIT ? t->max_bitrate : LEAST_LIMIT) / 8; /* bytes a second */
  double burst = limit * core->settings.excess_ms / 1000;                                   /* bytes */
  if (burst < LEAST_BURST) burst = LEAST_BURST;
  mt_bucket_fill(&t->media, limit * core->settings.excess_percent / 100, burst, now);
  if (t->media.level >= 0) return true;
  core->counters.dropped_above_bitrate++;
  return false;
}

void mt_transport_charge(mt_transport *t, size_t len) { t->media.level -= (double)len; }
