import assert from "node:assert/strict";
import test from "node:test";
import { pathOf, type Entry } from "../src/figures.ts";
import { judge, type Look } from "../src/self-call.ts";

const both = { mic: true, cam: true };
const good: Look = {
  energy: 0.01,
  pictures: 20,
  received: 300,
  lost: 0,
  path: { kind: "udp", roundTrip: 12.4 },
};

test("what came back is found at once", () => {
  const network = { kind: "udp", roundTrip: 12, lostPercent: 0 };
  assert.deepEqual(judge(good, both, false), { heard: true, seen: true, network });
});

test("what is missing is missed only when the time is over", () => {
  const nothing: Look = { energy: 0, pictures: 0, received: 0, lost: 0, path: null };
  assert.deepEqual(judge(nothing, both, false), { heard: null, seen: null, network: null });
  assert.deepEqual(judge(nothing, both, true), { heard: false, seen: false, network: false });
});

test("a silent microphone and a lossy network", () => {
  const found = judge({ ...good, energy: 1e-6, received: 90, lost: 10 }, both, true);
  assert.equal(found.heard, false);
  assert.deepEqual(found.network, { kind: "udp", roundTrip: 12, lostPercent: 10 });
});

test("the path in the statistics of Chromium and of Firefox", () => {
  const pair = { id: "p", type: "candidate-pair", localCandidateId: "l", currentRoundTripTime: 0.02 };
  const report = (...entries: Entry[]): Map<string, Entry> =>
    new Map(entries.map((entry) => [String(entry.id), entry]));
  const own = (candidateType: string, protocol: string): Entry => ({ id: "l", candidateType, protocol });
  const transport = { id: "t", type: "transport", selectedCandidatePairId: "p" };
  assert.deepEqual(pathOf(report(transport, pair, own("host", "udp"))), { kind: "udp", roundTrip: 20 });
  const nominated = { ...pair, nominated: true, state: "succeeded" };
  assert.equal(pathOf(report(nominated, own("prflx", "tcp")))?.kind, "tcp");
  assert.equal(pathOf(report(transport, pair, own("relay", "udp")))?.kind, "turn");
  assert.equal(pathOf(report(pair, own("host", "udp"))), null);
});
