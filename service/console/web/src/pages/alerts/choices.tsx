/** What each watchlist asks for beside its seeds. */
import { t } from "../../i18n";
import type { Mode } from "./seeds";

/** From which probability on a watchlist raises alerts, and whether they are delivered. */
export function Choices(props: {
  probability: string;
  setProbability: (text: string) => void;
  mode: Mode;
  setMode: (mode: Mode) => void;
}) {
  return (
    <>
      <label>
        {t("alert.probability")}{" "}
        <input
          type="number"
          required
          min="0.01"
          max="1"
          step="any"
          value={props.probability}
          onInput={(event) => props.setProbability(event.currentTarget.value)}
        />
      </label>
      <label>
        {t("alert.mode")}{" "}
        <select
          value={props.mode}
          onChange={(event) => props.setMode(event.currentTarget.value as Mode)}
        >
          {(["shadow", "on"] as const).map((one) => (
            <option key={one} value={one}>
              {t(`alert.mode.${one}`)}
            </option>
          ))}
        </select>
      </label>
    </>
  );
}
