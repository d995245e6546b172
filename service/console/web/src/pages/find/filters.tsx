/** Conditions on fields, with the values that the present list has, counted. */
import { useState } from "preact/hooks";
import type { Content } from "../../api/profiles";
import { t } from "../../i18n";
import { Words } from "../../parts/words";
import { change, HOW, textOf, type Condition, type How } from "./question";

const FACETS = ["category", "language"] as const;
const MOST_VALUES = 6;

/** How often each value of a field is among profiles, the most frequent first. */
export function countsOf(profiles: readonly Content[], field: string): [string, number][] {
  const counts = new Map<string, number>();
  for (const profile of profiles) {
    for (const value of valuesOf(profile, field)) {
      counts.set(value, (counts.get(value) ?? 0) + 1);
    }
  }
  return [...counts].sort((x, y) => y[1] - x[1] || (x[0] < y[0] ? -1 : 1));
}

function valuesOf(profile: Content, field: string): string[] {
  if (field === "tags") return [...new Set(profile.tags ?? [])];
  if (field === "category" || field === "language") {
    const value = profile[field];
    return value ? [value] : [];
  }
  const value = profile.attributes?.[field];
  return value === undefined ? [] : [String(value)];
}

export function Filters(props: { conditions: Condition[]; profiles: Content[] }) {
  const { conditions, profiles } = props;
  const add = (condition: Condition): void => {
    if (conditions.some((other) => textOf(other) === textOf(condition))) return;
    change({ conditions: [...conditions, condition] });
  };
  return (
    <fieldset class="filters">
      <legend>{t("find.filters")}</legend>
      {conditions.length > 0 && (
        <ul class="chips">
          {conditions.map((condition) => (
            <li key={textOf(condition)} class="chip">
              <Words
                value={`${condition.field} ${t(`find.filter.${condition.how}`)} ${condition.value}`}
              />
              <button
                type="button"
                aria-label={t("find.remove", { id: condition.value })}
                onClick={() => change({ conditions: conditions.filter((c) => c !== condition) })}
              >
                ×
              </button>
            </li>
          ))}
        </ul>
      )}
      <NewCondition profiles={profiles} add={add} />
      {FACETS.map((field) => {
        const counts = countsOf(profiles, field).slice(0, MOST_VALUES);
        return (
          counts.length > 1 && (
            <p key={field} class="facet">
              <span class="quiet">{t(`profile.${field}`)}</span>
              {counts.map(([value, count]) => (
                <button
                  key={value}
                  type="button"
                  class="plain"
                  onClick={() => add({ field, how: "is", value })}
                >
                  <Words value={value} /> <span class="quiet">{count}</span>
                </button>
              ))}
            </p>
          )
        );
      })}
    </fieldset>
  );
}

function NewCondition(props: { profiles: Content[]; add: (condition: Condition) => void }) {
  const [field, setField] = useState("category");
  const [how, setHow] = useState<How>("is");
  const [value, setValue] = useState("");
  const isNumber = how === "gte" || how === "lte";
  const isWrong = isNumber && value !== "" && !Number.isFinite(Number(value));
  const attributes = props.profiles.flatMap((p) => Object.keys(p.attributes ?? {}));
  const fields = ["category", "language", "tags", ...new Set(attributes)];
  return (
    <form
      class="condition"
      onSubmit={(event) => {
        event.preventDefault();
        if (!field || !value.trim() || isWrong) return;
        props.add({ field, how, value: value.trim() });
        setValue("");
      }}
    >
      <label>
        <span class="unseen">{t("find.filter.field")}</span>
        <input
          list="filter-fields"
          required
          maxLength={80}
          pattern="[^~]+"
          value={field}
          onInput={(event) => setField(event.currentTarget.value)}
        />
      </label>
      <datalist id="filter-fields">
        {fields.map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      <label>
        <span class="unseen">{t("find.filter.how")}</span>
        <select value={how} onChange={(event) => setHow(event.currentTarget.value as How)}>
          {HOW.map((one) => (
            <option key={one} value={one}>
              {t(`find.filter.${one}`)}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span class="unseen">{t("find.filter.value")}</span>
        <input
          list="filter-values"
          required
          maxLength={500}
          placeholder={t("find.filter.value")}
          inputMode={isNumber ? "decimal" : "text"}
          aria-invalid={isWrong}
          value={value}
          onInput={(event) => setValue(event.currentTarget.value)}
        />
      </label>
      <datalist id="filter-values">
        {countsOf(props.profiles, field)
          .slice(0, 20)
          .map(([one, count]) => (
            <option key={one} value={one} label={`${one} (${count})`} />
          ))}
      </datalist>
      <button type="submit">{t("find.filter.add")}</button>
      {isWrong && (
        <span class="wrong" role="alert">
          {t("find.filter.number")}
        </span>
      )}
    </form>
  );
}
