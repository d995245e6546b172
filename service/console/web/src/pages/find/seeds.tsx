/** Seeds: found by nickname, or ids that are typed or pasted; chips that can be removed. */
import { useState } from "preact/hooks";
import { t } from "../../i18n";
import { useFound } from "./found";
import { idsIn } from "./question";

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
  const found = useFound(name, text, (id) => take([id]));
  const take = (more: string[]): void => {
    if (!more.length) return;
    set([...new Set([...ids, ...more])]);
    setText("");
    found.forget();
  };
  /** Whom the arrows chose, or the ids that were typed, or else the first who has such a name:
   * words that are found as one are a name, not two ids. */
  const add = (): void => {
    const isName = found.first && /\s/.test(text.trim()) && !/[,，;；\n\t]/.test(text.trim());
    const typed = found.chosen ? [found.chosen] : isName ? [] : idsIn(text);
    take(typed.length ? typed : found.first ? [found.first] : []);
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
          {...found.field}
          value={text}
          onInput={(event) => {
            setText(event.currentTarget.value);
            found.forget();
          }}
          onBlur={found.shut}
          onKeyDown={(event) => {
            if (event.isComposing) return;
            found.onArrow(event);
            if (event.key === "Enter" && !event.shiftKey) {
              event.preventDefault();
              add();
            } else if (event.key === "Backspace" && !text && ids.length) {
              set(ids.slice(0, -1));
            } else if (event.key === "Escape") {
              found.forget();
              event.currentTarget.blur();
            }
          }}
        />
        <button type="submit" disabled={!idsIn(text).length && !found.first}>
          {t("find.add")}
        </button>
      </div>
      {found.list}
    </form>
  );
}
