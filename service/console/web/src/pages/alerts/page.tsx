/** The inbox: watchlists, and alerts that are confirmed or dismissed by keys. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, type Schemas } from "../../api/client";
import { t } from "../../i18n";
import { NextPage } from "../../parts/next_page";
import { Empty, Loading, Problem } from "../../parts/states";
import { useActing } from "../../state/acting";
import { useKeys } from "../../state/keyboard";
import { changed, hrefOf, place } from "../../state/location";
import { say } from "../../state/saying";
import { Alert, type State } from "./alert";
import { OneWatchlist } from "./watchlist";
import { Watchlists } from "./watchlists";

const STATES = ["open", "confirmed", "dismissed"] as const satisfies State[];
const MOST = 50;

export default function AlertsPage() {
  const { params } = place.value;
  const [round, setRound] = useState(0);
  const asked = params.get("state") as State;
  const state = STATES.includes(asked) ? asked : "open";
  const mode = params.get("mode") === "shadow" ? "shadow" : "on";
  const list = params.get("list");
  const cursor = params.get("cursor");
  const decided = (): void => setRound((n) => n + 1);
  return (
    <div class="duplicates">
      <Watchlists round={round} changed={decided} />
      <section class="review" aria-label={t("alert.title")}>
        <h1>{t("alert.title")}</h1>
        <nav class="tabs" aria-label={t("run.state")}>
          {STATES.map((name) => (
            <a
              key={name}
              href={hrefOf("alerts", changed({ state: name, cursor: null }))}
              aria-current={name === state ? "page" : undefined}
            >
              {t(`alert.state.${name}`)}
            </a>
          ))}
          <a
            href={hrefOf(
              "alerts",
              changed({ mode: mode === "on" ? "shadow" : null, cursor: null }),
            )}
            aria-current={mode === "shadow" ? "true" : undefined}
          >
            {t("alert.shadow")}
          </a>
        </nav>
        {list && <OneWatchlist key={list} id={list} round={round} changed={decided} />}
        <Inbox
          key={`${state} ${mode} ${list} ${cursor}`}
          {...{ state, mode, list, cursor, decided }}
        />
      </section>
    </div>
  );
}

/** Made anew for each choice of alerts, so that no key decides on those that were shown before. */
function Inbox(props: {
  state: State;
  mode: "on" | "shadow";
  list: string | null;
  cursor: string | null;
  decided: () => void;
}) {
  const { state, mode, list, cursor } = props;
  const { value, failure, again, renew } = useAsked(
    `${state} ${mode} ${list} ${cursor}`,
    (signal) => {
      const query = {
        state,
        mode,
        limit: MOST,
        ...(list && { watchlist_id: list }),
        ...(cursor && { cursor }),
      };
      return ask(api.GET("/v1/alerts", { params: { query }, signal }));
    },
  );
  // By its id: others decide, and new ones come. Where it is gone, none is chosen.
  const [currentId, setCurrentId] = useState<string | null>(null);
  const { act, wrong, press } = useActing();
  const looking = useRef<HTMLButtonElement>(null);
  const alerts = value?.alerts ?? [];
  const at = alerts.findIndex(({ alert_id }) => alert_id === currentId);
  const first = alerts[0]?.alert_id ?? null;
  useLayoutEffect(() => {
    if (currentId === null || first === null) setCurrentId(first);
  }, [currentId, first]);
  const focus = (row: number): void =>
    document.querySelector<HTMLElement>(`[data-alert="${row}"]`)?.focus();
  const decide = (alert: Schemas["AlertOut"] | undefined, to: State): Promise<void> =>
    act(async () => {
      if (!alert) return;
      const path = { alert_id: alert.alert_id };
      const header = { "if-match": `"${alert.revision}"` };
      try {
        const body = { state: to, note: "" };
        await ask(api.PUT("/v1/alerts/{alert_id}", { params: { path, header }, body }));
        const row = alerts.indexOf(alert);
        const beside = (alerts[row + 1] ?? alerts[row - 1])?.alert_id ?? null;
        setCurrentId((now) => (now === alert.alert_id ? beside : now));
        say(t("alert.decided", { id: alert.streamer_id, state: t(`alert.state.${to}`) }));
      } finally {
        props.decided();
        await renew();
        // What had the focus is gone with its alert.
        if (document.activeElement === document.body) {
          const current = document.querySelector<HTMLElement>(".alert.current [data-alert]");
          (current ?? looking.current)?.focus();
        }
      }
    });
  const lookAgain = (): void => {
    again();
    props.decided();
  };
  const move = (step: number): void => {
    const row = Math.min(Math.max(at + step, 0), alerts.length - 1);
    setCurrentId(alerts[row]?.alert_id ?? null);
    focus(row);
  };
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    y: () => void decide(alerts[at], "confirmed"),
    n: () => void decide(alerts[at], "dismissed"),
    r: lookAgain,
  });
  if (!value) return failure ? <Problem failure={failure} again={again} /> : <Loading />;
  return (
    <>
      {failure && <Problem failure={failure} again={again} />}
      {wrong && <Problem failure={wrong} />}
      <p class="actions">
        <button ref={looking} type="button" onClick={lookAgain}>
          {t("alert.refresh")} <kbd>r</kbd>
        </button>
      </p>
      {alerts.length ? (
        <ol class="alerts">
          {alerts.map((alert, row) => (
            <Alert
              key={alert.alert_id}
              alert={alert}
              row={row}
              isCurrent={row === at}
              choose={() => setCurrentId(alert.alert_id)}
              deciding={(to) => press(() => decide(alert, to))}
            />
          ))}
        </ol>
      ) : (
        <Empty title={t("alert.none")} remedy={t("alert.none.remedy")} />
      )}
      <NextPage next={value.has_more ? value.next_cursor : null} />
    </>
  );
}
