/** One watchlist: whom it looks for, how sure it must be, in which mode; changed and deleted. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, type Schemas } from "../../api/client";
import { streamer } from "../../api/profiles";
import { number, t, time } from "../../i18n";
import { Name } from "../../parts/profile";
import { Loading, Problem } from "../../parts/states";
import { Sure } from "../../parts/sure";
import { Words } from "../../parts/words";
import { isFirst, useActing } from "../../state/acting";
import { changed, goFromHere, hrefOf } from "../../state/location";
import { say } from "../../state/saying";
import { idsIn } from "../find/question";
import { Choices } from "./choices";
import { bodyOf, fieldsOf, meanwhile, type Fields, type Seed, type Watchlist } from "./seeds";

export function OneWatchlist(props: { id: string; round: number; changed: () => void }) {
  const params = { path: { watchlist_id: props.id } };
  const { value, failure, again, renew } = useAsked(`${props.id} ${props.round}`, (signal) =>
    ask(api.GET("/v1/watchlists/{watchlist_id}", { params, signal })),
  );
  if (!value) return failure ? <Problem failure={failure} again={again} /> : <Loading />;
  return (
    <>
      {failure && <Problem failure={failure} again={again} />}
      <Editor list={value} changed={props.changed} renew={renew} />
    </>
  );
}

function Editor(props: { list: Watchlist; changed: () => void; renew: () => Promise<void> }) {
  const { list } = props;
  const [fields, setFields] = useState(() => fieldsOf(list));
  const { name, probability, mode, positive, negative } = fields;
  const set = (some: Partial<Fields>): void => setFields((all) => ({ ...all, ...some }));
  const saved = useRef(fields);
  const [isOverruling, setOverruling] = useState(false);
  const [sure, setSure] = useState(false);
  useLayoutEffect(() => {
    const { fields: next, isOverruling: also } = meanwhile(fields, saved.current, fieldsOf(list));
    saved.current = fieldsOf(list);
    setFields(next);
    if (also) setOverruling(true);
  }, [list.revision]);
  const { act, wrong, acting } = useActing();
  /** Until it is read anew, a change would be one of the revision before. */
  const refresh = (): Promise<void> => {
    props.changed();
    return props.renew();
  };
  const showSaved = (): Promise<void> =>
    act(() => {
      saved.current = fieldsOf(list); // nothing is edited, so that what comes is taken
      setFields(saved.current);
      setOverruling(false);
      return refresh();
    });
  const showing = (
    <button type="button" onClick={() => void showSaved()}>
      {t("watch.show.saved")}
    </button>
  );
  const params = {
    path: { watchlist_id: list.watchlist_id },
    header: { "if-match": `"${list.revision}"` },
  };
  const save = (): Promise<void> =>
    act(async () => {
      const body = bodyOf({ ...fields, probability: Number(probability) });
      await ask(api.PUT("/v1/watchlists/{watchlist_id}", { params, body }));
      saved.current = fields;
      setOverruling(false);
      say(t("watch.saved", { name }));
      await refresh();
    });
  const drop = (): Promise<void> =>
    act(async () => {
      const go = goFromHere();
      try {
        await ask(api.DELETE("/v1/watchlists/{watchlist_id}", { params }));
        say(t("watch.deleted", { name: list.name }));
        go("alerts", changed({ list: null, cursor: null }));
      } finally {
        await refresh();
      }
    });
  const swept =
    list.sweep.at === null
      ? t("watch.due")
      : t("watch.swept", { time: time(list.sweep.at), n: number(list.sweep.streamers ?? 0) });
  return (
    <details class="watchlist">
      <summary>
        <Words value={list.name} />{" "}
        <span class="quiet">
          {t("watch.seeds", { n: number(list.positive_count), not: number(list.negative_count) })} ·{" "}
          {swept}
        </span>
      </summary>
      <form
        class="dialog-form"
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <label>
          {t("alert.name")}{" "}
          <input
            required
            maxLength={200}
            value={name}
            onInput={(event) => set({ name: event.currentTarget.value })}
          />
        </label>
        <Seeds
          name="positive"
          label={t("watch.positive")}
          seeds={positive}
          set={(seeds) => set({ positive: seeds })}
        />
        <Seeds
          name="negative"
          label={t("watch.negative")}
          seeds={negative}
          set={(seeds) => set({ negative: seeds })}
        />
        <Choices
          probability={probability}
          setProbability={(text) => set({ probability: text })}
          mode={mode}
          setMode={(chosen) => set({ mode: chosen })}
        />
        <p class="actions">
          <button
            type="submit"
            class="primary"
            aria-disabled={acting}
            disabled={!positive.length}
            onClick={(event) => isFirst(event) || event.preventDefault()}
          >
            {t("watch.save")}
          </button>
          <button type="button" class="danger" disabled={acting} onClick={() => setSure(true)}>
            {t("watch.delete")}
          </button>
        </p>
        {isOverruling && !wrong && (
          <p class="notice" role="alert">
            {t("watch.meanwhile")} {showing}
          </p>
        )}
        {wrong && !sure && <Problem failure={wrong}>{wrong.status === 412 && showing}</Problem>}
      </form>
      {sure && (
        <Sure
          title={t("watch.delete.sure", { name: list.name })}
          label={t("watch.delete")}
          isActing={acting}
          wrong={wrong}
          act={() => void drop()}
          close={() => setSure(false)}
        >
          <p>{t("watch.delete.what")}</p>
        </Sure>
      )}
    </details>
  );
}

