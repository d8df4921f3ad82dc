/* The rounds of a core that visits only what is due, against a core whose rounds visit every transport: the same random steps,
 * and after each tick the same routes and the same consent.
 *
 *  - Each transport has in both cores the same selected route, the same routes, and the same consent after each tick.
 *  - After a round no report is late, and each transport that produces, consumes or has a downlink is in the list of each round.
 *  - The path of a transport that loses is looked at in each round, until it does not lose any more.
 *  - Each transport is in exactly one list. A quiet transport is in the slot of its time.
 *
 * With `count` it prints how many visits ROUNDS rounds make of TRANSPORTS that have a route and do nothing, and are checked each 2.5 s.
 * With `turns` it only lets them be, for a profiler: the instructions of two numbers of rounds give those of one.
 *
 * Usage: visits SEED STEPS | visits count TRANSPORTS ROUNDS | visits turns TRANSPORTS ROUNDS
 */
#include "core/core.h"
#include "core/visits.h"
#include "paths/claims.h"
#include "paths/routes.h"
#include "state/core_state.h"
#include "state/find.h"
#include "state/marks.h"
#include "../check.h"
#include "../client.h"

enum { ALL, DUE, CORES, CLIENTS = 6, PLACES = 4 /* addresses of a client */, CONSENT_MS = 900, KINDS = 12 };

static mt_core *cores[CORES];
static int64_t now = 1000000;
static uint64_t state;
static uint32_t ids[CLIENTS], next_id = 1, producers[CLIENTS], consumers[CLIENTS];
static uint64_t losses, moves, quiet_seen, claims;

static uint32_t dice(uint32_t sides) {
  state += UINT64_C(0x9e3779b97f4a7c15);
  return (uint32_t)(mt_hash64(state) >> 32) % sides;
}

static uint8_t *reserve(void *context) {
  static uint8_t out[MT_DATAGRAM_MAX];
  (void)context;
  return out;
}

static void ignore_datagram(void *context, const mt_path *to, size_t len) { (void)context, (void)to, (void)len; }

static bool ignore_event(void *context, const mt_event *event) {
  (void)context, (void)event;
  return true;
}

static mt_path path_of(uint32_t id, uint32_t place) {
  return (mt_path){
      .kind = MT_PATH_UDP, .family = 4, .port = (uint16_t)(id & 0xffff), .ip = {10, (uint8_t)place, (uint8_t)(id >> 16)}};
}

static void command(const mt_command *c) {
  for (unsigned i = 0; i < CORES; i++)
    if (cores[i]) mt_core_command(cores[i], now, c);
}

static void check(uint32_t id, uint32_t place, bool nominate) {
  static const uint8_t transaction[12];
  uint8_t m[128];
  char ufrag[16];
  mt_path from = path_of(id, place);
  snprintf(ufrag, sizeof ufrag, "u%u", id);
  size_t n = write_check(m, ufrag, "password", transaction, nominate);
  for (unsigned i = 0; i < CORES; i++)
    if (cores[i]) mt_core_datagram(cores[i], now, &from, m, n);
}

static void add(uint32_t id) {
  mt_command c = {.type = MT_ADD_TRANSPORT, .id = id}, keys = {.type = MT_SET_SRTP, .id = id};
  char ufrag[16];
  snprintf(ufrag, sizeof ufrag, "u%u", id);
  put_text(&c.u.ice.ufrag, ufrag);
  put_text(&c.u.ice.password, "password");
  keys.u.srtp.profile = MT_SRTP_AEAD_AES_128_GCM;
  command(&c);
  command(&keys);
}

static void remove_one(mt_command_type type, uint32_t *id) {
  mt_command c = {.type = type, .id = *id};
  if (*id) command(&c);
  *id = 0;
}

/* Makes one if there is none, and otherwise removes it. */
static void toggle_producer(unsigned k) {
  if (producers[k]) {
    remove_one(MT_REMOVE_PRODUCER, &producers[k]);
    return;
  }
  mt_command c = {.type = MT_ADD_PRODUCER, .id = producers[k] = next_id++, .transport = ids[k]};
  c.u.producer_spec = (mt_producer_spec){.codec = MT_CODEC_OTHER, .payload_type = 96, .rtx_payload_type = -1, .clock_rate = 48000};
  c.u.producer_spec.encoding_count = 1;
  c.u.producer_spec.encodings[0].ssrc = c.id;
  command(&c);
}

