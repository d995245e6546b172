/** Who was chosen on the map, as a list, and what can be done with them. */
import { useState } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { number, t } from "../../i18n";
import { download } from "../../parts/download";
import { Problem } from "../../parts/states";
import { Words } from "../../parts/words";
import { useActing } from "../../state/acting";
import { hrefOf } from "../../state/location";
import { fileOf, questionOf, type Question } from "../find/question";
import { BeginCase, MOST_SEEDS, SaveList } from "../find/shelf";
import type { Place } from "./points";

export type Selected = Schemas["SelectedOut"];
/** Of whom lists and files are made. */
export const MOST_CHOSEN = 1000;
const MOST_SHOWN = 100;

export function Chosen(props: {
  found: Selected;
  title: string;
  look: (at: Place) => void;
  close: () => void;
}) {
  const { found } = props;
  const ids = found.streamers.map((one) => one.streamer_id);
  return (
    <section class="map-chosen" aria-labelledby="chosen-title">
      <div class="panel-head">
        <h2 id="chosen-title">{props.title}</h2>
        <button type="button" class="plain" onClick={props.close}>
          {t("app.close")}
        </button>
      </div>
      <p>{t("map.found", { n: number(found.count) })}</p>
      {found.count > ids.length && (
        <p class="notice">{t("map.found.first", { n: number(ids.length) })}</p>
      )}
      {ids.length > 0 && <Actions ids={ids} />}
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
              onClick={() => props.look(one)}
            >
              ◎
            </button>
          </li>
        ))}
      </ol>
      {ids.length > MOST_SHOWN && (
        <p class="quiet">{t("map.more", { n: ids.length - MOST_SHOWN })}</p>
      )}
    </section>
  );
}

/** Those that were chosen, ranked by their likeness to the ones in the middle. */
function questionAbout(ids: readonly string[]): Question {
  const like = ids.slice(0, MOST_SEEDS);
  return { ...questionOf(new URLSearchParams()), like: [...like], count: ids.length };
}

function Actions({ ids }: { ids: string[] }) {
  const [asking, setAsking] = useState<"list" | "case" | null>(null);
  const { act, wrong, acting } = useActing();
  const seeds = ids.slice(0, MOST_SEEDS);
  const link = (page: string, name: string, some: readonly string[]): string =>
    hrefOf(page, new URLSearchParams({ [name]: some.join() }));
  const save = (): Promise<void> =>
    act(async () => {
      download("map.csv", await fileOf(questionAbout(ids), ids, "csv", false));
    });
  return (
    <div class="actions">
      <a class="button" href={link("find", "like", seeds)}>
        {t("map.similar")}
      </a>
      <a class="button" href={link("find", "exclude", ids)}>
        {t("map.exclude")}
      </a>
      <button type="button" onClick={() => setAsking("case")}>
        {t("find.case")}
      </button>
      <a class="button" href={link("alerts", "watch", seeds)}>
        {t("find.watch")}
      </a>
      <button type="button" onClick={() => setAsking("list")}>
        {t("find.save")}
      </button>
      <button type="button" disabled={acting} onClick={() => void save()}>
        {t("find.download")}
      </button>
      {wrong && <Problem failure={wrong} />}
      {asking === "list" && (
        <SaveList
          question={questionAbout(ids)}
          chosen={ids}
          isExplained={false}
          close={() => setAsking(null)}
        />
      )}
      {asking === "case" && <BeginCase seeds={seeds} close={() => setAsking(null)} />}
    </div>
  );
}
