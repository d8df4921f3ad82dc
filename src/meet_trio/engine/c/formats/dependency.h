/* The Dependency Descriptor of AV1: a header extension that tells which frames a frame needs, and which viewers need the frame
 * (RTP Payload Format For AV1, appendix A), and AV1's aggregation header (section 4.4).
 *
 * A frame names one of up to 64 templates: its layers, its references, and for each of up to 32 decode targets how the target
 * uses it. The structure with the templates comes with the first packet of a coded video sequence. A stream keeps the newest
 * one. Frames may replace single values of their template. Chains are read past: an SFU begins a layer only with a frame that
 * needs no earlier picture.
 *
 * The functions keep no state and allocate nothing.
 */
#ifndef MT_FORMATS_DEPENDENCY_H
#define MT_FORMATS_DEPENDENCY_H

#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  MT_DD_TEMPLATES = 64, /* template ids have 6 bits */
  MT_DD_TARGETS = 32,   /* decode targets of a structure */
};

/* The index of a pair of layers. */
static inline unsigned mt_target(unsigned spatial, unsigned temporal) { return spatial * MT_MAX_TEMPORAL + temporal; }

typedef enum { /* how a decode target uses a frame, 2 bits */
               MT_DTI_NOT_PRESENT,
               MT_DTI_DISCARDABLE,
               MT_DTI_SWITCH,
               MT_DTI_REQUIRED,
} mt_dti;

typedef struct {
  uint8_t spatial, temporal;
  uint8_t reach; /* the largest difference to a frame that it refers to, in frame numbers; 0: it refers to none */
  uint64_t dtis; /* mt_dti of decode target i in bits 2i and 2i + 1 */
} mt_dd_template;

typedef struct {
  uint8_t offset;         /* template id of the first template */
  uint8_t template_count; /* 0: there is no structure */
  uint8_t target_count, chain_count;
  /* The decode target to take for a target of this server, by mt_target: the highest without a higher layer; -1: there is none. */
  int8_t target_for[MT_MAX_SPATIAL * MT_MAX_TEMPORAL];
  uint16_t width, height; /* pixels, of the highest spatial layer; 0: not told */
  mt_dd_template templates[MT_DD_TEMPLATES];
} mt_dd_structure;

typedef struct {
  bool begins, ends; /* the first, the last packet of the frame */
  uint8_t template_id;
  uint16_t frame;     /* number */
  bool has_structure; /* the packet has brought one */
  bool known;         /* the template is known; else the following is not set */
  uint8_t spatial, temporal;
  uint16_t reach; /* as in mt_dd_template; 4096 at most */
  uint64_t dtis;  /* as in mt_dd_template */
} mt_dd;

/* `n`: bytes of the extension's value. `structure`: the stream's, which a structure of this packet replaces in `brought`; without
 * one `brought` is not written. False: the descriptor is malformed. A template that `structure` does not have is no fault: the
 * structure may have been lost. */
bool mt_dd_parse_untrusted(const uint8_t *p, size_t n, const mt_dd_structure *structure, mt_dd *out, mt_dd_structure *brought);

/* Overwrites the frame number in a value that mt_dd_parse_untrusted has accepted. */
void mt_dd_rewrite(uint8_t *value, uint16_t frame);

static inline mt_dti mt_dd_use(uint64_t dtis, unsigned target) { return (mt_dti)(dtis >> 2 * target & 3); }

/* True: the packet begins a coded video sequence (N of the aggregation header): a key frame. `n`: bytes of payload. */
bool mt_av1_is_keyframe_untrusted(const uint8_t *payload, size_t n);

#endif
