/* Sizes and units that several folders share. */
#ifndef MT_BASE_LIMITS_H
#define MT_BASE_LIMITS_H

enum {
  MT_DATAGRAM_MAX = 2048, /* bytes: largest datagram in or out */
  MT_MAX_ENCODINGS = 4,   /* of a producer */
  MT_MAX_TEXT = 64,       /* bytes: ufrag, password, MID, RID, CNAME */
  MT_MAX_NETWORKS = 16,   /* that one plain transport may talk to */
};

enum { /* times are microseconds */
       MT_SECOND = 1000000,
       MT_MS = 1000,
};

#endif
