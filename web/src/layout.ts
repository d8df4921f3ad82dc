// Where the tiles are: pure functions of their number and the size of the box.
//
// A grid shows all alike. In the other layouts one tile is large, and the others are in a strip below
// or beside it. Up to twelve tiles are always seen whole. A larger grid scrolls when its tiles would
// be smaller than SMALLEST. A strip shows as many as fit; the first are the latest speakers.

export interface Grid {
  columns: number;
  rows: number;
  /** CSS pixels of one tile */
  width: number;
  height: number;
}

/**
 * The tiles with those of `latest` first, the newest speaker foremost. The others keep their order,
 * and so do the tiles of one peer.
 */
export function speakersFirst<T extends { peerId: string }>(
  tiles: readonly T[],
  latest: readonly string[],
): T[] {
  const rank = new Map(latest.map((peerId, index) => [peerId, index]));
  const of = (tile: T): number => rank.get(tile.peerId) ?? latest.length;
  return [...tiles].sort((a, b) => of(a) - of(b));
}

/**
 * The grid of `count` equal tiles, `gap` apart, that covers the most of a `width` x `height` box.
 * Tiles have one of the shapes in `aspects` (width / height), so a phone held upright can have
 * taller ones. Sizes are whole pixels and at least 1.
 */
export function bestGrid(
  count: number,
  width: number,
  height: number,
  gap: number,
  aspects: readonly number[] = [16 / 9, 4 / 3, 1],
): Grid {
  let best: Grid = { columns: 1, rows: Math.max(1, count), width: 1, height: 1 };
  let bestArea = 0;
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const cellWidth = (width - gap * (columns - 1)) / columns;
    const cellHeight = (height - gap * (rows - 1)) / rows;
    for (const aspect of aspects) {
      const w = Math.floor(Math.min(cellWidth, cellHeight * aspect));
      const h = Math.floor(w / aspect);
      // the first shape has an advantage, else tiles would change shape at every small resize
      const area = w * h * (aspect === aspects[0] ? 1.12 : 1);
      if (w > 0 && h > 0 && area > bestArea) {
        bestArea = area;
        best = { columns, rows, width: w, height: h };
      }
    }
  }
  return best;
}

export type Layout = "grid" | "speaker" | "sidebar";

export const LAYOUTS: readonly Layout[] = ["grid", "speaker", "sidebar"];

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

const SMALLEST = 80; // CSS pixels of a tile's width
const STRIP_SHARES = [0.16, 0.2, 0.25, 0.3, 0.36, 0.43, 0.5]; // of the box
const BESIDE_ASPECTS = [16 / 9, 4 / 3]; // squares would look large in a narrow strip
const ROOMY = { below: 112, beside: 176 }; // a tile of a strip needs no more width

/** The boxes of `count` tiles in a grid, each row in the middle of the box. */
function gridBoxes(count: number, box: Box, gap: number, aspects?: readonly number[]): Box[] {
  let grid = bestGrid(count, box.width, box.height, gap, aspects);
  if (grid.width < SMALLEST) {
    const width = Math.max(1, Math.min(SMALLEST, box.width));
    const columns = Math.max(1, Math.floor((box.width + gap) / (width + gap)));
    grid = { columns, rows: Math.ceil(count / columns), width, height: Math.round((width * 9) / 16) };
  }
  const { columns, rows, width, height } = grid;
  // more than the box: from the top, else the first rows could not be scrolled to
  const top = box.y + Math.max(0, (box.height - rows * height - (rows - 1) * gap) / 2);
  return Array.from({ length: count }, (_, index) => {
    const row = Math.floor(index / columns);
    const inRow = Math.min(columns, count - row * columns);
    const left = box.x + (box.width - inRow * width - (inRow - 1) * gap) / 2;
    return {
      x: Math.round(left + (index % columns) * (width + gap)),
      y: Math.round(top + row * (height + gap)),
      width,
      height,
    };
  });
}

/**
 * The boxes of `count` tiles in a `width` x `height` box. Tile `large` is the large one; null: a grid.
 * Tiles for which there is no room get null.
 */
export function arrange(
  layout: Layout,
  count: number,
  large: number | null,
  width: number,
  height: number,
  gap: number,
): (Box | null)[] {
  const whole = { x: 0, y: 0, width, height };
  if (large === null) return gridBoxes(count, whole, gap);
  const others = count - 1;
  if (others === 0) return [whole];
  const below = layout === "speaker" || height > width;
  const [length, roomy] = below ? [height, ROOMY.below] : [width, ROOMY.beside];
  const aspects = below ? undefined : BESIDE_ASPECTS;
  let fits = 0;
  let strip = whole;
  let main = whole;
  let widest = 0;
  for (const share of STRIP_SHARES) {
    const thick = Math.round(length * share);
    const rest = Math.max(1, length - thick - gap);
    const place = below
      ? { x: 0, y: rest + gap, width, height: thick }
      : { x: rest + gap, y: 0, width: thick, height };
    let fitting = others;
    const widthOf = (tiles: number): number =>
      bestGrid(tiles, place.width, place.height, gap, aspects).width;
    while (fitting > 1 && widthOf(fitting) < SMALLEST) fitting--;
    const tile = widthOf(fitting);
    if (fitting > fits || (fitting === fits && tile > widest * 1.2)) {
      [fits, widest, strip] = [fitting, tile, place];
      main = below ? { ...whole, height: rest } : { ...whole, width: rest };
    }
    if (fits === others && widest >= roomy) break;
  }
  const boxes: (Box | null)[] = gridBoxes(fits, strip, gap, aspects);
  while (boxes.length < others) boxes.push(null);
  boxes.splice(large, 0, main);
  return boxes;
}
