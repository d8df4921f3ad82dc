/* The only way out for datagrams. One is written into the buffer that mt_reserve gives, then sent; a buffer that is not sent is
 * given again by the next mt_reserve.
 */
#ifndef MT_PATHS_OUTLET_H
#define MT_PATHS_OUTLET_H

#include "state/core_state.h"

uint8_t *mt_reserve(mt_core *core);                                              /* MT_DATAGRAM_MAX bytes; never NULL */
void mt_send(mt_core *core, mt_transport *t, size_t len);                        /* by the selected route; dropped without one */
void mt_send_srtcp(mt_core *core, mt_transport *t, uint8_t *packet, size_t len); /* protects it first; nothing without keys */
void mt_send_answer(mt_core *core, const mt_path *to, size_t len);               /* to whoever asked; nothing if `len` is 0 */

#endif
