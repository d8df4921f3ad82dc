/* See table.h. */
#include "base/table.h"

#include <stdlib.h>

bool mt_table_init(mt_table *t, size_t slots) {
  t->slots = calloc(slots, sizeof *t->slots);
  t->mask = slots - 1;
  t->count = t->empty = 0;
  return t->slots != NULL;
}

void mt_table_free(mt_table *t) {
  free(t->slots);
  t->slots = NULL;
}

static void grow(mt_table *t) {
  size_t size = (t->mask + 1) * 2;
  mt_node **slots = calloc(size, sizeof *slots);
  if (!slots) return;
  for (size_t i = 0; i <= t->mask; i++) {
    for (mt_node *n = t->slots[i], *next; n; n = next) {
      next = n->next;
      n->next = slots[n->hash & (size - 1)];
      slots[n->hash & (size - 1)] = n;
    }
  }
  free(t->slots);
  t->slots = slots;
  t->mask = size - 1;
  t->empty = 0;
}

void mt_table_insert(mt_table *t, mt_node *node, uint64_t hash) {
  if (t->count > t->mask) grow(t);
  mt_node **slot = &t->slots[hash & t->mask];
  if ((hash & t->mask) < t->empty) t->empty = hash & t->mask;
  node->hash = hash;
  node->next = *slot;
  *slot = node;
  t->count++;
}

void mt_table_remove(mt_table *t, mt_node *node) {
  mt_node **link = &t->slots[node->hash & t->mask];
  while (*link && *link != node) link = &(*link)->next;
  if (!*link) return;
  *link = node->next;
  node->next = NULL;
  t->count--;
}

/* The first node of the chain at `n` that has this hash. */
static mt_node *with_hash(mt_node *n, uint64_t hash) {
  while (n && n->hash != hash) n = n->next;
  return n;
}

mt_node *mt_table_first(const mt_table *t, uint64_t hash) { return with_hash(t->slots[hash & t->mask], hash); }

mt_node *mt_table_next(const mt_node *node) { return with_hash(node->next, node->hash); }

mt_node *mt_table_any(mt_table *t) {
  if (!t->count) return NULL;
  while (!t->slots[t->empty]) t->empty++;
  return t->slots[t->empty];
}
