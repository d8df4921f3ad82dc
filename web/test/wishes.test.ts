import assert from "node:assert/strict";
import test from "node:test";
import { layerFor, layersOf, type Wish, Wishes } from "../src/wishes.ts";

test("a tile gets the lowest layer that fills it", () => {
  const sizes = [1, 320, 352, 353, 640, 704, 705, 1280, 4000];
  assert.deepEqual(
    sizes.map((width) => layerFor(width, 3)),
    [0, 0, 0, 1, 1, 1, 2, 2, 2],
  );
  assert.deepEqual(
    [100, 700, 800].map((width) => layerFor(width, 2)),
    [0, 0, 1],
  );
  assert.equal(layerFor(100, 1), 0);
});

test("the number of layers", () => {
  const modes = ["L3T3", "S2T1", "L1T3", "nonsense", undefined];
  assert.deepEqual(modes.map(layersOf), [3, 2, 1, 1, 1]);
});

function scene(answer = () => Promise.resolve()) {
  const sent: [string, Partial<Wish>][] = [];
  const timers: (() => void)[] = [];
  const wishes = new Wishes(
    (id, wish) => {
      sent.push([id, wish]);
      return answer();
    },
    (act) => timers.push(act),
  );
  return { sent, timers, wishes };
}

test("the first wish is told at once, changes together and only the last", () => {
  const { sent, timers, wishes } = scene();
  wishes.want("a", { spatialLayer: 0, priority: 1 });
  wishes.want("b", { spatialLayer: 2, priority: 200 });
  assert.deepEqual(sent.splice(0), [
    ["a", { spatialLayer: 0 }], // 1 is the server's own priority
    ["b", { spatialLayer: 2, priority: 200 }],
  ]);
  for (const spatialLayer of [1, 2, 1]) wishes.want("a", { spatialLayer, priority: 1 });
  wishes.want("b", { spatialLayer: 2, priority: 1 });
  assert.deepEqual(sent, []);
  assert.equal(timers.length, 1);
  timers.pop()?.();
  assert.deepEqual(sent.splice(0), [
    ["a", { spatialLayer: 1 }],
    ["b", { priority: 1 }],
  ]);
  wishes.want("a", { spatialLayer: 1, priority: 1 });
  timers.pop()?.();
  assert.deepEqual(sent, []);
});

test("nothing is told of a stream that has ended", () => {
  const { sent, timers, wishes } = scene();
  wishes.want("a", { spatialLayer: 0, priority: 1 });
  wishes.want("a", { spatialLayer: 1, priority: 1 });
  wishes.forget("a");
  sent.splice(0);
  timers.pop()?.();
  assert.deepEqual(sent, []);
});

test("a wish that got lost is told again", async () => {
  let works = false;
  const answer = () => (works ? Promise.resolve() : Promise.reject(new Error()));
  const { sent, timers, wishes } = scene(answer);
  wishes.want("a", { spatialLayer: 0, priority: 1 });
  await Promise.resolve();
  await Promise.resolve();
  sent.splice(0);
  works = true;
  assert.equal(timers.length, 1);
  timers.pop()?.();
  assert.deepEqual(sent, [["a", { spatialLayer: 0, priority: 1 }]]);
  await Promise.resolve();
  await Promise.resolve();
  assert.equal(timers.length, 0);
});
