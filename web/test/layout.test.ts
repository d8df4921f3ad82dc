import assert from "node:assert/strict";
import test from "node:test";
import { arrange, bestGrid, type Box, LAYOUTS, speakersFirst } from "../src/layout.ts";

test("the latest speakers come first, and the others keep their order", () => {
  const tiles = [..."abcde"].map((peerId) => ({ peerId }));
  const order = (latest: string[]) =>
    speakersFirst(tiles, latest)
      .map((tile) => tile.peerId)
      .join("");
  assert.equal(order([]), "abcde");
  assert.equal(order(["d", "x", "b"]), "dbace");
});

test("one tile fills the box as far as its shape allows", () => {
  assert.deepEqual(bestGrid(1, 1600, 900, 10), { columns: 1, rows: 1, width: 1600, height: 900 });
});

test("four people sit two by two on a wide screen", () => {
  const grid = bestGrid(4, 1280, 720, 10);
  assert.deepEqual([grid.columns, grid.rows], [2, 2]);
});

test("two people sit above each other on an upright phone", () => {
  const grid = bestGrid(2, 390, 700, 10);
  assert.deepEqual([grid.columns, grid.rows], [1, 2]);
});

test("tiles never leave the box, and all find a place", () => {
  for (let count = 1; count <= 40; count++) {
    for (const [width, height] of [
      [1280, 660],
      [390, 700],
      [800, 300],
      [333, 333],
    ] as const) {
      const grid = bestGrid(count, width, height, 10);
      assert.ok(grid.columns * grid.rows >= count);
      assert.ok(grid.columns * grid.width + (grid.columns - 1) * 10 <= width, `${count} wide`);
      assert.ok(grid.rows * grid.height + (grid.rows - 1) * 10 <= height, `${count} high`);
    }
  }
});

test("a box without room does not break it", () => {
  const grid = bestGrid(3, 0, 0, 10);
  assert.ok(grid.width >= 1 && grid.height >= 1);
});

const SCREENS = [
  [1280, 800],
  [1920, 940],
  [1024, 620],
  [640, 300],
  [374, 660],
  [304, 480],
  [704, 860],
] as const;

const apart = (a: Box, b: Box): boolean =>
  a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;

test("one to twelve people are seen whole in each layout, on every screen", () => {
  for (const layout of LAYOUTS) {
    for (const [width, height] of SCREENS) {
      for (let count = 1; count <= 12; count++) {
        const large = layout === "grid" ? null : count - 1;
        const boxes = arrange(layout, count, large, width, height, 10);
        const what = `${layout}, ${count} in ${width} x ${height}`;
        assert.equal(boxes.length, count, what);
        boxes.forEach((box, index) => {
          assert.ok(box, `${what}: no room`);
          const inside = box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height;
          assert.ok(inside, `${what}: tile ${index} is not inside: ${JSON.stringify(box)}`);
          assert.ok(box.width >= 64 && box.height >= 36, `${what}: tile ${index} is tiny`);
          for (const other of boxes.slice(index + 1)) assert.ok(other && apart(box, other), `${what}: overlap`);
        });
        if (large !== null && count > 1) {
          const area = (box: Box | null | undefined): number => (box ? box.width * box.height : 0);
          const rest = boxes.filter((_, index) => index !== large).map(area);
          assert.ok(area(boxes[large]) > 2 * Math.max(...rest), `${what}: the large one is not large`);
        }
      }
    }
  }
});

test("the strip is below the speaker, or beside it where there is width", () => {
  const [first, second] = arrange("speaker", 4, 0, 1280, 700, 10);
  assert.ok(first && second && second.y >= first.height);
  const [wide, beside] = arrange("sidebar", 4, 0, 1280, 700, 10);
  assert.ok(wide && beside && beside.x >= wide.width);
  const [upright, under] = arrange("sidebar", 4, 0, 374, 660, 10);
  assert.ok(upright && under && under.y >= upright.height);
});

test("a crowd: the grid scrolls, and a strip shows those who fit", () => {
  const grid = arrange("grid", 200, null, 374, 660, 10);
  assert.ok(grid.every((box) => box && box.x >= 0 && box.x + box.width <= 374 && box.y >= 0));
  assert.ok(Math.max(...grid.map((box) => box?.y ?? 0)) > 660);
  const strip = arrange("speaker", 200, 3, 1280, 700, 10);
  assert.ok(strip[3] && strip[0] && strip[199] === null);
  assert.equal(strip.length, 200);
});