static void toggle_consumer(unsigned k) {
  if (consumers[k]) {
    remove_one(MT_REMOVE_CONSUMER, &consumers[k]);
    return;
  }
  mt_command c = {
      .type = MT_ADD_CONSUMER, .id = consumers[k] = next_id++, .transport = ids[k], .producer = producers[dice(CLIENTS)]};
  c.u.consumer_spec = (mt_consumer_spec){.ssrc = 5000 + c.id, .payload_type = 96, .rtx_payload_type = -1};
  if (!dice(8)) c.u.consumer_spec.ext_ids[MT_EXT_TRANSPORT_CC] = 5;
  command(&c);
}

/* Media came first from an address that no check did: see paths/claims.h, whose authentication of packets is not done here. */
static void claim(uint32_t id, uint32_t place) {
  mt_path from = path_of(id, place);
  for (unsigned i = 0; i < CORES; i++) {
    mt_transport *t = mt_find_transport(cores[i], id);
    if (!mt_claim_possible(t, now) || mt_route_find(cores[i], &from)) continue;
    claims += mt_claim_make(cores[i], t, &from, now) != NULL;
  }
}

static void media(uint32_t id, uint32_t place) {
  mt_path from = path_of(id, place);
  for (unsigned i = 0; i < CORES; i++) {
    mt_route *r = mt_route_find(cores[i], &from);
    if (r) mt_claim_route_heard(cores[i], r, true, now);
  }
}

static void close_path(uint32_t id, uint32_t place) {
  mt_path path = path_of(id, place);
  for (unsigned i = 0; i < CORES; i++) mt_core_path_closed(cores[i], now, &path);
}

/* A lossy path, as the reports of the client's consumers would say. */
static void lose_packets(unsigned k, double share) {
  for (unsigned i = 0; consumers[k] && i < CORES; i++) mt_loss_level_sample(&mt_find_transport(cores[i], ids[k])->loss, share);
}

static void replace(unsigned k) {
  producers[k] = consumers[k] = 0;
  remove_one(MT_REMOVE_TRANSPORT, &ids[k]);
  add(ids[k] = next_id++);
}

static void step(void) {
  unsigned k = dice(CLIENTS), place = dice(PLACES);
  switch (dice(KINDS)) {
  case 0:
    if (!dice(10)) replace(k);
    break;
  case 1:
    if (!dice(4)) toggle_producer(k);
    break;
  case 2:
    if (!dice(4)) toggle_consumer(k);
    break;
  case 3: close_path(ids[k], place); break;
  case 4: claim(ids[k], place); break;
  case 5: media(ids[k], place); break;
  case 6: lose_packets(k, dice(2) ? 0.3 : 0); break;
  default: check(ids[k], place, dice(2)); break;
  }
}

static void same(const mt_transport *a, const mt_transport *b) {
  CHECK((a->selected != NULL) == (b->selected != NULL));
  if (a->selected && b->selected) CHECK(a->selected - a->routes == b->selected - b->routes);
  for (unsigned i = 0; i < MT_MAX_ROUTES; i++)
    CHECK(a->routes[i].used == b->routes[i].used && a->routes[i].seen == b->routes[i].seen);
  CHECK(a->silent == b->silent && a->moved == b->moved && a->heard == b->heard);
  CHECK(a->loss.level == b->loss.level && a->loss.since == b->loss.since);
}

/* A round was made at `now`. */
static void nothing_is_late(const mt_transport *t) {
  bool works = !mt_list_empty(&t->producers) || !mt_list_empty(&t->consumers) || t->downlink;
  CHECK(t->next_report > now);
  CHECK(!(t->quiet && (works || t->loss.level)));
  CHECK(!t->quiet || (t->visit_at > now && t->visit_at <= mt_transport_consent_ends(cores[DUE], t)));
}

