/* The engine's core: an SFU's state machine without I/O, clock or thread.
 *
 * Datagrams, commands and the time go in; datagrams and events come out through a sink. The thread (thread.c) gives it sockets and
 * a clock, the tests give it memory and a clock of their own. A core belongs to one thread, and no call blocks. Signaling, SDP and
 * DTLS handshakes are left to Python.
 *
 *   transport   a client's path for media: ICE-lite credentials, the addresses that proved them, SRTP keys; or plain RTP
 *   producer    media that a client sends: one to four streams (simulcast), found by SSRC, MID + RID, MID + repaired RID
 *   consumer    a producer's stream on its way to another client: rewritten SSRC, sequence numbers, timestamps, extensions
 *   mirror      a producer of another engine, filled through a link (links/link.h)
 *
 * Received datagrams are told apart by their first byte (RFC 7983). The tick calls what is due, from the lower folders up:
 * ten times a second a round of the objects that have something to do (core/visits.h), and in between the objects that wait in
 * lists.
 *
 * The caller assigns the ids, one space for each kind. A command for an id that does not exist is counted and has no other effect,
 * because an object may end while a command for it is on its way.
 *
 * Times are microseconds of a monotonic clock, which rises from any value above 0.
 */
#ifndef MT_CORE_CORE_H
#define MT_CORE_CORE_H

#include "base/region.h"
#include "core/commands.h"
#include "state/sink.h"

mt_core *mt_core_new(const mt_settings *settings, const mt_sink *sink); /* NULL: no memory */
/* What outlives the process lies in `region` (state/kept.h), which is the core's from now on, also after a failure. NULL: no memory,
 * or `region` is NULL. */
mt_core *mt_core_new_in(mt_region *region, const mt_settings *settings, const mt_sink *sink);
/* The engine ends: it leaves its links, and a region's file stays as it is. mt_core_free does so too. `died`: by a failure. */
void mt_core_leave(mt_core *core, bool died);
void mt_core_free(mt_core *core); /* NULL is allowed */

/* A datagram of `len` bytes has come by the path `from`. Its `data` is decrypted in place. */
void mt_core_datagram(mt_core *core, int64_t now, const mt_path *from, uint8_t *data, size_t len);
/* From now on packets of datagrams, and of other cores, may be gathered (egress/fanout.h) until they are forwarded. Commands, ticks
 * and ends of connections forward them, too, before they change anything for them. mt_exchange_take gathers by itself. */
void mt_core_gather(mt_core *core);
void mt_core_forward(mt_core *core, int64_t now);
/* True: the path is a route of a transport, so it has proved itself and its consent was not lost since. */
bool mt_core_knows(mt_core *core, const mt_path *path);
/* The TCP connection of `path` has ended. A transport that sent its media there sends it by the route heard last, if that works. */
void mt_core_path_closed(mt_core *core, int64_t now, const mt_path *path);
/* Does the work that is due and offers waiting events. Returns the time of the next call. A call before that time costs little. */
int64_t mt_core_tick(mt_core *core, int64_t now);

#endif
