/* Sizes and units that several folders share. A constant that one file needs stands in that file. */
#ifndef MT_BASE_LIMITS_H
#define MT_BASE_LIMITS_H

enum {
  MT_DATAGRAM_MAX = 2048, /* bytes: largest datagram in or out */
  MT_MAX_ENCODINGS = 4,   /* encodings of a producer */
  MT_MAX_SPATIAL = 3,     /* spatial layers in one stream (SVC); simulcast has a stream for each */
  MT_MAX_TEMPORAL = 4,    /* temporal layers of a stream: VP8's TID has two bits, AV1's and VP9's highest modes have three layers */
  MT_MAX_TEXT = 64,       /* bytes: largest ufrag, password, MID, RID or CNAME */
  MT_MAX_NETWORKS = 16,   /* networks that one plain transport may talk to */
  MT_BITS = 8,            /* of a byte */
  MT_CACHE_LINE = 64,     /* bytes: threads that write to different lines do not slow each other down */
};

enum { /* microseconds, the unit of all times */
       MT_SECOND = 1000000,
       MT_MS = 1000,
};

#endif
