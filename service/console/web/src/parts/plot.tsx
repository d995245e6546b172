/** Plots as SVG, each with a table that says the same. */
import { useId } from "preact/hooks";
import { t } from "../i18n";

export interface Series {
  name: string;
  points: readonly (readonly [x: number, y: number])[];
}
interface Axis {
  name: string;
  /** What the axis has room for at least. */
  range?: readonly [number, number];
  format: (value: number) => string;
}

const WIDTH = 380;
const HEIGHT = 230;
const LEFT = 46;
const RIGHT = 12;
const TOP = 10;
const BOTTOM = 40;
const TICKS = 5;

/** Round numbers over a range, about as many as `TICKS`. */
export function ticksOf(low: number, high: number): number[] {
  const rough = (high - low || 1) / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, i) => (first + i) * step);
}

function rangeOf(values: number[], axis: Axis): [number, number] {
  const low = Math.min(...values, ...(axis.range ?? []));
  const high = Math.max(...values, ...(axis.range ?? []));
  return low < high ? [low, high] : [low - 0.5, high + 0.5];
}

export function LinePlot(props: { title: string; x: Axis; y: Axis; series: Series[] }) {
  const { title, x, y, series } = props;
  const heading = useId();
  const points = series.flatMap((one) => one.points);
  const [left, right] = rangeOf(
    points.map(([value]) => value),
    x,
  );
  const [low, high] = rangeOf(
    points.map(([, value]) => value),
    y,
  );
  const across = (value: number): number =>
    LEFT + ((value - left) / (right - left)) * (WIDTH - LEFT - RIGHT);
  const down = (value: number): number =>
    HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  return (
    <figure class="plot" aria-labelledby={heading}>
      <figcaption id={heading}>{title}</figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-labelledby={heading}>
        {ticksOf(low, high).map((value) => (
          <g key={value} class="tick">
            <line x1={LEFT} x2={WIDTH - RIGHT} y1={down(value)} y2={down(value)} />
            <text x={LEFT - 5} y={down(value) + 4} text-anchor="end">
              {y.format(value)}
            </text>
          </g>
        ))}
        {ticksOf(left, right).map((value) => (
          <text key={value} x={across(value)} y={HEIGHT - BOTTOM + 15} text-anchor="middle">
            {x.format(value)}
          </text>
        ))}
        <text x={(LEFT + WIDTH - RIGHT) / 2} y={HEIGHT - 6} text-anchor="middle">
          {x.name}
        </text>
        {series.map((one, i) => (
          <polyline
            key={one.name}
            class={`series series-${i % 5}`}
            points={one.points.map(([at, value]) => `${across(at)},${down(value)}`).join(" ")}
          />
        ))}
      </svg>
      {series.length > 1 && (
        <ul class="legend">
          {series.map((one, i) => (
            <li key={one.name}>
              <svg viewBox="0 0 24 8" aria-hidden="true">
                <line class={`series series-${i % 5}`} x1="0" x2="24" y1="4" y2="4" />
              </svg>
              {one.name}
            </li>
          ))}
        </ul>
      )}
      <details>
        <summary>{t("plot.table")}</summary>
        <table>
          <caption class="unseen">{title}</caption>
          <thead>
            <tr>
              {series.length > 1 && <th scope="col">{t("plot.curve")}</th>}
              <th scope="col" class="number">
                {x.name}
              </th>
              <th scope="col" class="number">
                {y.name}
              </th>
            </tr>
          </thead>
          <tbody>
            {series.flatMap((one) =>
              one.points.map(([at, value], i) => (
                <tr key={`${one.name} ${i}`}>
                  {series.length > 1 && <th scope="row">{one.name}</th>}
                  <td class="number">{x.format(at)}</td>
                  <td class="number">{y.format(value)}</td>
                </tr>
              )),
            )}
          </tbody>
        </table>
      </details>
    </figure>
  );
}

export interface Bar {
  name: string;
  value: number;
  isMain?: boolean;
}

/** Numbers beside each other: a table whose last column has them as bars. */
export function BarPlot(props: {
  title: string;
  of: string;
  value: string;
  bars: Bar[];
  format: (value: number) => string;
}) {
  const most = Math.max(...props.bars.map((bar) => bar.value), Number.MIN_VALUE);
  return (
    <table class="bar-plot">
      <caption>{props.title}</caption>
      <thead>
        <tr>
          <th scope="col">{props.of}</th>
          <th scope="col" class="number">
            {props.value}
          </th>
          <td class="bars" aria-hidden="true" />
        </tr>
      </thead>
      <tbody>
        {props.bars.map((bar) => (
          <tr key={bar.name}>
            <th scope="row">{bar.name}</th>
            <td class="number">{props.format(bar.value)}</td>
            <td class="bars" aria-hidden="true">
              <div
                class={bar.isMain ? "bar" : "bar lesser"}
                style={{ width: `${((Math.max(bar.value, 0) / most) * 100).toFixed(1)}%` }}
              />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