/** Examples with what each is: a streamer, the confirmed members of a case, or a profile. */
function Seeds(props: {
  name: string;
  label: string;
  seeds: Seed[];
  set: (seeds: Seed[]) => void;
}) {
  const { name, seeds, set } = props;
  const [text, setText] = useState("");
  const add = (): void => {
    const known = new Set(seeds.map(({ streamer_id }) => streamer_id));
    const ids = idsIn(text).filter((id) => !known.has(id));
    set([...seeds, ...ids.map((streamer_id) => ({ streamer_id }))]);
    setText("");
  };
  return (
    <fieldset>
      <legend>{props.label}</legend>
      <ul class="chips">
        {seeds.map((seed, i) => (
          <li key={JSON.stringify(seed)} class="chip">
            <SeedName seed={seed} />
            <button
              type="button"
              aria-label={t("watch.remove", { n: i + 1, name: props.label })}
              onClick={() => set(seeds.filter((other) => other !== seed))}
            >
              ×
            </button>
          </li>
        ))}
        {!seeds.length && <li class="quiet">{t("app.none")}</li>}
      </ul>
      <p class="actions">
        <input
          id={`add-${name}`}
          aria-label={`${t("watch.add")}: ${props.label}`}
          placeholder={t("watch.ids")}
          spellcheck={false}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.isComposing || !text.trim()) return;
            event.preventDefault();
            add();
          }}
        />
        <button type="button" disabled={!idsIn(text).length} onClick={add}>
          {t("watch.add")}
        </button>
      </p>
    </fieldset>
  );
}

function SeedName({ seed }: { seed: Seed }) {
  const { streamer_id: id, case_id: of, profile } = seed;
  if (of) {
    return (
      <a href={hrefOf("cases", new URLSearchParams({ case: of }))}>{t("watch.case", { id: of })}</a>
    );
  }
  if (!id) {
    const told = (profile as Schemas["StreamerContent"] | undefined)?.bio ?? "";
    return (
      <span>
        {t("alert.profile")} <Words value={told.slice(0, 40)} />
      </span>
    );
  }
  return (
    <span>
      <Name known={streamer(id).value} id={id} /> <span class="id quiet">{id}</span>
    </span>
  );
}
