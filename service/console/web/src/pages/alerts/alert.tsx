/** One alert: who matched whom, by which evidence, and what is made of it. */
import type { Schemas } from "../../api/client";
import { streamer } from "../../api/profiles";
import { listed, named, percent, t, time } from "../../i18n";
import { Name } from "../../parts/profile";
import { Words } from "../../parts/words";
import type { Acting } from "../../state/acting";
import { hrefOf } from "../../state/location";

export type State = Schemas["AlertIn"]["state"];

export function Alert(props: {
  alert: Schemas["AlertOut"];
  row: number;
  isCurrent: boolean;
  choose: () => void;
  /** Attributes of the button that decides. */
  deciding: (to: State) => ReturnType<Acting["press"]>;
}) {
  const { alert, deciding } = props;
  const { streamer_id: id, seed_id: seed } = alert;
  return (
    <li class={props.isCurrent ? "alert current" : "alert"} onFocusIn={props.choose}>
      <p>
        <a
          data-alert={props.row}
          href={hrefOf("find", new URLSearchParams({ like: id, open: id }))}
          aria-current={props.isCurrent ? "true" : undefined}
        >
          <Name known={streamer(id).value} id={id} />
        </a>{" "}
        <span class="id quiet">{id}</span> ·{" "}
        {t("alert.matched", {
          seed: seed ?? t("alert.profile"),
          percent: percent(alert.probability),
        })}
      </p>
      <p class="quiet">
        <Words value={alert.watchlist_name} /> · {time(alert.at)} ·{" "}
        {listed(
          alert.evidence.map(
            ({ channel, weight }) => `${named("channel", channel)} ${weight.toFixed(1)}`,
          ),
        )}
      </p>
      <p class="actions">
        {alert.state !== "confirmed" && (
          <button {...deciding("confirmed")}>
            {t("alert.confirm")} <kbd>y</kbd>
          </button>
        )}
        {alert.state !== "dismissed" && (
          <button {...deciding("dismissed")}>
            {t("alert.dismiss")} <kbd>n</kbd>
          </button>
        )}
        {alert.state !== "open" && <button {...deciding("open")}>{t("alert.reopen")}</button>}
        {seed && (
          <a class="button" href={hrefOf("compare", new URLSearchParams({ a: seed, b: id }))}>
            {t("alert.compare")}
          </a>
        )}
        <a class="button" href={hrefOf("cases", new URLSearchParams({ seeds: id }))}>
          {t("find.case")}
        </a>
      </p>
    </li>
  );
}
