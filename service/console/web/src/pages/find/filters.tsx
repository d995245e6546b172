/** Conditions on fields, with the values that streamers have, counted by the service. */
import { useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, type Schemas } from "../../api/client";
import { number, t } from "../../i18n";
import { Words } from "../../parts/words";
import { change, filterOf, HOW, textOf, type Condition, type How } from "./question";

type Counts = Schemas["FieldCountsOut"];
const FACETS = ["category", "language", "tags"] as const;
const MOST_VALUES = 20;
const SHOWN_VALUES = 6;

/** Values of the fields among all whom the conditions let through; none where a key may not see. */
function useFacets(conditions: Condition[], field: string) {
  const filter = filterOf(conditions);
  const fields = [...new Set([...FACETS, ...(field ? [field] : [])])];
  const body = { fields, most: MOST_VALUES, ...(filter && { filter }) };
  const asked = useAsked(JSON.stringify(body), (signal) =>
    ask(api.POST("/v1/streamers:facets", { body, signal })),
  );
  return asked.value;
}

function valuesOf(counts: Counts[] | undefined, field: string): Counts["values"] {
  return counts?.find((one) => one.field === field)?.values ?? [];
}

export function Filters({ conditions }: { conditions: Condition[] }) {
  const [field, setField] = useState("category");
  const facets = useFacets(conditions, field);
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
      <NewCondition field={field} setField={setField} facets={facets} add={add} />
      {facets && conditions.length > 0 && (
        <span class="quiet">{t("find.filter.left", { n: number(facets.count) })}</span>
      )}
      {FACETS.map((field) => {
        const counts = valuesOf(facets?.fields, field).slice(0, SHOWN_VALUES);
        return (
          counts.length > 1 && (
            <p key={field} class="facet">
              <span class="quiet">{t(`profile.${field}`)}</span>
              {counts.map(({ value, count }) => (
                <button
                  key={String(value)}
                  type="button"
                  class="plain"
                  onClick={() => add({ field, how: "is", value: String(value) })}
                >
                  <Words value={String(value)} /> <span class="quiet">{number(count)}</span>
                </button>
              ))}
            </p>
          )
        );
      })}
    </fieldset>
  );
}

function NewCondition(props: {
  field: string;
  setField: (field: string) => void;
  facets: Schemas["FacetsOut"] | null;
  add: (condition: Condition) => void;
}) {
  const { field, setField, facets } = props;
  const [how, setHow] = useState<How>("is");
  const [value, setValue] = useState("");
  const isNumber = how === "gte" || how === "lte";
  const isWrong = isNumber && value !== "" && !Number.isFinite(Number(value));
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
        {(facets?.known_fields ?? FACETS).map((name) => (
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
        {valuesOf(facets?.fields, field).map(({ value, count }) => (
          <option key={String(value)} value={String(value)} label={`${value} (${count})`} />
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
