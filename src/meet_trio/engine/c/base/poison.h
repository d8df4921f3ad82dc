/* The address sanitizer does not know the items of a block, so a free item is poisoned for it. Without the sanitizer this is
 * nothing. */
#ifndef MT_BASE_POISON_H
#define MT_BASE_POISON_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define MT_POISON(p, size) ASAN_POISON_MEMORY_REGION(p, size)
#define MT_UNPOISON(p, size) ASAN_UNPOISON_MEMORY_REGION(p, size)
#else
#define MT_POISON(p, size) ((void)0)
#define MT_UNPOISON(p, size) ((void)0)
#endif

#endif
