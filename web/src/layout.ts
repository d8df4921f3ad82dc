// The grid of tiles: a pure function of the number of tiles and the size of the box.

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
