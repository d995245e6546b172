/** Seeds: found by nickname, or ids that are typed or pasted; chips that can be removed. */
import { useState } from "preact/hooks";
import { t } from "../../i18n";
import { Words } from "../../parts/words";
import { idsIn } from "./question";
import { useSuggestions, type Suggestion } from "./suggestions";

const MOST_CHIPS = 12;

export function Seeds(props: {
  name: string;
  label: string;
  hint: string;
  ids: string[];
  set: (ids: string[]) => void;
}) {
  const { name, ids, set } = props;
  const [text, setText] = useState("");
  const [all, setAll] = useState(false);
  const [active, setActive] = useState(-1);
  const suggestions = useSuggestions(text);
  const take = (found: string[]): void => {
    if (!found.length) return;
    set([...new Set([...ids, ...found])]);
    setText("");
    setActive(-1);
  };
  /** Whom the arrows chose, or the ids that were typed, or else the first who has such a name. */
  const add = (): void => {
    const chosen = suggestions[active]?.streamer_id;
    const found = chosen ? [chosen] : idsIn(text);
    take(found.length ? found : suggestions.slice(0, 1).map((one) => one.streamer_id));
  };
  const shown = all ? ids : ids.slice(0, MOST_CHIPS);
  return (
    <form
      class="seeds"
      onSubmit={(event) => {
        event.preventDefault();
        add();
      }}
    >
      <label for={name}>{props.label}</label>
      <div class="seed-box">
        {shown.map((id) => (
          <span key={id} class="chip">
            <bdi class="words">{id}</bdi>
            <button
              type="button"
              aria-label={t("find.remove", { id })}
              onClick={() => set(ids.filter((other) => other !== id))}
            >
              ×
            </button>
          </span>
        ))}
        {shown.length < ids.length && (
          <button type="button" class="plain" onClick={() => setAll(true)}>
            +{ids.length - shown.length}
          </button>
        )}
        <textarea
          id={name}
          data-search={name === "like" ? "" : undefined}
          rows={1}
          placeholder={props.hint}
          spellcheck={false}
          aria-autocomplete="list"
          aria-controls={suggestions.length ? `${name}-found` : undefined}
          aria-activedescendant={suggestions[active] ? `${name}-found-${active}` : undefined}
          value={text}
          onInput={(event) => {
            setText(event.currentTarget.value);
            setActive(-1);
          }}
          onKeyDown={(event) => {
            if (event.isComposing) return;
            if (event.key === "Enter" && !event.shiftKey) {
              event.preventDefault();
              add();
            } else if (/^Arrow(Down|Up)$/.test(event.key) && suggestions.length) {
              event.preventDefault();
              const step = event.key === "ArrowDown" ? 1 : -1;
              setActive(Math.min(Math.max(active + step, -1), suggestions.length - 1));
            } else if (event.key === "Backspace" && !text && ids.length) {
              set(ids.slice(0, -1));
            } else if (event.key === "Escape") {
              event.currentTarget.blur();
            }
          }}
        />
        <button type="submit" disabled={!idsIn(text).length && !suggestions.length}>
          {t("find.add")}
        </button>
      </div>
      {suggestions.length > 0 && (
        <ul class="found" id={`${name}-found`} role="listbox" aria-label={t("find.found")}>
          {suggestions.map((one, i) => (
            <Option
              key={one.streamer_id}
              id={`${name}-found-${i}`}
              found={one}
              isActive={i === active}
              take={() => take([one.streamer_id])}
            />
          ))}
        </ul>
      )}
    </form>
  );
}

function Option(props: { id: string; found: Suggestion; isActive: boolean; take: () => void }) {
  const { streamer_id, name, category, matched } = props.found;
  return (
    <li id={props.id} role="option" aria-selected={props.isActive} onClick={props.take}>
      <Words value={name || streamer_id} /> <span class="id quiet">{streamer_id}</span>{" "}
      <span class="quiet">
        {category && <Words value={category} />} {t(`find.matched.${matched}`)}
      </span>
    </li>
  );
}
