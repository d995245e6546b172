/** Verdicts on the member that is chosen, each with a note if there is one. */
import { useState } from "preact/hooks";
import { t } from "../../i18n";
import type { Acting } from "../../state/acting";
import { useKeys } from "../../state/keyboard";
import { VERDICTS, type Verdict } from "./members";

export function Deciding(props: {
  who: string | undefined;
  isOff: boolean;
  press: Acting["press"];
  /** Whether it was taken; otherwise the note stays. */
  decide: (verdict: Verdict, note: string) => Promise<boolean>;
  focusMember: () => void;
}) {
  const [note, setNote] = useState("");
  const decide = async (verdict: Verdict): Promise<void> => {
    if (await props.decide(verdict, note.trim())) setNote("");
  };
  useKeys({
    m: () => document.getElementById("note")?.focus(),
    ...Object.fromEntries(
      VERDICTS.map(
        ([verdict, key]) => [key, () => void (!props.isOff && decide(verdict))] as const,
      ),
    ),
  });
  return (
    <>
      {VERDICTS.map(([verdict, key]) => (
        <button
          key={verdict}
          {...props.press(() => decide(verdict))}
          disabled={props.isOff || !props.who}
        >
          {t(`case.${verdict}`)} <kbd>{key}</kbd>
        </button>
      ))}
      <label class="note">
        {t("case.note")} <kbd>m</kbd>{" "}
        <input
          id="note"
          maxLength={1000}
          placeholder={t("case.note.hint")}
          value={note}
          onInput={(event) => setNote(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
            event.preventDefault();
            props.focusMember();
          }}
        />
      </label>
    </>
  );
}
