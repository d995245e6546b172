/** What becomes of the list, or of those selected: a file, a saved list, a case, a watchlist. */
import { useState } from "preact/hooks";
import { api, ask, type Schemas } from "../../api/client";
import { number, t } from "../../i18n";
import { CopyButton } from "../../parts/copy_button";
import { Dialog } from "../../parts/dialog";
import { download } from "../../parts/download";
import { Problem } from "../../parts/states";
import { useActing, useOnce } from "../../state/acting";
import { goFromHere, hrefOf } from "../../state/location";
import { say } from "../../state/saying";
import { bodyOf, curlOf, fileOf, type FileFormat, type Found, type Question } from "./question";

/** Of a question and of a case; a watchlist takes as many as a page has. */
export const MOST_SEEDS = 100;
/** Of a list; a job makes those that are longer than what this page shows. */
const MOST_ROWS = 10_000;

export function Shelf(props: {
  question: Question;
  found: Found;
  chosen: string[];
  exclude: (ids: string[]) => void;
}) {
  const { question, found, chosen } = props;
  const [asking, setAsking] = useState<"list" | "case" | null>(null);
  const { act, wrong, acting } = useActing();
  const save = (format: FileFormat): Promise<void> =>
    act(async () => {
      const file = await fileOf(question, chosen, format, found.explained);
      download(`similar-streamers.${format}`, file);
      say(t("find.file"));
    });
  const isEmpty = !found.rows.length;
  return (
    <>
      {chosen.length > 0 && (
        <>
          <span>{t("find.selected", { n: chosen.length })}</span>
          <button type="button" onClick={() => props.exclude(chosen)}>
            {t("find.exclude")}
          </button>
          <button type="button" onClick={() => setAsking("case")}>
            {t("find.case")}
          </button>
          <a class="button" href={hrefOf("alerts", new URLSearchParams({ watch: chosen.join() }))}>
            {t("find.watch")}
          </a>
        </>
      )}
      <button type="button" disabled={isEmpty} onClick={() => setAsking("list")}>
        {t("find.save")}
      </button>
      <button
        type="button"
        title={t("find.file")}
        disabled={isEmpty || acting}
        onClick={() => void save("csv")}
      >
        {t("find.download")}
      </button>
      <button
        type="button"
        title={t("find.file")}
        disabled={isEmpty || acting}
        onClick={() => void save("xlsx")}
      >
        XLSX
      </button>
      <CopyButton text={() => curlOf(question)} label={t("find.curl")} done={t("find.curl.done")} />
      {wrong && <Problem failure={wrong} />}
      {asking === "list" && (
        <SaveList
          question={question}
          chosen={chosen}
          isExplained={found.explained}
          close={() => setAsking(null)}
        />
      )}
      {asking === "case" && <BeginCase chosen={chosen} close={() => setAsking(null)} />}
    </>
  );
}

/** Saves a question as a list, and opens that. */
export function SaveList(props: {
  heading?: string;
  question: Question;
  chosen: string[];
  isExplained: boolean;
  close: () => void;
}) {
  const [name, setName] = useState("");
  const [title, setTitle] = useState("");
  const [count, setCount] = useState(String(props.question.count));
  const { act, wrong, acting } = useActing();
  const save = (): Promise<void> =>
    act(async () => {
      const asked = { ...props.question, count: Number(count) };
      const question = bodyOf(asked, props.isExplained ? "short" : null, props.chosen);
      const params = { path: { list_name: name }, header: { "if-none-match": "*" } };
      const go = goFromHere();
      await ask(api.PUT("/v1/lists/{list_name}", { params, body: { title, question } }));
      go("lists", new URLSearchParams({ list: name }));
    });
  return (
    <Dialog title={props.heading ?? t("find.save.title")} close={props.close}>
      <form
        class="dialog-form"
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        <label>
          {t("find.save.name")}{" "}
          <input
            required
            autofocus
            maxLength={64}
            pattern="[A-Za-z0-9][A-Za-z0-9._\-]*"
            title={t("find.save.pattern")}
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <label>
          {t("find.save.for")}{" "}
          <input
            maxLength={200}
            value={title}
            onInput={(event) => setTitle(event.currentTarget.value)}
          />
        </label>
        <label>
          {t("find.save.count")}{" "}
          <input
            type="number"
            required
            min="1"
            max={MOST_ROWS}
            value={count}
            onInput={(event) => setCount(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="primary" disabled={acting}>
          {t("find.save.do")}
        </button>
        {wrong && <Problem failure={wrong} />}
      </form>
    </Dialog>
  );
}

export function beginCase(
  title: string,
  seeds: string[],
  key: string,
): Promise<Schemas["CaseOut"]> {
  const header = { "idempotency-key": key };
  return ask(api.POST("/v1/cases", { params: { header }, body: { title, seeds, exclude: [] } }));
}

/** Of those who were chosen, or the first of them. */
export function BeginCase({ chosen, close }: { chosen: string[]; close: () => void }) {
  const seeds = chosen.slice(0, MOST_SEEDS);
  const [title, setTitle] = useState("");
  const { act, wrong, acting } = useActing();
  const once = useOnce();
  const begin = (): Promise<void> =>
    act(async () => {
      const go = goFromHere();
      const made = await once(JSON.stringify([title, seeds]), (key) =>
        beginCase(title, seeds, key),
      );
      go("cases", new URLSearchParams({ case: made.case_id }));
    });
  return (
    <Dialog title={t("find.case.title", { n: seeds.length })} close={close}>
      <form
        class="dialog-form"
        onSubmit={(event) => {
          event.preventDefault();
          void begin();
        }}
      >
        {seeds.length < chosen.length && (
          <p class="notice">
            {t("find.case.first", { n: number(seeds.length), all: number(chosen.length) })}
          </p>
        )}
        <label>
          {t("find.case.for")}{" "}
          <input
            required
            autofocus
            maxLength={200}
            value={title}
            onInput={(event) => setTitle(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="primary" disabled={acting}>
          {t("find.case.do")}
        </button>
        {wrong && <Problem failure={wrong} />}
      </form>
    </Dialog>
  );
}
