/* See gso.h. */
#include "io/gso.h"

#include <errno.h>

enum { MOST_REFUSALS = 64 /* by the way out, without a run that was accepted */ };

static mt_path *refused_place(mt_gso *g, const mt_path *to) {
  return &g->refused[mt_path_hash(to, (uintptr_t)g) % MT_REFUSED]; /* the address is a seed that no client knows */
}

static bool continues(const mt_run *r, int fd, const mt_path *to, size_t len) {
  return !r->ended && r->fd == fd && len <= r->each && r->count < MT_RUN_DATAGRAMS && r->len + len <= MT_RUN_BYTES &&
         mt_path_equal(&r->to, to);
}

bool mt_gso_add(mt_gso *g, int fd, int family, bool may_run, const mt_path *to, size_t len) {
  mt_run *r = g->count ? &g->runs[g->count - 1] : NULL;
  if (!r || !continues(r, fd, to, len)) {
    if (g->datagrams >= MT_BATCH_DATAGRAMS) return false;
    bool single = !g->enabled || !may_run || mt_path_equal(refused_place(g, to), to);
    r = &g->runs[g->count++];
    *r = (mt_run){.fd = fd, .family = family, .to = *to, .ended = single, .at = g->used, .each = len};
    if (fd != g->runs[0].fd) g->mixed = true;
  }
  if (len < r->each) r->ended = true;
  r->count++;
  r->len += len;
  g->used += len;
  g->datagrams++;
  return true;
}

void mt_gso_clear(mt_gso *g, size_t rest) {
  if (rest) memmove(g->data, mt_gso_place(g), rest);
  g->count = g->datagrams = 0;
  g->used = 0;
  g->mixed = false;
}

void mt_gso_accepted(mt_gso *g) { g->refusals = 0; }

bool mt_gso_refused(mt_gso *g, const mt_run *run, int error) {
  bool by_way = error == EIO || error == EINVAL || error == ENOPROTOOPT || error == EOPNOTSUPP;
  if (!by_way && error != EMSGSIZE) return false;
  *refused_place(g, &run->to) = run->to;
  if (by_way && ++g->refusals >= MOST_REFUSALS) g->enabled = false;
  return true;
}
