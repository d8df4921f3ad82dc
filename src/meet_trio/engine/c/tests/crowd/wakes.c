/* As thread/wakes.c, for the thread of a crowd. */
#include "crowd/crowd.c"

#include "../check.h"

static mt_crowd c;
static int work; /* neither atomic nor behind a ring: only the mark orders it */
static atomic_bool done;

static void *wake_python_again(void *context) {
  (void)context;
  work = 1;
  c.new_events = true;
  wake_python(&c);
  atomic_store_explicit(&done, true, memory_order_relaxed); /* orders nothing */
  return NULL;
}

/* The crowd's thread has found that Python was woken already. */
int main(void) {
  pthread_t other;
  c.event_fd = eventfd(0, EFD_NONBLOCK);
  atomic_store(&c.signaled, true);
  CHECK(c.event_fd >= 0 && pthread_create(&other, NULL, wake_python_again, NULL) == 0);
  while (!atomic_load_explicit(&done, memory_order_relaxed)) usleep(100);
  mt_crowd_reset_events(&c);
  CHECK(work == 1);
  pthread_join(other, NULL);
  close(c.event_fd);
  return check_result();
}
