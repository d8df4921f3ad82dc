/* See find.h. */
#include "state/find.h"

/* mt_hash64 is a bijection, so the first node with an id's hash is the one with the id. */
static mt_node *by_id(const mt_table *table, uint32_t id) { return mt_table_first(table, mt_hash64(id)); }

mt_transport *mt_find_transport(mt_core *core, uint32_t id) {
  mt_node *n = by_id(&core->transports, id);
  return n ? MT_OF(n, mt_transport, node) : NULL;
}

mt_producer *mt_find_producer(mt_core *core, uint32_t id) {
  mt_node *n = by_id(&core->producers, id);
  return n ? MT_OF(n, mt_producer, node) : NULL;
}

mt_consumer *mt_find_consumer(mt_core *core, uint32_t id) {
  mt_node *n = by_id(&core->consumers, id);
  return n ? MT_OF(n, mt_consumer, node) : NULL;
}
