/* The addresses of a transport: how they are proved, which one is used, when they end.
 *
 * A route is an address from which a binding request came that knew our password. The first one is selected at once, because browsers
 * nominate only after they have seen an answer; USE-CANDIDATE selects another. Everything that is not STUN is taken from routes
 * only, so nothing is kept or done for addresses that have proved nothing.
 *
 * An address belongs to one transport. A client could try to take another's by forging the source of its own valid
 * requests, so an address changes hands only when its owner has not been heard there for a while.
 *
 * A TCP connection's route ends with it. The transport lives on by its other routes, or waits for a new one until consent is lost.
 *
 * After an ICE restart both credentials work until the first request with the new ones.
 */
#ifndef MT_PATHS_ROUTES_H
#define MT_PATHS_ROUTES_H

#include "state/core_state.h"

void mt_credentials_set(mt_core *core, mt_transport *t, mt_credentials *slot, const mt_ice_spec *ice); /* `slot` is unused */
void mt_credentials_drop(mt_core *core, mt_credentials *slot);
mt_credentials *mt_credentials_find(mt_core *core, const uint8_t *ufrag, size_t len); /* NULL: of no transport */

mt_route *mt_route_find(mt_core *core, const mt_path *path); /* NULL: nobody has proved it */
/* An authenticated request came by `path`. NULL: the address is another transport's, which was heard there just now. */
mt_route *mt_route_prove(mt_core *core, mt_transport *t, const mt_path *path, int64_t now);
void mt_route_select(mt_core *core, mt_transport *t, mt_route *r, bool nominated,
                     int64_t now);                           /* unless another works and is to stay */
void mt_route_lose(mt_core *core, mt_route *r, int64_t now); /* another one that lives is selected in its place */
void mt_route_drop(mt_core *core, mt_route *route);

void mt_transport_check_consent(mt_core *core, mt_transport *t, int64_t now);

#endif
