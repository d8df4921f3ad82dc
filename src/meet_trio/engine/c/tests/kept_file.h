/* A region with an object of each kind, as a core would leave it; for the test and the fuzz target of core/salvage.c. The includer has
 * included base/region.c and core/values.c. */
#ifndef MT_KEPT_FILE_H
#define MT_KEPT_FILE_H

#include <sys/mman.h>

typedef struct {
  int fd;
  mt_region *region;
} kept_file;

static void *kept_new(mt_region *r, uint32_t kind, size_t size) {
  void *p = mt_region_get(r, kind, size);
  if (!p) abort();
  mt_region_mark(p);
  return p;
}

static inline kept_file kept_make(void) {
  kept_file k = {.fd = memfd_create("region", MFD_CLOEXEC)};
  mt_region *r = k.region = mt_region_new(k.fd, mt_layout(), 3);
  if (!r) abort();
  mt_region_alive(r, 1000000);
  mt_transport *t = kept_new(r, MT_KEPT_TRANSPORT, sizeof *t), *plain = kept_new(r, MT_KEPT_TRANSPORT, sizeof *t);
  mt_source *main = kept_new(r, MT_KEPT_SOURCE, sizeof *main), *rtx = kept_new(r, MT_KEPT_SOURCE, sizeof *rtx);
  mt_producer *p = kept_new(r, MT_KEPT_PRODUCER, sizeof *p);
  mt_consumer *c = kept_new(r, MT_KEPT_CONSUMER, sizeof *c);
  t->id = 1;
  t->was_connected = true;
  t->routes[2] = (mt_route){.transport = t, .path = {.kind = MT_PATH_UDP, .family = 4, .port = 5000}, .used = true};
  t->selected = &t->routes[2];
  t->ended.slots = kept_new(r, MT_KEPT_LEDGER, 16 * sizeof(mt_ledger_entry));
  t->ended.mask = 15;
  t->ended.slots[3] = (mt_ledger_entry){7, 1, 2};
  t->credentials[1] = (mt_credentials){.used = true, .ufrag = {1, "u"}, .password = {1, "p"}};
  plain->id = 2;
  plain->plain = kept_new(r, MT_KEPT_PLAIN, sizeof *plain->plain);
  plain->plain->rtp.route.path = (mt_path){.kind = MT_PATH_PLAIN_RTP, .family = 4, .port = 4000, .plain_transport = 2};
  main->ssrc = 1000;
  rtx->ssrc = 1001;
  main->transport = rtx->transport = t;
  main->rtp = (mt_srtp_window){.started = true, .highest = 70000, .bits = {1}};
  p->id = 10;
  p->transport = t;
  p->spec.encoding_count = 2;
  p->streams[0].main = main;
  p->streams[0].rtx = rtx;
  p->streams[0].started = true;
  p->streams[0].highest = 70000;
  p->streams[0].structure.template_count = 2;
  c->id = 20;
  mt_list_init(&c->behind);
  c->senders[0].next = 501;
  c->highest = 500;
  c->epochs[0] = (mt_epoch){.used = true, .open = true, .numbering = kept_new(r, MT_KEPT_NUMBERING, sizeof(mt_numbering))};
  return k;
}

static inline void kept_free(kept_file *k) {
  mt_region_free(k->region);
  close(k->fd);
}

/* What was salvaged can be read, but for bounds that a damaged object does not keep. */
static inline void kept_check(const mt_salvaged *found) {
  mt_blob b = mt_blob_read(found->bytes, found->len);
  mt_kept_transport t = {0};
  mt_kept_producer p = {0};
  mt_kept_consumer c = {0};
  if (found->kind == MT_BLOB_TRANSPORT) mt_blob_transport(&b, &t);
  if (found->kind == MT_BLOB_PRODUCER) mt_blob_producer(&b, &p);
  if (found->kind == MT_BLOB_CONSUMER) mt_blob_consumer(&b, &c);
  mt_kept_transport_free(&t);
}

#endif
