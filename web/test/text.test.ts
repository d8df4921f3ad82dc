import assert from "node:assert/strict";
import test from "node:test";
import { optionsOf, placeOf } from "../src/options.ts";
import { has, nameOf, parseToken, Role, roomIdIn } from "../src/protocol.ts";
import { hueIndex, initials, pieces } from "../src/text.ts";

const ROOM = "0b6f0b0e-3c1f-4f57-9a5c-1d2e3f405162";

test("token URLs", () => {
  assert.deepEqual(parseToken("wss://meet.example:12443?peerId=p&roomId=r&authToken=t"), {
    origin: "wss://meet.example:12443",
    peerId: "p",
    roomId: "r",
    authToken: "t",
  });
  assert.equal(parseToken("https://h/?peerId=p&roomId=r&authToken=t")?.origin, "wss://h");
  assert.equal(parseToken("wss://h?peerId=p&roomId=r"), null);
  assert.equal(parseToken("javascript:alert(1)//?peerId=p&roomId=r&authToken=t"), null);
  assert.equal(parseToken("nonsense"), null);
});

test("room ids are found in links, and nowhere else", () => {
  assert.equal(roomIdIn(` https://h.example/room/${ROOM.toUpperCase()}?x=1 `), ROOM);
  assert.equal(roomIdIn(ROOM), ROOM);
  assert.equal(roomIdIn("https://h.example/room/12"), null);
});

test("the place the address names", () => {
  assert.deepEqual(placeOf("/", ""), { kind: "start" });
  assert.deepEqual(placeOf(`/room/${ROOM}`, ""), { kind: "room", roomId: ROOM });
  assert.deepEqual(placeOf("/room/nonsense", ""), { kind: "start" });
  const token = "wss://h?peerId=p&roomId=r&authToken=t";
  assert.deepEqual(placeOf("/", `#token=${encodeURIComponent(token)}`), { kind: "token", token });
});

test("options in the query", () => {
  const query = "?autojoin=1&name=X&video=0&audio=0&layers=2&codec=av1&mode=L2T1&ice=relay&wishes=0";
  assert.deepEqual(optionsOf(query), {
    autojoin: true,
    name: "X",
    video: false,
    audio: false,
    layers: 2,
    codec: "av1",
    mode: "L2T1",
    ice: "relay",
    wishes: false,
  });
  assert.equal(optionsOf("?ice=tcp").ice, "tcp");
  const plain = optionsOf("?layers=9&ice=smoke&codec=x&mode=L1");
  assert.ok(plain.codec === null && plain.mode === "L3T3_KEY");
  assert.equal(plain.layers, 3);
  assert.ok(plain.video && plain.audio && plain.wishes && !plain.autojoin && plain.ice === "any");
  assert.equal(plain.name, null);
});

test("roles are bits", () => {
  assert.ok(has(Role.owner | Role.publisher, Role.publisher));
  assert.ok(!has(Role.subscriber, Role.publisher));
});

test("names and initials", () => {
  assert.equal(nameOf({ nickname: false }, "Guest"), "Guest");
  assert.equal(nameOf(undefined, "Guest"), "Guest");
  assert.equal(initials("Ada Lovelace"), "AL");
  assert.equal(initials("josé maría de la cruz"), "JC");
  assert.equal(initials("😀 x"), "😀X");
  assert.equal(initials("  "), "?");
  const hue = hueIndex(ROOM, 8);
  assert.ok(Number.isInteger(hue) && hue >= 0 && hue < 8);
  assert.equal(hue, hueIndex(ROOM, 8));
});

test("links in messages are cut out and nothing is lost", () => {
  assert.deepEqual(pieces("see https://a.example/b, ok"), [
    { text: "see " },
    { text: "https://a.example/b", href: "https://a.example/b" },
    { text: ", ok" },
  ]);
  assert.deepEqual(pieces("javascript:alert(1)"), [{ text: "javascript:alert(1)" }]);
  for (const text of ["", "https://", "https://)))", "a https://b.c https://d.e.", "<https://x.y>"]) {
    assert.equal(pieces(text).map((piece) => piece.text).join(""), text);
  }
});
