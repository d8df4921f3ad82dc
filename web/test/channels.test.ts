import assert from "node:assert/strict";
import test from "node:test";
import { channelsOf, INTERPRETED, languageName, volumeOf } from "../src/channels.ts";

test("the channels are the languages that somebody interprets into", () => {
  const speaks = (language: string | null) => ({ language });
  assert.deepEqual(channelsOf([speaks(null), speaks("fr"), speaks("de"), speaks("fr")]), ["de", "fr"]);
  assert.deepEqual(channelsOf([speaks(null)]), []);
});

test("who is heard in which channel", () => {
  assert.equal(volumeOf(null, null), 1);
  assert.equal(volumeOf("fr", null), 0, "interpreters are not heard in the original");
  assert.equal(volumeOf("fr", "fr"), 1);
  assert.equal(volumeOf("de", "fr"), 0);
  const original = volumeOf(null, "fr");
  assert.ok(original > 0 && original < 0.5, "the original is quiet below the interpreter");
});

test("languages have two letters and a name in the page's language", () => {
  for (const code of INTERPRETED) {
    assert.match(code, /^[a-z]{2}$/);
    assert.notEqual(languageName(code, "en"), code);
  }
  assert.equal(languageName("fr", "de"), "Französisch");
  assert.equal(languageName("!", "de"), "!");
});
