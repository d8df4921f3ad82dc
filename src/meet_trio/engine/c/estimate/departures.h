/* The packets that left a transport lately, by transport-wide number: when, how large, and what feedback has said of them.
 *
 * It is a ring of the newest numbers. Adding is one slot, unless numbers were skipped. Feedback about a number that is too old or was
 * never sent finds nothing.
 *
 * The ring doubles if it would lose a packet that left less than MT_DEPARTURES_KEPT_US ago, up to MT_DEPARTURES. So all its growths
 * together copy fewer slots than packets left. Without memory it stays as it is, and tries again when it is full once more.
 */
#ifndef MT_ESTIMATE_DEPARTURES_H
#define MT_ESTIMATE_DEPARTURES_H

#include "base/pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  MT_DEPARTURES_LEAST = 256,       /* packets of a ring at first; a power of two */
  MT_DEPARTURES = 4096,            /* packets at most: 0.8 s of 50 Mbit/s; a power of two */
  MT_DEPARTURES_KEPT_US = 2000000, /* feedback comes later than that only after an outage */
};

typedef enum { MT_FATE_UNKNOWN, MT_FATE_RECEIVED, MT_FATE_LOST } mt_fate;

typedef struct {
  uint32_t sent;   /* microseconds, the low 32 bits */
  uint16_t bytes;  /* 0: no packet has this number */
  uint8_t cluster; /* the probe that the packet belongs to; 0: none */
  uint8_t fate;    /* mt_fate */
} mt_departure;

typedef struct {
  mt_pools *pools;
  mt_departure *slots;
  uint32_t count; /* of `slots` */
  bool refused;   /* there was no memory for more */
  uint64_t next;  /* extended number after the newest one; 0: none was sent */
} mt_departures;

void mt_departures_pools(mt_pools *pools);                  /* the memory of many rings; its owner frees it after them */
bool mt_departures_init(mt_departures *d, mt_pools *pools); /* false: no memory */
void mt_departures_free(mt_departures *d);
void mt_departures_fetch(const mt_departures *d); /* a packet is about to be added */
/* Returns the extended number. 0: the number is not newer than the newest one, and nothing was noted. */
uint64_t mt_departures_add(mt_departures *d, uint16_t number, size_t bytes, uint8_t cluster, int64_t now);
/* The extended number nearest to the newest one; `d->next` must not be 0. */
uint64_t mt_departures_extend(const mt_departures *d, uint16_t number);
/* `number`: extended. NULL: the ring does not have it. */
mt_departure *mt_departures_find(mt_departures *d, uint64_t number);
/* When a packet of the ring left; it is at most 2^32 microseconds (71 minutes) ago. */
int64_t mt_departure_time(const mt_departure *p, int64_t now);

#endif
