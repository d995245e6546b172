/** Whom a nickname, a tag or words of a bio find: a list below a field, chosen from by arrows. */
import { useEffect, useState } from "preact/hooks";
import { t } from "../../i18n";
import { Words } from "../../parts/words";
import { say } from "../../state/saying";
import { useSuggestions, type Suggestion } from "./suggestions";

/** `take`: what is done with whom a click chooses. */
export function useFound(name: string, text: string, take: (id: string) => void) {
  const [active, setActive] = useState(-1);
  const [isShut, setShut] = useState(false);
  const suggestions = useSuggestions(text);
  const isShown = suggestions.length > 0 && !isShut;
  const id = `${name}-found`;
  useEffect(() => {
    if (isShown) say(t("find.found.count", { n: suggestions.length }));
  }, [isShown, suggestions]);
  return {
    /** Whom the arrows chose. */
    chosen: suggestions[active]?.streamer_id,
    first: suggestions[0]?.streamer_id,
    forget: () => {
      setActive(-1);
      setShut(false);
    },
    /** The list is shown no longer, until more is typed or an arrow asks for it. */
    shut: () => setShut(true),
    /** Attributes of the field. */
    field: {
      "aria-autocomplete": "list",
      "aria-controls": isShown ? id : undefined,
      "aria-activedescendant": isShown && suggestions[active] ? `${id}-${active}` : undefined,
    } as const,
    onArrow: (event: KeyboardEvent): void => {
      if (!/^Arrow(Down|Up)$/.test(event.key) || !suggestions.length) return;
      event.preventDefault();
      setShut(false);
      const step = event.key === "ArrowDown" ? 1 : -1;
      setActive(Math.min(Math.max(active + step, -1), suggestions.length - 1));
    },
    list: isShown && (
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
