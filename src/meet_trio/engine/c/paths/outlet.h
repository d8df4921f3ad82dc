/* The functions that send datagrams; all datagrams of a core leave by them.
 *
 * A datagram is written into the buffer that mt_reserve returns, and then sent. Without a sending function the next mt_reserve
 * returns the same buffer again. Sent datagrams are counted, and handed to the sink, which may lose them.
 */
#ifndef MT_PATHS_OUTLET_H
#define MT_PATHS_OUTLET_H

#include "state/core_state.h"

/* A buffer of MT_DATAGRAM_MAX bytes; never NULL. */
uint8_t *mt_reserve(mt_core *core);
/* Sends the `len` bytes in the buffer by the transport's selected route. Without one they are dropped and counted. */
void mt_send(mt_core *core, mt_transport *t, size_t len);
/* Protects the compound RTCP packet of `len` bytes in the buffer and sends it, on a plain transport by its RTCP socket. It does
 * nothing if the transport has no keys or `len` is 0. */
void mt_send_srtcp(mt_core *core, mt_transport *t, uint8_t *packet, size_t len);
/* Sends the `len` bytes in the buffer to the path that a request came by. It does nothing if `len` is 0. */
void mt_send_answer(mt_core *core, const mt_path *to, size_t len);

#endif
