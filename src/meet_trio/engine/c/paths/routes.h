/* Credentials and routes of transports: how a path becomes a route, which route is used, and when routes end.
 *
 * A route is a path that has brought a Binding request with the transport's password. The first route is selected at once, because
 * browsers nominate only after they have seen an answer. USE-CANDIDATE selects another route. All datagrams except STUN are
 * accepted from routes only. A path by which only media has come can be a route for a short time (paths/claims.h). Nothing is stored
 * for any other path.
 *
 * A path is a route of one transport only. A client could try to take over another client's path by forging the source address of
 * its own valid requests. So a path changes to another transport only when its transport has missed a check there: neither a check
 * nor a newer packet came by it for 3 seconds. If the transport was alive after all, its next check takes the path back.
 *
 * The route of a TCP connection ends with the connection. Its transport goes on with its other routes, or waits for a new one until
 * consent is lost (RFC 7675). After an ICE restart both credentials are valid until the first request with the new ones.
 *
 * Plain transports have no routes here (core/plain.h). Answering requests is in paths/ice.c.
 */
#ifndef MT_PATHS_ROUTES_H
#define MT_PATHS_ROUTES_H

#include "state/core_state.h"

/* `slot`: one of the transport's, which is free. */
void mt_credentials_set(mt_core *core, mt_transport *t, mt_credentials *slot, const mt_ice_spec *ice);
void mt_credentials_drop(mt_core *core, mt_credentials *slot); /* wipes the password; a free slot is allowed */
/* `len`: bytes of `ufrag`. NULL: no transport has it. */
mt_credentials *mt_credentials_find(mt_core *core, const uint8_t *ufrag, size_t len);

/* Times are microseconds. */

mt_route *mt_route_find(mt_core *core, const mt_path *path); /* NULL: the path is no route */
/* Makes `path`, which is no route, a route that has proved nothing. NULL: the transport's other routes all work. */
mt_route *mt_route_add_idle(mt_core *core, mt_transport *t, const mt_path *path, int64_t now);
/* Notes that an authenticated request came by `path`, which becomes a route. NULL: the path is a route of another transport that
 * keeps it. */
mt_route *mt_route_prove(mt_core *core, mt_transport *t, const mt_path *path, int64_t now);
/* Selects the route, and notes the event for Python. It does nothing if the selected route works and the client has not `nominated`
 * `r`. */
void mt_route_select(mt_core *core, mt_transport *t, mt_route *r, bool nominated, int64_t now);
/* `path`, which is no route, is selected, as it was in an earlier process. `seen`: time of its last authenticated request. Python is not
 * told. */
void mt_route_resume(mt_core *core, mt_transport *t, const mt_path *path, int64_t seen);
/* Drops the route. If it was selected, the route heard last is selected, if it works. */
void mt_route_lose(mt_core *core, mt_route *r, int64_t now);
void mt_route_drop(mt_core *core, mt_route *route); /* selects no other; a free route is allowed */

/* Drops what has no consent (RFC 7675). A selected route not heard for mt_settings.consent_ms is lost. A transport not heard for
 * that long loses all its routes, and Python is told by an event. */
void mt_transport_check_consent(mt_core *core, mt_transport *t, int64_t now);
/* The first time at which mt_transport_check_consent does anything; INT64_MAX: never. A check makes it later. A change of the
 * selected route can make it earlier, which marks the transport as busy. */
int64_t mt_transport_consent_ends(const mt_core *core, const mt_transport *t);

#endif