static void lists_hold_all(const mt_core *core) {
  uint32_t busy = 0, quiet = 0;
  MT_EACH (item, &core->busy) busy += !MT_OF(item, mt_transport, in_visits)->quiet;
  for (unsigned i = 0; i < MT_WHEEL_SLOTS; i++) {
    MT_EACH (item, &core->wheel[i]) {
      const mt_transport *t = MT_OF(item, mt_transport, in_visits);
      quiet += t->quiet && t->visit_at / MT_ROUND_US % MT_WHEEL_SLOTS == i;
    }
  }
  CHECK(busy + quiet == core->transports.count);
  quiet_seen += quiet;
}

static void tick(void) {
  bool round = now >= cores[DUE]->next_tick && now >= cores[DUE]->next_round;
  MT_EACH (item, &cores[ALL]->all_transports) mt_mark_busy(cores[ALL], MT_OF(item, mt_transport, in_core));
  for (unsigned i = 0; i < CORES; i++) {
    cores[i]->next_tick = 0; /* reports, whose times are random, make no difference to when the cores tick */
    mt_core_tick(cores[i], now);
  }
  for (unsigned k = 0; k < CLIENTS; k++) {
    mt_transport *t = mt_find_transport(cores[DUE], ids[k]);
    bool silent = t->silent;
    same(mt_find_transport(cores[ALL], ids[k]), t);
    losses += silent;
    moves += t->moved == now;
    if (round) nothing_is_late(t);
  }
  lists_hold_all(cores[DUE]);
}

static void compare(long steps) {
  for (unsigned k = 0; k < CLIENTS; k++) add(ids[k] = next_id++);
  for (long i = 0; i < steps && !check_failures; i++) {
    step();
    /* mostly a part of a round, at times silence, seldom a thread that slept longer than the wheel turns */
    now += dice(40) ? dice(60000) : dice(20) ? dice(1200000) : dice(4000000);
    tick();
  }
  CHECK(losses && moves && quiet_seen && claims);
}

/* ---- transports that do nothing ---- */

enum { CHECKED = 25 /* rounds from one check to the next */, WARM = 30 /* rounds before the count begins */ };

static uint64_t idle(uint32_t count, uint32_t rounds, bool checked) {
  uint64_t visits = 0;
  for (uint32_t id = 1; id <= count; id++) {
    add(id);
    check(id, 0, true);
  }
  for (uint32_t i = 0; i < WARM + rounds; i++) {
    now += MT_ROUND_US;
    for (uint32_t id = 1 + i % CHECKED; checked && id <= count; id += CHECKED) check(id, 0, true);
    MT_EACH (item, &cores[DUE]->all_transports) {
      const mt_transport *t = MT_OF(item, mt_transport, in_core);
      visits += checked && i >= WARM && (!t->quiet || t->visit_at <= now);
    }
    mt_core_tick(cores[DUE], now);
  }
  return visits;
}

int main(int argc, char **argv) {
  mt_sink sink = {.reserve = reserve, .send = ignore_datagram, .event = ignore_event};
  mt_settings settings = {.seed = 1,
                          .consent_ms = CONSENT_MS,
                          .history_packets = 64,
                          .history_ms = 1000,
                          .pli_interval_ms = 500,
                          .nack_tries = 3,
                          .dtls_per_second = 100,
                          .start_bitrate = 1000000};
  bool counts = argc > 3;
  if (argc < 3) return 2;
  if (counts) settings.consent_ms = 30000;
  for (unsigned i = counts ? DUE : ALL; i < CORES; i++) cores[i] = mt_core_new(&settings, &sink);
  if (counts) {
    uint64_t visits = idle((uint32_t)atol(argv[2]), (uint32_t)atol(argv[3]), strcmp(argv[1], "count") == 0);
    printf("%llu visits\n", (unsigned long long)visits);
    CHECK(cores[DUE]->transports.count == (uint32_t)atol(argv[2]));
  } else {
    state = (uint64_t)atol(argv[1]);
    compare(atol(argv[2]));
    printf("%llu moves, %llu times silent, %llu times quiet, %llu claims\n", (unsigned long long)moves, (unsigned long long)losses,
           (unsigned long long)quiet_seen, (unsigned long long)claims);
  }
  for (unsigned i = 0; i < CORES; i++) mt_core_free(cores[i]);
  return check_result();
}
