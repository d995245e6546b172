/** Who was chosen on the map, as a list, and what can be done with them. */
import { useState } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { number, t } from "../../i18n";
import { download } from "../../parts/download";
import { Words } from "../../parts/words";
import { hrefOf } from "../../state/location";
import { questionOf } from "../find/question";
import { BeginCase, MOST_SEEDS, SaveList } from "../find/shelf";
import type { Place } from "./points";

export type Selected = Schemas["SelectedOut"];
/** Who is listed, and in the file. */
export const MOST_CHOSEN = 1000;
const MOST_SHOWN = 100;
/** Of a list, unless another number is given. */
const ROWS = "200";

/** It stays while its answer is awaited, so that what comes is read out. */
export function Chosen(props: {
  found: Selected | null;
  title: string;
  look: (at: Place) => void;
  close: () => void;
}) {
  const { found } = props;
  return (
    <section class="map-chosen" aria-labelledby="chosen-title" aria-busy={!found}>
      <div class="panel-head">
        <h2 id="chosen-title">{props.title}</h2>
        <button type="button" class="plain" onClick={props.close}>
          {t("app.close")}
        </button>
      </div>
      <p role="status">{found ? t("map.found", { n: number(found.count) }) : t("app.loading")}</p>
      {found && <Listed found={found} look={props.look} />}
    </section>
  );
}

function Listed({ found, look }: { found: Selected; look: (at: Place) => void }) {
  const ids = found.streamers.map((one) => one.streamer_id);
  return (
    <>
      {found.count > ids.length && (
        <p class="notice">{t("map.found.first", { n: number(ids.length) })}</p>
      )}
      {ids.length > 0 && <Actions found={found} ids={ids} />}
      <ol class="map-list">
        {found.streamers.slice(0, MOST_SHOWN).map((one) => (
          <li key={one.streamer_id}>
            <a href={hrefOf("find", new URLSearchParams({ like: one.streamer_id }))}>
              <Words value={one.name || one.streamer_id} />
            </a>{" "}
            <span class="id quiet">{one.streamer_id}</span>{" "}
            {one.category && (
              <span class="quiet">
                <Words value={one.category} />
              </span>
            )}{" "}
            <button
              type="button"
              class="plain"
              aria-label={t("map.show", { id: one.streamer_id })}
              onClick={() => look(one)}
            >
              ◎
            </button>
          </li>
        ))}
      </ol>
      {ids.length > MOST_SHOWN && (
        <p class="quiet">{t("map.more", { n: ids.length - MOST_SHOWN })}</p>
      )}
    </>
  );
}

/** What a spreadsheet takes for a formula, where a cell begins by any separator of lists. */
const FORMULA = /(^|[;\t\r\n])([\s"]*)(?=[-=+@\uff1d\uff0b\uff0d\uff20])/g;

/** A cell of a CSV; what a spreadsheet would take for a formula begins with an apostrophe. */
function cell(value: string | number | null | undefined): string {
  const text = String(value ?? "");
  const safe = typeof value === "string" ? text.replace(FORMULA, "$1$2'") : text;
  return `"${safe.replaceAll('"', '""')}"`;
}

function csvOf(found: Selected): Blob {
  const rows = found.streamers.map((one) =>
    [one.streamer_id, one.name, one.category, one.x, one.y].map(cell).join(),
  );
  const lines = ["streamer_id,name,category,x,y", ...rows, ""];
  return new Blob([`\ufeff${lines.join("\r\n")}`], { type: "text/csv" });
}

function Actions({ found, ids }: { found: Selected; ids: string[] }) {
  const [asking, setAsking] = useState<"list" | "case" | null>(null);
  const seeds = ids.slice(0, MOST_SEEDS);
  const link = (page: string, name: string, some: readonly string[]): string =>
    hrefOf(page, new URLSearchParams({ [name]: some.join() }));
  return (
    <div class="actions">
      <a class="button" href={link("find", "like", seeds)}>
        {t("map.similar")}
      </a>
      <a class="button" href={link("find", "exclude", ids)}>
        {t("map.exclude")}
      </a>
      <button type="button" onClick={() => setAsking("list")}>
        {t("map.save")}
      </button>
      <button type="button" onClick={() => setAsking("case")}>
        {t("find.case")}
      </button>
      <a class="button" href={link("alerts", "watch", ids)}>
        {t("find.watch")}
      </a>
      <button type="button" onClick={() => download("map.csv", csvOf(found))}>
        {t("find.download")}
      </button>
      {seeds.length < ids.length && (
        <p class="notice">
          {t("map.similar.first", { n: number(seeds.length), all: number(ids.length) })}
        </p>
      )}
      {asking === "list" && (
        <SaveList
          heading={t("map.save.title", { n: seeds.length })}
          question={questionOf(new URLSearchParams({ like: seeds.join(), k: ROWS }))}
          chosen={[]}
          isExplained={false}
          close={() => setAsking(null)}
        />
      )}
      {asking === "case" && <BeginCase chosen={ids} close={() => setAsking(null)} />}
    </div>
  );
}
