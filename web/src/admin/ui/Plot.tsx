// Plots of the last two minutes, as small SVG pictures.
import { line, SPAN_MS } from "../history.ts";

export interface Line {
  name: string;
  values: readonly { at: number; value: number }[];
}

interface PlotProps {
  title: string;
  lines: readonly Line[];
  /** the top of the plot is at least this */
  least: number;
  show: (value: number) => string;
  now: number;
}

const last = (values: Line["values"]): number => values.at(-1)?.value ?? 0;

/** A plot with its title, its newest values and its scale. */
export function Plot({ title, lines, least, show, now }: PlotProps) {
  const top = topOf(lines, least);
  const said = lines.map(({ name, values }) => `${name} ${show(last(values))}`.trim()).join(", ");
  return (
    <figure class="plot">
      <figcaption>
        <span class="plot-title">{title}</span>
        {lines.map(({ name, values }, index) => (
          <span key={name} class={`plot-now line-${index}`}>
            {name} <b>{show(last(values))}</b>
          </span>
        ))}
      </figcaption>
      <Lines lines={lines} now={now} top={top} width={320} height={64} label={`${title}: ${said}`} />
      <p class="scale" aria-hidden="true">
        <span>2 min ago</span>
        <span>top {show(top)}</span>
        <span>now</span>
      </p>
    </figure>
  );
}

/** A plot of the size of a word, for cells of tables. */
export function Spark({ lines, least, now }: Pick<PlotProps, "lines" | "least" | "now">) {
  return <Lines lines={lines} now={now} top={topOf(lines, least)} width={72} height={22} />;
}

function topOf(lines: readonly Line[], least: number): number {
  return Math.max(least, ...lines.flatMap(({ values }) => values.map(({ value }) => value)));
}

interface LinesProps {
  lines: readonly Line[];
  now: number;
  top: number;
  width: number;
  height: number;
  label?: string;
}

function Lines({ lines, now, top, width, height, label }: LinesProps) {
  const box = { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none" };
  return (
    <svg
      {...box}
      class={label ? "lines" : "lines spark"}
      {...(label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" })}
      focusable="false"
    >
      {label ? <path class="grid" d={`M0 ${height / 2}H${width}M${width / 2} 0V${height}`} /> : null}
      {lines.map(({ name, values }, index) => {
        const recent = values.filter(({ at }) => at >= now - SPAN_MS);
        return (
          <polyline key={name} class={`line-${index}`} points={line(recent, now, top, width, height)} />
        );
      })}
    </svg>
  );
}
