/* See policing.h. */
#include "ingress/policing.h"

#include "base/bucket.h"

enum {
  /* The least that a client is held to. libwebrtc does not go below 30 kbit/s for each layer, and audio knows no REMB. */
  LEAST_LIMIT = 256000, /* bit/s */
  /* A client sends before it is told a limit: a second of 10 Mbit/s is allowed for that. */
  LEAST_BURST = 1250000, /* bytes */
};

bool mt_transport_takes(mt_core *core, mt_transport *t, int64_t now) {
  if (!t->max_bitrate) return true;
  double limit = (double)(t->max_bitrate > LEAST_LIMIT ? t->max_bitrate : LEAST_LIMIT) / 8; /* bytes a second */
  double most = limit * core->settings.excess_ms / 1000;
  if (most < LEAST_BURST) most = LEAST_BURST;
  mt_bucket_fill(&t->media, limit * core->settings.excess_percent / 100, most, now);
  if (t->media.level >= 0) return true;
  core->counters.dropped_above_bitrate++;
  return false;
}

void mt_transport_charge(mt_transport *t, size_t len) { t->media.level -= (double)len; }
