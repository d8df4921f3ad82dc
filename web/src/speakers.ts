// Finds the peers that speak, and one active speaker. Audio levels are smoothed, so the highlight
// does not flicker between words and does not jump to a cough. The time is passed in.

const ON = 0.02; // linear level (0-1) that counts as voice
const HOLD_MS = 700; // a peer counts as speaking this long after its last loud sample
const TAKE_OVER_MS = 900; // another peer must be the loudest this long to become active speaker

interface Voice {
  level: number;
  lastLoud: number;
}

export interface Speaking {
  /** the peers that speak now */
  speaking: ReadonlySet<string>;
  /** the last active speaker, also in silence; null before anybody has spoken */
  active: string | null;
}

export class Speakers {
  readonly #voices = new Map<string, Voice>();
  #active: string | null = null;
  #challenger: string | null = null;
  #challengedAt = 0;

  /** Takes the linear levels (0-1) of all peers at `now` ms. Peers that are not in it have left. */
  update(levels: ReadonlyMap<string, number>, now: number): Speaking {
    for (const id of this.#voices.keys()) if (!levels.has(id)) this.#voices.delete(id);
    for (const [id, sample] of levels) {
      const voice = this.#voices.get(id) ?? { level: 0, lastLoud: -Infinity };
      // the level rises at once and falls slowly
      voice.level = Math.max(sample, voice.level * 0.8);
      if (sample >= ON) voice.lastLoud = now;
      this.#voices.set(id, voice);
    }
    const speaking = new Set<string>();
    let loudest: string | null = null;
    for (const [id, voice] of this.#voices) {
      if (now - voice.lastLoud > HOLD_MS) continue;
      speaking.add(id);
      if (loudest === null || voice.level > (this.#voices.get(loudest)?.level ?? 0)) loudest = id;
    }
    this.#elect(loudest, speaking, now);
    return { speaking, active: this.#active };
  }

  #elect(loudest: string | null, speaking: ReadonlySet<string>, now: number): void {
    if (this.#active !== null && !this.#voices.has(this.#active)) this.#active = null;
    if (loudest === null || loudest === this.#active) {
      this.#challenger = null;
      return;
    }
    const vacant = this.#active === null || !speaking.has(this.#active);
    if (this.#challenger !== loudest) {
      this.#challenger = loudest;
      this.#challengedAt = now;
    }
    if (vacant || now - this.#challengedAt >= TAKE_OVER_MS) {
      this.#active = loudest;
      this.#challenger = null;
    }
  }
}
