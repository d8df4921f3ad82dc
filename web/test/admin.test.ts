import assert from "node:assert/strict";
import { test } from "node:test";
import { History, line, serverSample, SPAN_MS } from "../src/admin/history.ts";
import { hashOf, type Place, placeOf } from "../src/admin/places.ts";
import type { Server } from "../src/admin/types.ts";
import { age, bytes, lag, lossGrade, millis, percent, plural, rate, tripGrade } from "../src/admin/words.ts";

const link = (out: number) => ({ in: 0, out, loss: 0, rtt: 0 });

test("two minutes are remembered, and what has gone is forgotten", () => {
  const history = new History();
  for (let at = 0; at <= 200_000; at += 2000) history.add("a", link(at), at);
  history.add("b", link(1), 200_000);
  const samples = history.of("a");
  assert.equal(samples.length, SPAN_MS / 2000 + 1);
  assert.deepEqual([samples[0]?.out, samples.at(-1)?.out], [80_000, 200_000]);
  history.forget(200_000 + SPAN_MS);
  assert.equal(history.size, 2);
  history.add("b", link(2), 200_001 + SPAN_MS);
  history.forget(200_001 + SPAN_MS);
  assert.deepEqual([history.size, history.of("a").length, history.of("b").length], [1, 0, 1]);
});

function server(bytesIn: number, busySeconds: number, counts: number[]): Server {
  const engine = { port: 1, failed: false, peers: 0, bytesIn, bytesOut: 0, busySeconds };
  return {
    healthy: true,
    reasons: [],
    draining: false,
    rooms: 0,
    peers: 0,
    memory: 0,
    engines: [engine],
    lag: { seconds: 0, bounds: [0.001, 0.002], held: { counts } },
  };
}

test("rates are computed from counters", () => {
  const before = server(1000, 10, [5, 1, 0]);
  const sample = serverSample(before, server(3000, 10.5, [9, 1, 0]), 2000, 7);
  assert.deepEqual(sample, { at: 7, in: 8000, out: 0, busy: [0.25], lag: 0.001 });
  assert.equal(serverSample(before, server(1000, 10, [5, 1, 1]), 2000, 7).lag, null);
  // a server that was started again
  const again = serverSample(before, server(0, 0, [0, 0, 0]), 2000, 7);
  assert.deepEqual([again.in, again.busy, again.lag], [0, [0], 0]);
});

test("a line ends at the right edge and stays in its box", () => {
  const values = [
    { at: 0, value: 0 },
    { at: 60_000, value: 5 },
    { at: SPAN_MS, value: 99 },
  ];
  assert.equal(line(values, SPAN_MS, 10, 100, 23), "0.0,21.5 50.0,11.5 100.0,1.5");
});

test("numbers are told as operators read them", () => {
  assert.deepEqual([0, 499, 840_400, 999_700, 1_240_000, 12_340_000, 2.5e9].map(rate), [
    "0", "0", "840 k", "1.00 M", "1.24 M", "12.3 M", "2.50 G",
  ]);
  assert.deepEqual([0, 0.004, 0.05, 0.123, 1].map(percent), ["0 %", "0.4 %", "5.0 %", "12 %", "100 %"]);
  assert.deepEqual([3, 119, 120, 7200, 200_000].map(age), ["3 s", "119 s", "2 min", "2 h", "2 d"]);
  assert.deepEqual([5000, 98e6, 2.5e9].map(bytes), ["5 kB", "98 MB", "2.50 GB"]);
  assert.deepEqual([0, 0.005, 2, null].map(lag), ["–", "≤ 5 ms", "≤ 2 s", "> 5 s"]);
  assert.deepEqual([plural(1, "room"), plural(2, "room"), millis(0), millis(12.4)], ["1 room", "2 rooms", "–", "12 ms"]);
  assert.deepEqual([0, 0.03, 0.1].map(lossGrade), ["", "fair", "poor"]);
  assert.deepEqual([0, 250, 500].map(tripGrade), ["", "fair", "poor"]);
});

test("a place is found again by its URL, and others lead to the rooms", () => {
  const places: Place[] = [{ kind: "rooms" }, { kind: "room", room: "a/b" }, { kind: "peer", room: "a", peer: "ü %" }];
  for (const place of places) assert.deepEqual(placeOf(hashOf(place)), place);
  for (const hash of ["", "#", "#/rooms", "#/rooms/%", "#/%zz/a"]) assert.deepEqual(placeOf(hash), { kind: "rooms" });
});
