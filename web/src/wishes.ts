// What this page asks the server for, for each video that it shows: no larger layers than its tile
// needs, and a priority for the bandwidth. The clock is passed in, and no request is made here.

// The width of this page's own camera. For other cameras the layer may be one too high or too low.
const FULL_WIDTH = 1280;
const ENLARGED = 1.1; // a picture that is enlarged by this factor looks the same
const SETTLE_MS = 300; // between two rounds of requests: tiles change many times in a row

/** 1-255, see setConsumerPriority */
export const Priority = { other: 1, speaker: 50, screen: 100, large: 200 } as const;

export interface Wish {
  spatialLayer: number;
  priority: number;
}

/** The number of simulcast layers in a scalability mode such as L3T3; 1 without one. */
export function layersOf(scalabilityMode: string | undefined): number {
  return Number(/^[LS](\d)/.exec(scalabilityMode ?? "")?.[1] ?? 1);
}

/** The lowest of `layers` layers that fills `width` device pixels. Each is half as wide as the next. */
export function layerFor(width: number, layers: number): number {
  for (let layer = 0; layer < layers - 1; layer++) {
    if ((FULL_WIDTH / 2 ** (layers - 1 - layer)) * ENLARGED >= width) return layer;
  }
  return layers - 1;
}

type Later = (act: () => void, ms: number) => unknown;

/** Sends the first wish for a stream at once, changes of all streams every SETTLE_MS at most. */
export class Wishes {
  readonly #send: (id: string, wish: Partial<Wish>) => Promise<unknown>;
  readonly #later: Later;
  readonly #wanted = new Map<string, Wish>();
  /** what the server was told */
  readonly #told = new Map<string, Partial<Wish>>();
  #waiting = false;

  /** `send` gets what has changed of a wish. If it rejects, the whole wish is sent again. */
  constructor(send: (id: string, wish: Partial<Wish>) => Promise<unknown>, later: Later) {
    this.#send = send;
    this.#later = later;
  }

  want(id: string, wish: Wish): void {
    const first = !this.#wanted.has(id);
    this.#wanted.set(id, wish);
    if (first) this.#tell(id, wish);
    else this.#tellLater();
  }

  /** The stream has ended. */
  forget(id: string): void {
    this.#wanted.delete(id);
    this.#told.delete(id);
  }

  #tellLater(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#later(() => {
      this.#waiting = false;
      for (const [id, wish] of this.#wanted) this.#tell(id, wish);
    }, SETTLE_MS);
  }

  #tell(id: string, wish: Wish): void {
    const told = this.#told.get(id) ?? { priority: Priority.other };
    const news: Partial<Wish> = {};
    if (told.spatialLayer !== wish.spatialLayer) news.spatialLayer = wish.spatialLayer;
    if (told.priority !== wish.priority) news.priority = wish.priority;
    if (Object.keys(news).length === 0) return;
    this.#told.set(id, wish);
    this.#send(id, news).catch(() => {
      if (this.#told.get(id) !== wish) return;
      this.#told.set(id, {});
      this.#tellLater();
    });
  }
}
