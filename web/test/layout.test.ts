import assert from "node:assert/strict";
import test from "node:test";
import { bestGrid, speakersFirst } from "../src/layout.ts";

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
