/** Whom a nickname, a tag or words of a bio find: a list below a field, chosen from by arrows. */
import { useState } from "preact/hooks";
import { t } from "../../i18n";
import { Words } from "../../parts/words";
import { useSuggestions, type Suggestion } from "./suggestions";

/** `take`: what is done with whom a click chooses. */
export function useFound(name: string, text: string, take: (id: string) => void) {
  const [active, setActive] = useState(-1);
  const suggestions = useSuggestions(text);
  const id = `${name}-found`;
  return {
    /** Whom the arrows chose. */
    chosen: suggestions[active]?.streamer_id,
    first: suggestions[0]?.streamer_id,
    forget: () => setActive(-1),
    /** Attributes of the field. */
    field: {
      "aria-autocomplete": "list",
      "aria-controls": suggestions.length ? id : undefined,
      "aria-activedescendant": suggestions[active] ? `${id}-${active}` : undefined,
    } as const,
    onArrow: (event: KeyboardEvent): void => {
      if (!/^Arrow(Down|Up)$/.test(event.key) || !suggestions.length) return;
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      setActive(Math.min(Math.max(active + step, -1), suggestions.length - 1));
    },
    list: suggestions.length > 0 && (
      <ul class="found" id={id} role="listbox" aria-label={t("find.found")}>
        {suggestions.map((one, i) => (
          <Option
            key={one.streamer_id}
            id={`${id}-${i}`}
            found={one}
            isActive={i === active}
            take={() => take(one.streamer_id)}
          />
        ))}
      </ul>
    ),
  };
}

function Option(props: { id: string; found: Suggestion; isActive: boolean; take: () => void }) {
  const { streamer_id, name, category, matched } = props.found;
  return (
    <li
      id={props.id}
      role="option"
      aria-selected={props.isActive}
      onPointerDown={(event) => event.preventDefault()} // the field keeps the focus
      onClick={props.take}
    >
      <Words value={name || streamer_id} /> <span class="id quiet">{streamer_id}</span>{" "}
      <span class="quiet">
        {category && <Words value={category} />} {t(`find.matched.${matched}`)}
      </span>
    </li>
  );
}
