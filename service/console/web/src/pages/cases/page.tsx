/** Cases: from a seed to the ring, with verdicts. */
import { useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask } from "../../api/client";
import { number, t, time } from "../../i18n";
import { NextPage } from "../../parts/next_page";
import { Empty, Loading, Problem } from "../../parts/states";
import { Words } from "../../parts/words";
import { useActing, useOnce } from "../../state/acting";
import { changed, goFromHere, hrefOf, place } from "../../state/location";
import { idsIn } from "../find/question";
import { beginCase } from "../find/shelf";
import { Board } from "./board";

export default function CasesPage() {
  const id = place.value.params.get("case");
  return (
    <div class="duplicates">
      <h1 class="unseen">{t("nav.cases")}</h1>
      <Cases chosen={id} />
      <section class="review" aria-label={t("nav.cases")}>
        {id ? <Board key={id} id={id} /> : <NewCase />}
      </section>
    </div>
  );
}

function Cases({ chosen }: { chosen: string | null }) {
  const cursor = place.value.params.get("cursor");
  const { value, failure, again } = useAsked(`cases ${cursor} ${chosen}`, (signal) => {
    const query = { limit: 50, ...(cursor && { cursor }) };
    return ask(api.GET("/v1/cases", { params: { query }, signal }));
  });
  if (failure) return <Problem failure={failure} again={again} />;
  if (!value) return <Loading />;
  return (
    <nav class="groups" aria-label={t("case.all")}>
      <a class="button" href={hrefOf("cases")}>
        {t("case.new")}
      </a>
      {!value.cases.length && <Empty title={t("case.none")} />}
      <ul>
        {value.cases.map((one) => (
          <li key={one.case_id}>
            <a
              href={hrefOf("cases", changed({ case: one.case_id, members: null }))}
              aria-current={one.case_id === chosen ? "true" : undefined}
            >
              <Words value={one.title} />
              {one.run && <span>{t("dup.members", { n: number(one.run.members) })}</span>}
              <span class="quiet">{time(one.created_at)}</span>
            </a>
          </li>
        ))}
      </ul>
      <NextPage next={value.next_cursor} />
    </nav>
  );
}

function NewCase() {
  const [title, setTitle] = useState("");
  const [text, setText] = useState(place.value.params.get("seeds") ?? "");
  const { act, wrong, acting } = useActing();
  const once = useOnce();
  const seeds = idsIn(text);
  const begin = (): Promise<void> =>
    act(async () => {
      const go = goFromHere();
      const made = await once(JSON.stringify([title, seeds]), (key) =>
        beginCase(title, seeds, key),
      );
      go("cases", new URLSearchParams({ case: made.case_id }));
    });
  return (
    <form
      class="dialog-form"
      onSubmit={(event) => {
        event.preventDefault();
        void begin();
      }}
    >
      <h2>{t("case.new")}</h2>
      <p class="quiet">{t("case.new.how")}</p>
      <label>
        {t("find.case.for")}{" "}
        <input
          required
          maxLength={200}
          value={title}
          onInput={(event) => setTitle(event.currentTarget.value)}
        />
      </label>
      <label>
        {t("case.seeds")}{" "}
        <textarea
          required
          data-search=""
          rows={2}
          spellcheck={false}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="primary" disabled={acting || !seeds.length}>
        {t("find.case.do")}
      </button>
      {wrong && <Problem failure={wrong} />}
    </form>
  );
}
