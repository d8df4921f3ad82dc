/* Receives the datagrams of a socket, with the time at which the kernel took each.
 *
 * Datagrams that a sender on this machine has sent as one (GSO) come as one too, if the socket allows it (UDP_GRO), and are cut here.
 * The kernel's times are those of the wall clock. They are moved by the difference of the two clocks, which is read for each batch.
 */
#ifndef MT_CROWD_INTAKE_H
#define MT_CROWD_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mt_intake mt_intake;

/* Called for each datagram; `p` may be changed. `arrived`: us of the monotonic clock. */
typedef void mt_intake_take(void *context, int64_t arrived, uint8_t *p, size_t n);

mt_intake *mt_intake_new(void);            /* NULL: no memory */
void mt_intake_free(mt_intake *i);         /* NULL is allowed */
void mt_intake_prepare(int fd, bool join); /* once for each socket; `join`: datagrams may come as one */
/* Receives a batch. False: no more waits. */
bool mt_intake_receive(mt_intake *i, int fd, mt_intake_take *take, void *context);

#endif
