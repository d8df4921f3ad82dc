/* Doubly linked lists whose links live in their members, so that joining and leaving cost nothing and cannot fail. */
#ifndef MT_BASE_LIST_H
#define MT_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct mt_list {
  struct mt_list *prev, *next;
} mt_list;

#define MT_OF(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

/* `item` may be taken out of the list in the body. */
#define MT_EACH(item, list) \
  for (mt_list *item = (list)->next, *item##_next = item->next; item != (list); item = item##_next, item##_next = item->next)

static inline void mt_list_init(mt_list *l) { l->prev = l->next = l; }

static inline bool mt_list_empty(const mt_list *l) { return l->next == l; }

static inline void mt_list_remove(mt_list *item) {
  item->prev->next = item->next;
  item->next->prev = item->prev;
  mt_list_init(item);
}

/* An item that is in a list already moves to the end of this one. */
static inline void mt_list_append(mt_list *l, mt_list *item) {
  mt_list_remove(item);
  item->prev = l->prev;
  item->next = l;
  l->prev->next = item;
  l->prev = item;
}

#endif
