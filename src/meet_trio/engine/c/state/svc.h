/* What a consumer forwards of a stream with several layers (VP9, AV1). This is the state only; the code is in egress/svc.c. */
#ifndef MT_STATE_SVC_H
#define MT_STATE_SVC_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
  uint8_t spatial, temporal; /* the target that is forwarded */
  uint8_t fed;               /* spatial layers, as bits, of which the client has all frames up to `temporal` */
  bool started;              /* a frame has been seen: the following is set */
  bool climbing;             /* the newest picture is a key picture, so that higher layers of it may be begun */
  uint32_t timestamp;        /* of the newest picture, as the publisher sent it */
  uint8_t decided, left_out; /* spatial layers of that picture, as bits: their frames were seen, are left out */
} mt_svc;                    /* zeros: nothing was forwarded */

#endif
