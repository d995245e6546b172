/** What colours mean, and which field they tell. */
import { number, t } from "../../i18n";
import { Words } from "../../parts/words";
import { colourOf } from "./palette";
import type { Cloud, ValueClass } from "./points";

const MOST_SHOWN = 12;
export const GROUPS = "duplicate_group";
const MODEL_CHANGE = "model_change";
const FIELDS = ["category", "language"];

function nameOf(one: ValueClass): string {
  return one.gte === undefined ? String(one.value) : `${one.gte} – ${one.lte}`;
}

export function Legend(props: {
  cloud: Cloud | null;
  colour: string | null;
  fields: readonly string[];
  only: number;
  setColour: (colour: string | null) => void;
  setOnly: (code: number) => void;
}) {
  const { colour, only, setOnly } = props;
  const classes = props.cloud?.classes ?? [];
  const fields = [...new Set([...FIELDS, ...props.fields, ...(colour ? [colour] : [])])];
  return (
    <section class="map-legend" aria-label={t("map.colours")}>
      <label>
        {t("map.colours")}{" "}
        <select
          value={colour ?? ""}
          onChange={(event) => props.setColour(event.currentTarget.value || null)}
        >
          <option value="">{t("map.colours.none")}</option>
          <option value={GROUPS}>{t("map.colours.groups")}</option>
          <option value={MODEL_CHANGE}>{t("map.colours.change")}</option>
          {fields
            .filter((field) => field !== GROUPS && field !== MODEL_CHANGE)
            .map((field) => (
              <option value={field} key={field}>
                {field}
              </option>
            ))}
        </select>
      </label>
      {colour === MODEL_CHANGE && <p class="quiet">{t("map.colours.change.how")}</p>}
      <ul>
        {classes.slice(0, MOST_SHOWN).map((one, i) => (
          <li key={nameOf(one)}>
            <button
              type="button"
              class="plain"
              aria-pressed={only === i + 1}
              onClick={() => setOnly(only === i + 1 ? -1 : i + 1)}
            >
              <span class="swatch" style={{ background: colourOf(i + 1) }} />
              <Words value={nameOf(one)} /> <span class="quiet">{number(one.count)}</span>
            </button>
          </li>
        ))}
        {classes.length > MOST_SHOWN && (
          <li class="quiet">{t("map.more", { n: classes.length - MOST_SHOWN })}</li>
        )}
        {classes.length > 0 && (
          <li>
            <span class="swatch" style={{ background: colourOf(0) }} />
            {t("map.others")}
          </li>
        )}
      </ul>
    </section>
  );
}
