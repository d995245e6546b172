import { t, type Text } from "../i18n";
import { Dialog } from "../parts/dialog";

const KEYS: [string[], Text][] = [
  [["/"], "keys.seeds"],
  [["j"], "keys.down"],
  [["k"], "keys.up"],
  [["Enter"], "keys.open"],
  [["e"], "keys.exclude"],
  [["z"], "keys.undo"],
  [["x", "n", "u"], "keys.judge"],
  [["y", "n", "u"], "keys.decide"],
  [["0", "1", "2", "3"], "keys.rate"],
  [["m"], "keys.note"],
  [["c"], "keys.fold"],
  [["+", "-", "f"], "keys.graph"],
  [["y", "n"], "keys.alerts"],
  [["r"], "keys.run"],
  [["l"], "keys.list"],
  [["← → ↑ ↓", "+", "-", "0"], "keys.map"],
  [["?"], "keys.help"],
  [["Esc"], "keys.close"],
];

export function Help({ close }: { close: () => void }) {
  return (
    <Dialog title={t("keys.title")} close={close} isAlways>
      <dl class="keys">
        {KEYS.map(([keys, text]) => (
          <div key={text}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{t(text)}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
