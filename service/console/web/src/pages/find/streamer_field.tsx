/** A field for one streamer: its id, or a nickname by which it is found. */
import { useState } from "preact/hooks";
import { useFound } from "./found";
import { idsIn } from "./question";

export function StreamerField(props: {
  name: string;
  label: string;
  value: string;
  isSearch: boolean;
  isRequired: boolean;
  set: (text: string) => void;
  /** Is told whom the list gave, once it is in the field. */
  take?: (id: string) => void;
}) {
  const [typed, setTyped] = useState("");
  const take = (id: string): void => {
    setTyped("");
    props.set(id);
    props.take?.(id);
  };
  const found = useFound(props.name, typed, take);
  return (
    <div class="streamer-field">
      <label for={props.name}>{props.label}</label>
      <input
        id={props.name}
        data-search={props.isSearch ? "" : undefined}
        required={props.isRequired}
        maxLength={128}
        spellcheck={false}
        autocomplete="off"
        {...found.field}
        value={props.value}
        onInput={(event) => {
          found.forget();
          setTyped(event.currentTarget.value);
          props.set(event.currentTarget.value);
        }}
        onBlur={() => setTyped("")}
        onKeyDown={(event) => {
          if (event.isComposing) return;
          found.onArrow(event);
          if (event.key !== "Enter") return;
          // Who typed an id means it, whoever else has it in a name.
          const isId = idsIn(props.value).join() === props.value.trim();
          const chosen = found.chosen ?? (isId ? undefined : found.first);
          if (!chosen) return;
          event.preventDefault();
          take(chosen);
        }}
      />
      {found.list}
    </div>
  );
}
