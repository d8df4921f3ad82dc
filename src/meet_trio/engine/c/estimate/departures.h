/* The packets that left a transport lately, by transport-wide number: when, how large, and what feedback has said of them.
 *
 * It is a ring of the newest MT_DEPARTURES numbers. Adding is one slot, unless numbers were skipped. Feedback about a number that is
 * too old or was never sent finds nothing.
 */
#ifndef MT_ESTIMATE_DEPARTURES_H
#define MT_ESTIMATE_DEPARTURES_H

#include <stddef.h>
#include <stdint.h>

enum { MT_DEPARTURES = 4096 }; /* packets: 0.8 s of 50 Mbit/s; a power of two */

typedef enum { MT_FATE_UNKNOWN, MT_FATE_RECEIVED, MT_FATE_LOST } mt_fate;

typedef struct {
  uint32_t sent;   /* microseconds, the low 32 bits */
  uint16_t bytes;  /* 0: no packet has this number */
  uint8_t cluster; /* the probe that the packet belongs to; 0: none */
  uint8_t fate;    /* mt_fate */
} mt_departure;

typedef struct {
  mt_departure slots[MT_DEPARTURES];
  uint64_t next; /* extended number after the newest one; 0: none was sent */
} mt_departures;

/* Returns the extended number. 0: the number is not newer than the newest one, and nothing was noted. */
uint64_t mt_departures_add(mt_departures *d, uint16_t number, size_t bytes, uint8_t cluster, int64_t now);
/* The extended number nearest to the newest one; `d->next` must not be 0. */
uint64_t mt_departures_extend(const mt_departures *d, uint16_t number);
/* `number`: extended. NULL: the ring does not have it. */
mt_departure *mt_departures_find(mt_departures *d, uint64_t number);
/* When a packet of the ring left; it is at most 2^32 microseconds (71 minutes) ago. */
int64_t mt_departure_time(const mt_departure *p, int64_t now);

#endif
