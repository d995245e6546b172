import { useState } from "preact/hooks";
import { t } from "../i18n";
import { say } from "../state/saying";

/** Copies a text that is made when it is needed, or shows it where the browser lets nobody copy. */
export function CopyButton(props: { text: () => string; label: string; done: string }) {
  const [byHand, setByHand] = useState<string | null>(null);
  const copy = async (): Promise<void> => {
    const text = props.text();
    try {
      await navigator.clipboard.writeText(text);
      setByHand(null);
      say(props.done);
    } catch {
      setByHand(text);
    }
  };
  return (
    <>
      <button type="button" onClick={() => void copy()}>
        {props.label}
      </button>
      {byHand !== null && (
        <label class="by-hand">
          {t("app.copy.by_hand")}
          <textarea
            readOnly
            rows={4}
            value={byHand}
            onFocus={(event) => event.currentTarget.select()}
          />
        </label>
      )}
    </>
  );
}
