/** One saved list: its runs, the rows of the present one, and what is done with them. */
import { useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, askForFile, Failure, type Schemas } from "../../api/client";
import { number, t, time } from "../../i18n";
import { Dialog } from "../../parts/dialog";
import { download } from "../../parts/download";
import { Empty, Loading, Problem } from "../../parts/states";
import { Words } from "../../parts/words";
import { useActing } from "../../state/acting";
import { useKeys } from "../../state/keyboard";
import { go } from "../../state/location";
import { say } from "../../state/saying";
import { Rows } from "./rows";

type Answer = Schemas["ListAnswerOut"];

export function SavedList({ name }: { name: string }) {
  const params = { path: { list_name: name } };
  const { value, failure, again } = useAsked(name, (signal) =>
    ask(api.GET("/v1/lists/{list_name}", { params, signal })),
  );
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [isNewOnly, setNewOnly] = useState(false);
  const [writing, setWriting] = useState(false);
  const [sure, setSure] = useState(false);
  const { act, wrong, acting } = useActing();
  const run = (): Promise<void> =>
    act(async () => {
      const found = await ask(api.POST("/v1/lists/{list_name}:run", { params }));
      if (!("rows" in found)) {
        throw new Failure(202, "later", t("list.later"));
      }
      setAnswer(found);
      again();
    });
  /** Of the same question; no run is kept of it. */
  const save = (format: "csv" | "xlsx"): Promise<void> =>
    act(async () => {
      const query = { format };
      const body = value!.question;
      const file = await askForFile(
        api.POST("/v1/lists:preview", { params: { query }, body, parseAs: "blob" }),
      );
      download(`${name}.${format}`, file);
    });
  const drop = (): Promise<void> =>
    act(async () => {
      const header = { "if-match": `"${value!.revision}"` };
      await ask(api.DELETE("/v1/lists/{list_name}", { params: { ...params, header } }));
      go("lists");
    });
  useKeys({ r: () => void run() });

  if (failure) return <Problem failure={failure} again={again} />;
  if (!value) return <Loading />;
  const rows = answer?.rows.filter((row) => !isNewOnly || row.is_new) ?? [];
  return (
    <>
      <h2>
        <Words value={value.title || value.name} />
      </h2>
      <p class="quiet">
        {t("list.by", { name: value.key_name, time: time(value.updated_at) })} ·{" "}
        {t("list.asks", { n: number(value.question.k ?? 200) })}
      </p>
      <div class="toolbar">
        <button type="button" class="primary" disabled={acting} onClick={() => void run()}>
          {t("list.run")} <kbd>r</kbd>
        </button>
        <button type="button" disabled={acting} onClick={() => void save("xlsx")}>
          {t("list.xlsx")}
        </button>
        <button type="button" disabled={acting} onClick={() => void save("csv")}>
          {t("find.download")}
        </button>
        <button type="button" disabled={!rows.length} onClick={() => setWriting(true)}>
          {t("list.outreach")}
        </button>
        <span class="spring" />
        <button type="button" class="danger" onClick={() => setSure(true)}>
          {t("list.delete")}
        </button>
      </div>
      {wrong && <Problem failure={wrong} />}
      {answer && (
        <>
          <p role="status">
            {t("list.found", { n: number(answer.rows.length) })}
            {answer.provenance.previous_run !== null &&
              ` · ${t("list.new", {
                n: number(answer.rows.filter((row) => row.is_new).length),
                run: answer.provenance.previous_run,
              })}`}
          </p>
          {answer.warnings.map((warning) => (
            <p key={warning} class="notice words">
              {warning}
            </p>
          ))}
          {answer.provenance.previous_run !== null && (
            <label class="choice">
              <input
                type="checkbox"
                checked={isNewOnly}
                onChange={(event) => setNewOnly(event.currentTarget.checked)}
              />{" "}
              {t("list.new.only")}
            </label>
          )}
          <Rows rows={rows} isCompared={answer.provenance.previous_run !== null} />
        </>
      )}
      <Runs runs={value.runs} />
      {writing && (
        <Outreach ids={rows.map((row) => row.streamer_id)} close={() => setWriting(false)} />
      )}
      {sure && (
        <Dialog
          title={t("list.delete.sure", { name })}
          close={() => setSure(false)}
          actions={
            <button type="button" class="danger" disabled={acting} onClick={() => void drop()}>
              {t("list.delete")}
            </button>
          }
        >
          {wrong && <Problem failure={wrong} />}
        </Dialog>
      )}
    </>
  );
}

function Runs({ runs }: { runs: Schemas["RunOut"][] }) {
  if (!runs.length) return <Empty title={t("list.runs.none")} />;
  return (
    <table>
      <caption>{t("list.runs")}</caption>
      <thead>
        <tr>
          <th scope="col">{t("list.run.number")}</th>
          <th scope="col">{t("run.when")}</th>
          <th scope="col" class="wide">
            {t("run.who")}
          </th>
          <th scope="col" class="number">
            {t("list.run.rows")}
          </th>
          <th scope="col" class="number">
            {t("list.run.new")}
          </th>
        </tr>
      </thead>
      <tbody>
        {runs.map((run) => (
          <tr key={run.run}>
            <th scope="row">{run.run}</th>
            <td>{time(run.at)}</td>
            <td class="wide words">{run.key_name}</td>
            <td class="number">{number(run.rows)}</td>
            <td class="number">{number(run.new)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Who was written to: lists leave them out when they are asked to. */
function Outreach({ ids, close }: { ids: string[]; close: () => void }) {
  const [note, setNote] = useState("");
  const { act, wrong, acting } = useActing();
  const record = (): Promise<void> =>
    act(async () => {
      await ask(api.POST("/v1/outreach", { body: { ids, note } }));
      say(t("list.outreach.done", { n: ids.length }));
      close();
    });
  return (
    <Dialog title={t("list.outreach.title", { n: ids.length })} close={close}>
      <form
        class="dialog-form"
        onSubmit={(event) => {
          event.preventDefault();
          void record();
        }}
      >
        <label>
          {t("list.outreach.note")}{" "}
          <input
            autofocus
            maxLength={2000}
            value={note}
            onInput={(event) => setNote(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="primary" disabled={acting}>
          {t("list.outreach.do")}
        </button>
        {wrong && <Problem failure={wrong} />}
      </form>
    </Dialog>
  );
}
