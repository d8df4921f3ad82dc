import assert from "node:assert/strict";
import test from "node:test";
import type { Entry, Report } from "../src/figures.ts";
import { gradeOf, ownGrade, rateWords, type Sample, sampleOf, totalsOf, verdicts } from "../src/quality.ts";
import { de } from "../src/words/de.ts";
import { en } from "../src/words/en.ts";

const report = (...entries: Entry[]): Report =>
  new Map(entries.map((entry, index) => [String(entry.id ?? index), entry]));

function reading(at: number, factor: number, lost: number): ReturnType<typeof totalsOf> {
  const sending = report(
    { id: "cam", type: "media-source", trackIdentifier: "camera" },
    ...[0, 1, 2].map((layer) => ({
      id: `o${layer}`,
      type: "outbound-rtp",
      kind: "video",
      mediaSourceId: "cam",
      active: layer < 2,
      bytesSent: 1000 * factor,
      packetsSent: 100 * factor,
      framesSent: layer < 2 ? 30 * factor : 0,
      qualityLimitationReason: "bandwidth",
    })),
    { id: "ri", type: "remote-inbound-rtp", packetsLost: 3 * lost },
  );
  const receiving = report({
    id: "i",
    type: "inbound-rtp",
    trackIdentifier: "t",
    bytesReceived: 5000 * factor,
    packetsReceived: 92 * factor,
    packetsLost: 8 * factor,
    framesDecoded: 20 * factor,
    freezeCount: factor,
  });
  return totalsOf([sending, receiving], at, "camera");
}

test("figures between two readings", () => {
  const sample = sampleOf(reading(0, 1, 0), reading(2000, 2, 15));
  assert.equal(sample.rateOut, 12_000);
  assert.equal(sample.rateIn, 20_000);
  assert.equal(sample.lossIn, 8);
  assert.equal(sample.lossOut, 15);
  assert.equal(sample.framesOut, 15);
  assert.equal(sample.framesIn, 10);
  assert.equal(sample.layers, 2);
  assert.equal(sample.freezes, 1);
  assert.equal(sample.limited, "bandwidth");
});

test("sums that fall, because a stream has ended, give no rate", () => {
  const sample = sampleOf(reading(0, 5, 9), reading(2000, 1, 0));
  for (const value of [sample.rateIn, sample.rateOut, sample.lossIn, sample.lossOut]) assert.equal(value, 0);
});

const fine: Sample = {
  at: 0,
  rateOut: 900_000,
  rateIn: 900_000,
  lossOut: 0,
  lossIn: 0,
  framesOut: 30,
  framesIn: 30,
  freezes: 0,
  layers: 3,
  limited: null,
  available: 2_000_000,
  roundTrip: 20,
  path: "udp",
};
const said = (sample: Partial<Sample>, w = en): string[] =>
  verdicts([{ ...fine, ...sample }]).map((say) => say(w));

test("what the figures mean in words", () => {
  assert.deepEqual(said({}), ["Your connection is good."]);
  assert.match(said({ lossIn: 8.2 })[0] ?? "", /loses 8 % of the packets that come to you/);
  assert.match(said({ lossOut: 8.2 }, de)[0] ?? "", /verliert 8 % der Pakete, die Sie senden/);
  assert.match(said({ roundTrip: 400 })[0] ?? "", /400 ms/);
  assert.match(said({ limited: "bandwidth", available: 240_000 })[0] ?? "", /only 240 kbit\/s/);
  assert.match(said({ limited: "cpu" })[0] ?? "", /too busy/);
  assert.match(said({ path: "tcp" })[0] ?? "", /TCP/);
  assert.equal(said({ lossIn: 8, roundTrip: 400 }).length, 2);
  assert.deepEqual(said({ rateIn: 0, rateOut: 0 }), [en.connectionNone]);
  assert.equal(verdicts([])[0]?.(en), en.connectionWaits);
});

test("the words are about the last seconds, not about one sample", () => {
  const lossy = { ...fine, lossIn: 50 };
  assert.match(verdicts([fine, fine, fine, fine, lossy])[0]?.(en) ?? "", /10 %/);
  assert.equal(verdicts([lossy, fine, fine, fine, fine, fine])[0]?.(en), en.connectionGood);
});

test("grades", () => {
  assert.equal(gradeOf(10, 0, 100, false), 3);
  assert.equal(gradeOf(10, 5, 95, false), 2);
  assert.equal(gradeOf(10, 0, 100, true), 2);
  assert.equal(gradeOf(6, 0, 100, false), 2);
  assert.equal(gradeOf(10, 20, 80, false), 1);
  assert.equal(gradeOf(2, 0, 0, false), 1);
  assert.equal(ownGrade([fine]), 3);
  assert.equal(ownGrade([{ ...fine, roundTrip: 320 }]), 2);
  assert.equal(ownGrade([{ ...fine, lossOut: 20 }]), 1);
  assert.equal(rateWords(999_400), "999 kbit/s");
  assert.equal(rateWords(1_240_000), "1.2 Mbit/s");
});
