/* The layout of the objects in a region, as a number. A process reads the region of another one only if both have the same layout
 * (core/salvage.h). */
#ifndef MT_CORE_LAYOUT_H
#define MT_CORE_LAYOUT_H

#include <stdint.h>

/* Changes with the size of each kept object, and with the place of each member that is read from a region. It never changes within
 * a build. */
uint64_t mt_layout(void);

#endif
