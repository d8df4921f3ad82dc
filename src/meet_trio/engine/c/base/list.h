/* Doubly linked lists whose links lie in their members: adding and removing take constant time, allocate nothing and cannot
 * fail.
 *
 * A list is circular: its head is an mt_list too. mt_list_init makes a head an empty list, and a member's link one that is in no
 * list; both need it once. A list does not own its members. A member must be removed before it is freed.
 */
#ifndef MT_BASE_LIST_H
#define MT_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct mt_list {
  struct mt_list *prev, *next;
} mt_list;

/* The `type` whose member `member` is at `pointer`. */
#define MT_OF(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

/* A loop over the links of `list`. The body may remove `item`, but not the link after it. */
#define MT_EACH(item, list) \
  for (mt_list *item = (list)->next, *item##_next = item->next; item != (list); item = item##_next, item##_next = item->next)

static inline void mt_list_init(mt_list *l) { l->prev = l->next = l; }

static inline bool mt_list_empty(const mt_list *l) { return l->next == l; }

/* An item that is in no list stays so. */
static inline void mt_list_remove(mt_list *item) {
  item->prev->next = item->next;
  item->next->prev = item->prev;
  mt_list_init(item);
}

/* An item that is in a list, this one or another, moves to the end of this one. */
static inline void mt_list_append(mt_list *l, mt_list *item) {
  mt_list_remove(item);
  item->prev = l->prev;
  item->next = l;
  l->prev->next = item;
  l->prev = item;
}

#endif
