import assert from "node:assert/strict";
import test from "node:test";
import { Speakers } from "../src/speakers.ts";

const levels = (entries: Record<string, number>) => new Map(Object.entries(entries));

test("nobody speaks in silence", () => {
  const { speaking, active } = new Speakers().update(levels({ a: 0, b: 0.001 }), 0);
  assert.equal(speaking.size, 0);
  assert.equal(active, null);
});

test("the first voice becomes the active speaker at once and stays after it ends", () => {
  const speakers = new Speakers();
  assert.equal(speakers.update(levels({ a: 0.2, b: 0 }), 0).active, "a");
  const later = speakers.update(levels({ a: 0, b: 0 }), 5000);
  assert.equal(later.active, "a");
  assert.equal(later.speaking.size, 0);
});

test("a pause between words does not switch the highlight off", () => {
  const speakers = new Speakers();
  speakers.update(levels({ a: 0.2 }), 0);
  assert.ok(speakers.update(levels({ a: 0 }), 500).speaking.has("a"));
  assert.ok(!speakers.update(levels({ a: 0 }), 800).speaking.has("a"));
});

test("a cough does not take over from somebody who speaks, a longer talk does", () => {
  const speakers = new Speakers();
  let active: string | null = null;
  for (let now = 0; now <= 300; now += 150) active = speakers.update(levels({ a: 0.1, b: 0 }), now).active;
  active = speakers.update(levels({ a: 0.1, b: 0.9 }), 450).active;
  assert.equal(active, "a");
  for (let now = 600; now <= 1500; now += 150) {
    active = speakers.update(levels({ a: 0.1, b: 0.9 }), now).active;
  }
  assert.equal(active, "b");
});

test("who has left is no speaker any more", () => {
  const speakers = new Speakers();
  speakers.update(levels({ a: 0.5, b: 0 }), 0);
  const { speaking, active } = speakers.update(levels({ b: 0 }), 150);
  assert.equal(active, null);
  assert.equal(speaking.size, 0);
});
