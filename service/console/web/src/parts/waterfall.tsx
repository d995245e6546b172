/** The evidence of a comparison: what each channel adds, and what both sides say. */
import type { Schemas } from "../api/client";
import { listed, named, percent, t } from "../i18n";
import type { Marks } from "./profile";
import { Words } from "./words";

export type Comparison = Schemas["CompareOut"];
type Channel = Comparison["channels"][number];
const MOST_QUOTES = 4;

export function Verdict({ found }: { found: Comparison }) {
  const isSame = found.weight >= found.threshold;
  return (
    <p class={`verdict ${isSame ? "same" : "different"}`}>
      <strong>{named("compare", found.verdict)}</strong>{" "}
      <span>{t("compare.probability", { percent: percent(found.probability) })}</span>{" "}
      <span class="quiet">
        {t("compare.weight", {
          weight: found.weight.toFixed(1),
          threshold: found.threshold.toFixed(1),
        })}
      </span>
    </p>
  );
}

/** The scale has room for every sum on the way, for 0 and for the threshold. */
function scaleOf(found: Comparison): { place: (bits: number) => string; low: number } {
  const sums = [0, found.threshold];
  let sum = 0;
  for (const channel of found.channels) sums.push((sum += channel.weight));
  const low = Math.min(...sums);
  const width = Math.max(...sums) - low || 1;
  return { place: (bits) => `${(((bits - low) / width) * 100).toFixed(2)}%`, low };
}

/** Each channel begins where the sum of those before it ends. */
export function Waterfall({ found }: { found: Comparison }) {
  const { place, low } = scaleOf(found);
  let sum = 0;
  return (
    <table class="waterfall">
      <caption class="unseen">{t("compare.waterfall")}</caption>
      <thead>
        <tr>
          <th scope="col">{t("compare.channel")}</th>
          <th scope="col" class="number">
            {t("compare.bits")}
          </th>
          <th scope="col" class="bars">
            {t("compare.adds")}
          </th>
          <th scope="col">{t("compare.quotes")}</th>
        </tr>
      </thead>
      <tbody>
        {found.channels.map((channel) => {
          const from = Math.min(sum, sum + channel.weight);
          sum += channel.weight;
          const bar = {
            left: place(from),
            width: place(low + Math.abs(channel.weight)),
          };
          return (
            <tr key={channel.channel} class={channel.state}>
              <th scope="row">{named("channel", channel.channel)}</th>
              <td class="number">{signed(channel.weight)}</td>
              <td class="bars">
                <div class="scale" aria-hidden="true">
                  <div class="threshold" style={{ left: place(found.threshold) }} />
                  {channel.weight !== 0 && (
                    <div class={`bar ${channel.weight < 0 ? "against" : "for"}`} style={bar} />
                  )}
                </div>
              </td>
              <td>
                <Evidence channel={channel} />
              </td>
            </tr>
          );
        })}
      </tbody>
      <tfoot>
        <tr>
          <th scope="row">{t("compare.sum")}</th>
          <td class="number">{found.weight.toFixed(1)}</td>
          <td class="bars">
            <div class="scale" aria-hidden="true">
              <div class="threshold" style={{ left: place(found.threshold) }} />
            </div>
          </td>
          <td />
        </tr>
      </tfoot>
    </table>
  );
}

function signed(bits: number): string {
  const text = bits.toFixed(1).replace(/^-(?=0\.0$)/, "");
  return bits >= 0.05 ? `+${text}` : text;
}

/** Which disguises were undone to see that both say the same. */
export function undone(disguises: readonly string[]): string {
  const names = listed(disguises.map((one) => named("disguise", one)));
  return t("compare.undone", { names });
}

function Evidence({ channel }: { channel: Channel }) {
  const state = named("compare", channel.state);
  return (
    <>
      <span class="quiet">
        {state}
        {channel.level && ` · ${named("level", channel.level)}`}
      </span>
      {channel.disguises.length > 0 && <span class="disguise">{undone(channel.disguises)}</span>}
      {channel.quotes.slice(0, MOST_QUOTES).map((quote, i) => (
        <div key={i} class="quotes">
          <Quote words={quote.a} source={quote.a_source} undone={quote.a_undone} />
          <Quote words={quote.b} source={quote.b_source} undone={quote.b_undone} />
        </div>
      ))}
    </>
  );
}

/** What one side shows; below it what that is without its disguises. */
function Quote(props: { words: string; source: string; undone: string | null | undefined }) {
  return (
    <span>
      <q class="quote" title={props.source}>
        {props.words ? <Words value={props.words} /> : <span class="quiet">{props.source}</span>}
      </q>
      {props.undone && (
        <span class="undone" title={t("compare.plain")}>
          <Words value={props.undone} />
        </span>
      )}
    </span>
  );
}

/** What to mark in each of the two profiles. */
export function marksOf(found: Comparison | null): { a: Marks; b: Marks } {
  const a: Marks = new Map();
  const b: Marks = new Map();
  for (const quote of found?.channels.flatMap((channel) => channel.quotes) ?? []) {
    for (const [marks, source, words] of [
      [a, quote.a_source, quote.a],
      [b, quote.b_source, quote.b],
    ] as const) {
      if (words) marks.set(source, [...(marks.get(source) ?? []), words]);
    }
  }
  return { a, b };
}
