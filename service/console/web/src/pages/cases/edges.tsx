/** Edges of a case: a list, and the evidence of one, channel by channel with both quotes. */
import { useLayoutEffect, useRef } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask } from "../../api/client";
import { listed, named, percent, t } from "../../i18n";
import { Loading, Problem } from "../../parts/states";
import { Verdict, Waterfall } from "../../parts/waterfall";
import type { Edge } from "./board";

const SHOWN = 200;

export function Edges(props: { edges: Edge[]; chosen: Edge | null; choose: (edge: Edge) => void }) {
  const { edges, chosen, choose } = props;
  return (
    <details>
      <summary>{t("case.edges", { n: edges.length })}</summary>
      <ul class="edges">
        {edges.slice(0, SHOWN).map((edge) => (
          <li key={`${edge.a} ${edge.b}`}>
            <button
              type="button"
              class="plain"
              aria-pressed={chosen?.a === edge.a && chosen.b === edge.b}
              onClick={() => choose(edge)}
            >
              {edge.a} – {edge.b}
            </button>{" "}
            {percent(edge.probability)}{" "}
            <span class="quiet">
              {listed(edge.channels.map(({ channel }) => named("channel", channel)))}
            </span>
          </li>
        ))}
      </ul>
      {edges.length > SHOWN && <p class="quiet">{t("case.edges.first", { n: SHOWN })}</p>}
    </details>
  );
}

export function Evidence({ edge, close }: { edge: Edge; close: () => void }) {
  const { a, b } = edge;
  const heading = useRef<HTMLHeadingElement>(null);
  const { value, failure, again } = useAsked(`${a} ${b}`, (signal) => {
    const body = { a: { streamer_id: a }, b: { streamer_id: b }, without: [] };
    return ask(api.POST("/v1/compare", { body, signal }));
  });
  useLayoutEffect(() => heading.current?.focus(), [a, b]);
  return (
    <section aria-labelledby="edge-title" class="evidence">
      <div class="panel-head">
        <h3 id="edge-title" ref={heading} tabIndex={-1}>
          {a} – {b}
        </h3>
        <button type="button" class="plain" onClick={close}>
          {t("app.close")}
        </button>
      </div>
      {failure && <Problem failure={failure} again={again} />}
      {!value && !failure && <Loading />}
      {value && (
        <>
          <Verdict found={value} />
          <Waterfall found={value} />
        </>
      )}
    </section>
  );
}
