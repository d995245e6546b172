/** Watchlists: whom every write is matched with; a shadow list keeps its alerts to itself. */
import { useAsked } from "../../api/asked";
import { api, ask, type Schemas } from "../../api/client";
import { number, percent, t } from "../../i18n";
import { NextPage } from "../../parts/next_page";
import { Loading, Problem } from "../../parts/states";
import { Words } from "../../parts/words";
import { useActing } from "../../state/acting";
import { changed, hrefOf, place } from "../../state/location";
import { say } from "../../state/saying";
import { NewWatchlist } from "./new_watchlist";

type Listed = Schemas["ListedWatchlistOut"];

export function Watchlists(props: { round: number; changed: () => void }) {
  const { params } = place.value;
  const cursor = params.get("lists");
  const chosen = params.get("list");
  const { value, failure, again, renew } = useAsked(`${cursor} ${props.round}`, (signal) => {
    const query = { limit: 50, ...(cursor && { cursor }) };
    return ask(api.GET("/v1/watchlists", { params: { query }, signal }));
  });
  const { act, wrong, press } = useActing();
  const turn = (list: Listed): Promise<void> =>
    act(async () => {
      const path = { watchlist_id: list.watchlist_id };
      const mode = list.mode === "on" ? "shadow" : "on";
      const header = { "if-match": `"${list.revision}"` };
      const body = { mode } as const;
      await ask(api.PATCH("/v1/watchlists/{watchlist_id}", { params: { path, header }, body }));
      say(t("alert.turned", { name: list.name, mode: t(`alert.mode.${mode}`) }));
      props.changed();
      await renew();
    });
  return (
    <nav class="groups" aria-label={t("alert.lists")}>
      {failure && <Problem failure={failure} again={again} />}
      {wrong && <Problem failure={wrong} again={props.changed} />}
      {!value && !failure && <Loading />}
      <ul>
        <li>
          <a
            href={hrefOf("alerts", changed({ list: null, cursor: null }))}
            aria-current={chosen ? undefined : "true"}
          >
            {t("alert.all")}
          </a>
        </li>
        {value?.watchlists.map((list) => (
          <li key={list.watchlist_id}>
            <a
              href={hrefOf("alerts", changed({ list: list.watchlist_id, cursor: null }))}
              aria-current={list.watchlist_id === chosen ? "true" : undefined}
            >
              <Words value={list.name} />
              <span>
                {t("alert.counts", {
                  open: number((list.mode === "on" ? list.alerts : list.shadow_alerts).open),
                })}
              </span>
              <span class="quiet">
                {t(`alert.mode.${list.mode}`)} · {percent(list.min_probability)}
              </span>
            </a>
            {list.beyond > 0 && (
              <p class="notice">{t("alert.beyond", { n: number(list.beyond) })}</p>
            )}
            <button {...press(() => turn(list))} class="plain">
              {t(list.mode === "on" ? "alert.turn.shadow" : "alert.turn.on")}
              <span class="unseen"> {list.name}</span>
            </button>
          </li>
        ))}
      </ul>
      <NextPage next={value?.next_cursor} name="lists" />
      <NewWatchlist changed={props.changed} />
    </nav>
  );
}
