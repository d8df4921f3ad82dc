/* Two threads and a mark: who finds that the other need not be woken has shown the other what it did before. Built with
 * ThreadSanitizer, which knows what C11 promises, and not only what this processor does.
 */
#include "thread.c"

#include "../check.h"

/* No link has messages. */
bool mt_exchange_idle(mt_core *core) {
  (void)core;
  return true;
}

static mt_engine e;
static int work, events; /* neither atomic nor behind a ring: only the mark orders it */
static atomic_bool done;

/* ThreadSanitizer takes nothing from this: the loads and stores of `done` are relaxed. */
static void wait(void) {
  while (!atomic_load_explicit(&done, memory_order_relaxed)) usleep(100);
}

static void *wake_the_engine(void *context) {
  (void)context;
  work = 1;
  mt_waker_wake(e.waker);
  atomic_store_explicit(&done, true, memory_order_relaxed);
  return NULL;
}

static void *wake_python_again(void *context) {
  (void)context;
  events = 1;
  e.new_events = true;
  wake_python(&e);
  atomic_store_explicit(&done, true, memory_order_relaxed);
  return NULL;
}

static pthread_t begin(void *(*other)(void *)) {
  pthread_t thread;
  atomic_store(&done, false);
  CHECK(pthread_create(&thread, NULL, other, NULL) == 0);
  wait();
  return thread;
}

/* A thread that was woken clears the mark, after another one has found it cleared. */
static void an_engine_sees_the_work_before_it_sleeps(void) {
  pthread_t other = begin(wake_the_engine);
  stay_awake(&e);
  CHECK(may_sleep(&e));
  CHECK(work == 1);
  pthread_join(other, NULL);
}

/* The engine's thread has found that Python was woken already. */
static void python_sees_the_events_that_it_was_not_woken_for(void) {
  atomic_store(&e.signaled, true);
  pthread_t other = begin(wake_python_again);
  mt_engine_reset_events(&e);
  CHECK(events == 1);
  pthread_join(other, NULL);
}

int main(void) {
  e.event_fd = eventfd(0, EFD_NONBLOCK);
  e.waker = mt_waker_new(-1);
  CHECK(e.event_fd >= 0 && e.waker && mt_ring_init(&e.commands, sizeof(mt_command), COMMAND_SLOTS));
  an_engine_sees_the_work_before_it_sleeps();
  python_sees_the_events_that_it_was_not_woken_for();
  mt_ring_free(&e.commands);
  mt_waker_drop(e.waker);
  close(e.event_fd);
  return check_result();
}
