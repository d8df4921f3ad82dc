// Who is speaking: smooths audio levels and picks one active speaker, so that the highlight
// neither flickers between words nor jumps at a cough. Time is passed in.

const ON = 0.02; // linear level (0-1) that counts as voice
const HOLD_MS = 700; // a speaker stays lit this long after the last loud sample
const TAKE_OVER_MS = 900; // somebody else must lead this long to become the active speaker

interface Voice {
  level: number;
  lastLoud: number;
}

export interface Speaking {
  /** everyone heard just now */
  speaking: ReadonlySet<string>;
  /** the one to show large; stays after the talk ends, null before anyone spoke */
  active: string | null;
}

export class Speakers {
  readonly #voices = new Map<string, Voice>();
  #active: string | null = null;
  #challenger: string | null = null;
  #challengedAt = 0;

  /** One round of levels (peer → linear level 0-1) at `now` milliseconds; peers left out are gone. */
  update(levels: ReadonlyMap<string, number>, now: number): Speaking {
    for (const id of this.#voices.keys()) if (!levels.has(id)) this.#voices.delete(id);
    for (const [id, sample] of levels) {
      const voice = this.#voices.get(id) ?? { level: 0, lastLoud: -Infinity };
      // fast up, slow down
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
