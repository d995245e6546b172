/** A new watchlist: of ids, or of the confirmed members of a case. */
import { useState } from "preact/hooks";
import { api, ask } from "../../api/client";
import { t } from "../../i18n";
import { Problem } from "../../parts/states";
import { useActing, useOnce } from "../../state/acting";
import { changed, go, goFromHere, place } from "../../state/location";
import { say } from "../../state/saying";
import { idsIn } from "../find/question";
import { Choices } from "./choices";
import { bodyOf, type Mode } from "./seeds";

export function NewWatchlist(props: { changed: () => void }) {
  const { params } = place.value;
  const given = params.get("watch") ?? "";
  const of = params.get("case");
  const [name, setName] = useState(params.get("name") ?? "");
  const [text, setText] = useState(given);
  const [probability, setProbability] = useState("0.9");
  const [mode, setMode] = useState<Mode>("shadow");
  const { act, wrong, acting } = useActing();
  const once = useOnce();
  const seeds = idsIn(text);
  const create = (): Promise<void> =>
    act(async () => {
      const positive = seeds.map((streamer_id) => ({ streamer_id }));
      const body = bodyOf({
        name,
        mode,
        probability: Number(probability),
        positive: of ? [...positive, { case_id: of }] : positive,
        negative: [],
      });
      const goOn = goFromHere();
      try {
        const made = await once(JSON.stringify(body), (key) => {
          const params = { header: { "idempotency-key": key } };
          return ask(api.POST("/v1/watchlists", { params, body }));
        });
        say(t("alert.created", { name }));
        setName("");
        setText("");
        goOn("alerts", changed({ list: made.watchlist_id, watch: null, case: null, name: null }));
      } finally {
        props.changed();
      }
    });
  return (
    <details open={given !== "" || of !== null}>
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
        {of && (
          <p>
            {t("watch.of.case", { id: of })}{" "}
            <button
              type="button"
              class="plain"
              onClick={() => go("alerts", changed({ case: null, name: null }), true)}
            >
              {t("watch.of.case.not")}
            </button>
          </p>
        )}
        <label>
          {t("alert.seeds")}{" "}
          <textarea
            required={!of}
            rows={2}
            spellcheck={false}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </label>
        <Choices {...{ probability, setProbability, mode, setMode }} />
        <button
          type="submit"
          class="primary"
          aria-disabled={acting}
          disabled={!(seeds.length || of)}
        >
          {t("alert.create")}
        </button>
        {wrong && <Problem failure={wrong} />}
      </form>
    </details>
  );
}
