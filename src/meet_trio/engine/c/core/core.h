/* The engine's core: an SFU's state machine without I/O, clock or thread.
 *
 * Datagrams, commands and the time go in; datagrams and events come out through a sink. The thread (thread.c)
 * lends it a socket and a clock, the tests lend it memory and a clock of their own. Single-threaded; no call blocks.
 *
 *   transport   a client's path for media: ICE-lite credentials, the addresses that proved them, SRTP keys; or plain RTP
 *   producer    what a client sends: one to four streams (simulcast), found by SSRC, MID + RID, MID + repaired RID
 *   consumer    a producer's stream on its way to another client: rewritten SSRC, sequence numbers, timestamps, extensions
 *   mirror      a producer of another engine, filled through a link (link.h)
 *
 * Ids are given out by the caller, one space for each kind. A command for an id that does not exist is counted and has
 * no other effect: objects may go at any moment, a command may have been on its way.
 * Times are microseconds of a monotonic clock, rising from any value above 0.
 */
#ifndef MT_CORE_CORE_H
#define MT_CORE_CORE_H

#include "core/commands.h"
#include "state/sink.h"

mt_core *mt_core_new(const mt_settings *settings, const mt_sink *sink); /* NULL: no memory */
void mt_core_free(mt_core *core);

/* `data` is decrypted in place. */
void mt_core_datagram(mt_core *core, int64_t now, const mt_path *from, uint8_t *data, size_t len);
/* Whether the path is a route of a transport: it has proved itself, and consent was not lost since. */
bool mt_core_knows(mt_core *core, const mt_path *path);
/* A TCP connection has ended. If a transport's media went that way, it goes by the way that was heard last, if that lives. */
void mt_core_path_closed(mt_core *core, int64_t now, const mt_path *path);
/* Do what time asks for and offer waiting events; returns when to come again. Cheap when nothing is due. */
int64_t mt_core_tick(mt_core *core, int64_t now);

#endif
