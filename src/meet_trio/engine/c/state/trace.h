/* A trace: copies of one transport's RTP and RTCP, as they are without SRTP, on their way to Python.
 *
 * An operator asks for it. Incoming packets are copied once they are authentic and decrypted, outgoing ones before they are
 * protected, and only if they then leave. The copies wait in a buffer of a fixed size until an event takes them (core/events.c).
 * What finds the buffer full is lost and counted; media never waits. A transport that is not traced costs each packet one branch.
 *
 * A copy is a record: the time in 8 bytes (microseconds, the engine's clock), the packet's length in 2, MT_TRACED_… in 1, one byte
 * of zero, then the packet. Numbers are in the machine's order.
 */
#ifndef MT_STATE_TRACE_H
#define MT_STATE_TRACE_H

#include "state/core_state.h"

enum {
  MT_MAX_TRACES = 8,             /* at once; Python asks for fewer, and a command of its queue may overtake one that was replaced */
  MT_TRACE_BYTES = 128 * 1024,   /* of records that wait: 80 ms at 13 Mbit/s and the time until Python's next turn */
  MT_TRACE_RECORD = 12,          /* bytes of a record before its packet */
  MT_TRACE_WAIT_US = 50 * MT_MS, /* a packet waits for others to be in its event, */
};

enum { MT_TRACED_OUT = 1, MT_TRACED_RTCP = 2 }; /* bits of a record */

typedef struct mt_trace {
  mt_list in_core;    /* in mt_core.traces */
  uint32_t transport; /* id */
  size_t len;         /* bytes of records that wait */
  size_t staged;      /* bytes behind them: an outgoing packet that may still not leave; 0: none */
  bool staged_lost;   /* the outgoing packet found no room */
  int64_t due;        /* time of the next event */
  uint32_t lost;      /* packets since the trace began; modulo 2^32 */
  uint8_t records[MT_TRACE_BYTES];
} mt_trace;

/* Counted as refused: there are MT_MAX_TRACES, or there is no memory. A transport that is traced already stays so. */
void mt_trace_begin(mt_core *core, mt_transport *t);
void mt_trace_end(mt_core *core, mt_transport *t); /* what waits is forgotten; nothing happens if it is not traced */

/* The next four are called if `t->trace` is not NULL. */
void mt_trace_received(mt_core *core, const mt_transport *t, bool rtcp, const uint8_t *packet, size_t len);
/* An outgoing packet: the first `len` bytes, and `rest_len` at `rest`. The next mt_trace_sent takes it. */
void mt_trace_stage(const mt_transport *t, bool rtcp, const uint8_t *packet, size_t len, const uint8_t *rest, size_t rest_len);
void mt_trace_unstage(const mt_transport *t); /* it does not leave */
void mt_trace_sent(mt_core *core, const mt_transport *t);

#endif
