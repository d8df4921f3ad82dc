// The panel of one's own connection: what is wrong in words, then plots of the last two minutes.
import { rateWords, type Sample, verdicts } from "../quality.ts";
import { EVERY_MS, type Watch } from "../watch.ts";
import { type Say, words } from "../words/words.ts";
import { Signal } from "./bits.tsx";
import { PATHS } from "./Trial.tsx";

const WIDTH = 300;
const HEIGHT = 56;
const SAMPLES = 60;

interface PlotModel {
  title: Say;
  lines: { of: (sample: Sample) => number; name: Say }[];
  /** the top of the plot is at least this */
  least: number;
  show: (value: number) => string;
}

const sent: Say = (w) => w.sent;
const received: Say = (w) => w.received;

const PLOTS: readonly PlotModel[] = [
  {
    title: (w) => w.plotRate,
    lines: [
      { of: (sample) => sample.rateOut, name: sent },
      { of: (sample) => sample.rateIn, name: received },
    ],
    least: 100_000,
    show: rateWords,
  },
  {
    title: (w) => w.plotLoss,
    lines: [
      { of: (sample) => sample.lossOut, name: sent },
      { of: (sample) => sample.lossIn, name: received },
    ],
    least: 5,
    show: (value) => `${value < 10 ? Number(value.toFixed(1)) : Math.round(value)} %`,
  },
  {
    title: (w) => w.plotTrip,
    lines: [{ of: (sample) => sample.roundTrip ?? 0, name: () => "" }],
    least: 50,
    show: (value) => `${Math.round(value)} ms`,
  },
  {
    title: (w) => w.plotFrames,
    lines: [
      { of: (sample) => sample.framesOut, name: sent },
      { of: (sample) => sample.framesIn, name: received },
    ],
    least: 10,
    show: (value) => `${Math.round(value)}`,
  },
  {
    title: (w) => w.plotLayers,
    lines: [{ of: (sample) => sample.layers, name: () => "" }],
    least: 3,
    show: (value) => `${value}`,
  },
];

export function Connection({ watch }: { watch: Watch }) {
  const w = words.value;
  const samples = watch.samples.value;
  const path = samples.at(-1)?.path;
  return (
    <div class="connection" tabIndex={-1} data-testid="connection">
      <div class="connection-words" data-testid="connection-words" data-grade={watch.own.value}>
        <Signal grade={watch.own.value} />
        <ul>
          {verdicts(samples).map((say, index) => (
            <li key={index}>{say(w)}</li>
          ))}
        </ul>
      </div>
      {path ? <p class="quiet">{w.goesBy(PATHS[path](w))}</p> : null}
      {PLOTS.map((plot, index) => (
        <Plot key={index} plot={plot} samples={samples} />
      ))}
      <p class="quiet">{w.plotSpan((SAMPLES * EVERY_MS) / 1000)}</p>
    </div>
  );
}

/** The points of a line: the newest sample is at the right edge. */
export function points(values: readonly number[], top: number): string {
  const step = WIDTH / (SAMPLES - 1);
  return values
    .map((value, index) => {
      const x = WIDTH - (values.length - 1 - index) * step;
      const y = HEIGHT - 2 - (Math.min(value, top) / top) * (HEIGHT - 4);
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    })
    .join(" ");
}

function Plot({ plot, samples }: { plot: PlotModel; samples: readonly Sample[] }) {
  const w = words.value;
  const lines = plot.lines.map(({ of, name }) => ({ name: name(w), values: samples.map(of) }));
  const top = Math.max(plot.least, ...lines.flatMap(({ values }) => values)) * 1.05;
  const now = lines
    .map(({ name, values }) => `${name} ${plot.show(values.at(-1) ?? 0)}`.trim())
    .join(", ");
  return (
    <figure class="plot">
      <figcaption>
        <span>{plot.title(w)}</span>
        <span class="plot-now">
          {lines.map(({ name, values }, index) => (
            <span key={index} class={`line-${index}`}>
              {name} <b>{plot.show(values.at(-1) ?? 0)}</b>
            </span>
          ))}
        </span>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${plot.title(w)}: ${now}`}
      >
        {lines.map(({ values }, index) => (
          <polyline key={index} class={`line-${index}`} points={points(values, top)} />
        ))}
      </svg>
    </figure>
  );
}
