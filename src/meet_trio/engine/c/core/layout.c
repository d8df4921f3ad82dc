/* See layout.h. */
#include "core/layout.h"

#include "egress/numbering.h"
#include "state/core_state.h"

uint64_t mt_layout(void) {
  static const size_t numbers[] = {
      sizeof(mt_transport), sizeof(mt_plain),     sizeof(mt_source),       sizeof(mt_producer),
      sizeof(mt_consumer),  sizeof(mt_numbering), sizeof(mt_ledger_entry),
  };
  return mt_hash_bytes((const uint8_t *)numbers, sizeof numbers, MT_REGION_VERSION);
}
