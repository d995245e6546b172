/** Seeds: ids that are typed or pasted, as chips that can be removed. */
import { useState } from "preact/hooks";
import { t } from "../../i18n";
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
  const add = (): void => {
    const found = idsIn(text);
    if (!found.length) return;
    set([...new Set([...ids, ...found])]);
    setText("");
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
          rows={1}
          placeholder={props.hint}
          spellcheck={false}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.isComposing) return;
            if (event.key === "Enter" && !event.shiftKey) {
              event.preventDefault();
              add();
            } else if (event.key === "Backspace" && !text && ids.length) {
              set(ids.slice(0, -1));
            } else if (event.key === "Escape") {
              event.currentTarget.blur();
            }
          }}
        />
        <button type="submit" disabled={!idsIn(text).length}>
          {t("find.add")}
        </button>
      </div>
    </form>
  );
}
