/** Watchlists: whom every write is matched with; a shadow list keeps its alerts to itself. */
import { useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, type Schemas } from "../../api/client";
import { number, percent, t } from "../../i18n";
import { NextPage } from "../../parts/next_page";
import { Loading, Problem } from "../../parts/states";
import { Words } from "../../parts/words";
import { useActing } from "../../state/acting";
import { changed, hrefOf, place } from "../../state/location";
import { say } from "../../state/saying";
import { idsIn } from "../find/question";

type Listed = Schemas["ListedWatchlistOut"];
type Mode = Schemas["WatchlistIn"]["mode"];

export function Watchlists(props: { round: number; changed: () => void }) {
  const { params } = place.value;
  const cursor = params.get("lists");
  const chosen = params.get("list");
  const { value, failure, again } = useAsked(`${cursor} ${props.round}`, (signal) => {
    const query = { limit: 50, ...(cursor && { cursor }) };
    return ask(api.GET("/v1/watchlists", { params: { query }, signal }));
  });
  const { act, wrong, acting } = useActing();
  const turn = (list: Listed): Promise<void> =>
    act(async () => {
      const path = { watchlist_id: list.watchlist_id };
      const whole = await ask(api.GET("/v1/watchlists/{watchlist_id}", { params: { path } }));
      const mode = whole.mode === "on" ? "shadow" : "on";
      const header = { "if-match": `"${whole.revision}"` };
      const { name, min_probability } = whole;
      const body = {
        name,
        min_probability,
        mode,
        positive: seedsOf(whole.positive),
        negative: seedsOf(whole.negative),
      } as Schemas["WatchlistIn"];
      await ask(api.PUT("/v1/watchlists/{watchlist_id}", { params: { path, header }, body }));
      say(t("alert.turned", { name, mode: t(`alert.mode.${mode}`) }));
      props.changed();
    });
  return (
    <nav class="groups" aria-label={t("alert.lists")}>
      {failure && <Problem failure={failure} again={again} />}
      {wrong && <Problem failure={wrong} />}
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
            <button type="button" class="plain" disabled={acting} onClick={() => void turn(list)}>
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

/** Seeds as they were given: the members of a case came with the case. */
function seedsOf(seeds: Schemas["SeedOut"][]): Schemas["WatchedSeedIn"][] {
  const cases = new Set(seeds.flatMap(({ case_id }) => case_id ?? []));
  const others = seeds
    .filter(({ case_id }) => !case_id)
    .map(({ streamer_id, profile }) => (streamer_id ? { streamer_id } : { profile }));
  return [...others, ...[...cases].map((case_id) => ({ case_id }))] as Schemas["WatchedSeedIn"][];
}

function NewWatchlist(props: { changed: () => void }) {
  const given = place.value.params.get("watch") ?? "";
  const [name, setName] = useState("");
  const [text, setText] = useState(given);
  const [probability, setProbability] = useState("0.9");
  const [mode, setMode] = useState<Mode>("shadow");
  const { act, wrong, acting } = useActing();
  const seeds = idsIn(text);
  const create = (): Promise<void> =>
    act(async () => {
      const body = {
        name,
        positive: seeds.map((streamer_id) => ({ streamer_id })),
        min_probability: Number(probability),
        mode,
      } as Schemas["WatchlistIn"];
      await ask(api.POST("/v1/watchlists", { body }));
      say(t("alert.created", { name }));
      setName("");
      setText("");
      props.changed();
    });
  return (
    <details open={given !== ""}>
      <summary>{t("alert.new")}</summary>
      <form
        class="dialog-form"
        onSubmit={(event) => {
          event.preventDefault();
          void create();
        }}
      >
        <label>
          {t("alert.name")}{" "}
          <input
            required
            maxLength={200}
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <label>
          {t("alert.seeds")}{" "}
          <textarea
            required
            rows={2}
            spellcheck={false}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
        <label>
          {t("alert.probability")}{" "}
          <input
            type="number"
            required
            min="0.01"
            max="1"
            step="0.01"
            value={probability}
            onInput={(event) => setProbability(event.currentTarget.value)}
          />
        </label>
        <label>
          {t("alert.mode")}{" "}
          <select value={mode} onChange={(event) => setMode(event.currentTarget.value as Mode)}>
            {(["shadow", "on"] as const).map((one) => (
              <option key={one} value={one}>
                {t(`alert.mode.${one}`)}
              </option>
            ))}
          </select>
        </label>
        <button type="submit" class="primary" disabled={acting || !seeds.length}>
          {t("alert.create")}
        </button>
        {wrong && <Problem failure={wrong} />}
      </form>
    </details>
  );
}
