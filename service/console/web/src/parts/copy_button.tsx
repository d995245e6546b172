import { useState } from "preact/hooks";
import { t } from "../i18n";

/** Copies a text that is made when it is needed, or shows it where the browser lets nobody copy. */
export function CopyButton(props: { text: () => string; label: string; done: string }) {
  const [byHand, setByHand] = useState<string | null>(null);
  const [times, setTimes] = useState(0);
  const copy = async (): Promise<void> => {
    const text = props.text();
    try {
      await navigator.clipboard.writeText(text);
      setByHand(null);
      setTimes((n) => n + 1);
    } catch {
      setByHand(text);
    }
  };
  return (
    <>
      <button type="button" onClick={() => void copy()}>
        {props.label}
      </button>
      {/* Not among what the page says: in a dialog nothing of the page is read out. */}
      <span class="passing" role="status">
        {times > 0 && <span key={times}>{props.done}</span>}
      </span>
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
