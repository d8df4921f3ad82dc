import assert from "node:assert/strict";
import test from "node:test";
import { actionOf, KEYS, PushToTalk, takesKeys, takesSpace } from "../src/shortcuts.ts";

const press = (key: string, more: object = {}) => ({
  key,
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  repeat: false,
  ...more,
});
const within = (...selectors: string[]) => ({
  closest: (list: string) =>
    list.split(", ").some((one) => selectors.includes(one)) ? ({} as Element) : null,
});

test("each key has one action", () => {
  const keys = Object.values(KEYS).map(({ key }) => key);
  assert.equal(new Set(keys).size, keys.length);
  for (const [action, { key }] of Object.entries(KEYS)) assert.equal(actionOf(press(key)), action);
  assert.equal(actionOf(press("M")), "mic", "with caps lock");
});

test("no shortcut: with a modifier, while repeating, other keys", () => {
  for (const more of [{ ctrlKey: true }, { metaKey: true }, { altKey: true }, { repeat: true }]) {
    assert.equal(actionOf(press("m", more)), null);
  }
  assert.equal(actionOf(press("x")), null);
});

test("keys belong to what is typed in, and the space bar to buttons too", () => {
  assert.ok(takesKeys(within("input")));
  assert.ok(takesKeys(within("dialog")));
  assert.ok(!takesKeys(within("button")));
  assert.ok(takesSpace(within("button")));
  assert.ok(!takesSpace(within()));
  assert.ok(!takesKeys(null));
});

test("the microphone is on while the key is held", () => {
  const done: boolean[] = [];
  let muted = true;
  const talk = new PushToTalk({
    get muted() {
      return muted;
    },
    set: (on) => done.push(on),
  });
  assert.ok(talk.press());
  assert.ok(talk.press(), "the key repeats");
  talk.release();
  talk.release();
  assert.deepEqual(done, [true, false]);
  muted = false;
  assert.ok(!talk.press(), "a microphone that is on stays on");
  talk.release();
  assert.deepEqual(done, [true, false]);
});
