/** One saved list: its runs, the rows of the present one, and what is done with them. */
import { useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, askForFile, Failure, reach, type Schemas } from "../../api/client";
import { number, t, time } from "../../i18n";
import { Dialog } from "../../parts/dialog";
import { download } from "../../parts/download";
import { JobProgress } from "../../parts/job_progress";
import { Empty, Loading, Problem } from "../../parts/states";
import { Sure } from "../../parts/sure";
import { Words } from "../../parts/words";
import { useActing, useOnce } from "../../state/acting";
import { FINAL, useFollowing, whyFailed } from "../../state/following";
import { useKeys } from "../../state/keyboard";
import { changed, go, goFromHere, hrefOf, place } from "../../state/location";
import { say } from "../../state/saying";
import { holders } from "../../state/session";
import { asWritten, warningsOf } from "../find/question";
import { keep, lastOf, openRun, type Answer } from "./last";
import { Rows } from "./rows";

export function SavedList({ name }: { name: string }) {
  const params = { path: { list_name: name } };
  const { value, failure, again, renew } = useAsked(name, (signal) =>
    ask(api.GET("/v1/lists/{list_name}", { params, signal })),
  );
  const { answer: last, later } = lastOf(value);
  const run = Number(place.value.params.get("run")) || null;
  const opened = useAsked(run === null ? null : `${name} ${run}`, (signal) =>
    openRun(name, run!, signal),
  );
  const answer = run === null ? last : opened.value;
  const holder = holders.value;
  const [isNewWanted, setNewOnly] = useState(false);
  const isNewOnly = isNewWanted && answer !== null && answer.provenance.previous_run !== null;
  const [writing, setWriting] = useState(false);
  const [sure, setSure] = useState(false);
  const [failed, setFailed] = useState<Failure | null>(null);
  const { act, wrong, acting, press } = useActing();
  const taking = useActing();
  const once = useOnce();
  const stop = (why: Failure): void => {
    keep(holder, value!, { later: null });
    setFailed(why);
  };
  const job = useFollowing(later?.jobId ?? null, (end) => {
    const why = whyFailed(end);
    if (why) return stop(why);
    again(); // its run is there, whether its rows can be had or not
    void take();
  });
  /** What a job made: rows to look at, or a file; until it came, it can be asked for again. */
  const take = (): Promise<void> =>
    taking.act(async () => {
      if (!later) return; // the list was saved anew meanwhile
      const { jobId, format } = later;
      const asked = { params: { path: { job_id: jobId } }, parseAs: "blob" } as const;
      try {
        const file = await askForFile(api.GET("/v1/jobs/{job_id}/result", asked));
        if (format === "json") {
          keep(holder, value!, { answer: JSON.parse(await reach(file.text())) as Answer });
        } else download(`${name}.${format}`, file);
        keep(holder, value!, { later: null });
        say(t("list.later.done"));
      } catch (error) {
        const failure = Failure.of(error);
        if (!FINAL.includes(failure.status)) throw failure;
        stop(failure);
      }
    });
  // One whose result can't be had, as when another replica has it, keeps nobody from the next.
  const isUnderWay = later !== null && !taking.wrong;
  const runIt = (): Promise<void> =>
    act(async () => {
      setFailed(null);
      taking.forget();
      if (run !== null) go("lists", changed({ run: null }));
      const found = await once(String(value!.revision), (key) => {
        // Rows that come at once are those of the request's id; a job is that of the key.
        const headers = { "X-Request-Id": key.replaceAll('"', "") };
        const header = { "idempotency-key": key };
        const asked = { params: { ...params, header }, headers };
        return ask(api.POST("/v1/lists/{list_name}:run", asked));
      });
      if ("rows" in found) {
        keep(holder, value!, { answer: found });
        await renew();
      } else {
        const { job_id: jobId } = found as Schemas["JobOut"];
        keep(holder, value!, { later: { jobId, format: "json" } });
      }
    });
  const shown = answer?.provenance.run ?? null;
  // A preview asks by the question's vectors, which not every key is told.
  const isBare = shown === null && !!value?.vectors_unavailable_because;
  /** The run on the screen as it was told, or a new list of the question, of which none is kept. */
  const save = (format: "csv" | "xlsx"): Promise<void> =>
    act(async () => {
      setFailed(null);
      taking.forget();
      if (shown !== null) {
        const path = { list_name: name, run: shown };
        const query = { format, new_only: isNewOnly };
        const asked = { params: { path, query }, parseAs: "blob" } as const;
        const file = await askForFile(api.GET("/v1/lists/{list_name}/runs/{run}", asked), (why) =>
          say(t("list.file.less", { why })),
        );
        download(`${name}-run-${shown}${isNewOnly ? "-new" : ""}.${format}`, file);
        return;
      }
      const query = { format };
      const { question } = value!;
      const filter = question.filter && asWritten(question.filter);
      const body = { ...question, ...(filter && { filter }) };
      const asked = { params: { query }, body, parseAs: "blob" } as const;
      const file = await askForFile(api.POST("/v1/lists:preview", asked));
      if (file.type.startsWith("application/json")) {
        const made = JSON.parse(await file.text()) as Schemas["JobOut"];
        keep(holder, value!, { later: { jobId: made.job_id, format } });
      } else download(`${name}.${format}`, file);
    });
  const drop = (): Promise<void> =>
    act(async () => {
      const header = { "if-match": `"${value!.revision}"` };
      const goOn = goFromHere();
      await ask(api.DELETE("/v1/lists/{list_name}", { params: { ...params, header } }));
      goOn("lists");
    });
  useKeys({ r: () => void (value && !isUnderWay && runIt()) });

  if (!value) return failure ? <Problem failure={failure} again={again} /> : <Loading />;
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
        <button {...press(runIt)} class="primary" disabled={isUnderWay}>
          {t("list.run")} <kbd>r</kbd>
        </button>
        <button {...press(() => save("xlsx"))} disabled={isUnderWay || isBare}>
          {t("list.xlsx")}
        </button>
        <button {...press(() => save("csv"))} disabled={isUnderWay || isBare}>
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
      <p class="quiet">
        {isBare && t("list.file.bare")}
        {!isBare && (shown === null ? t("list.file.preview") : t("list.file.run", { run: shown }))}
      </p>
      {failure && <Problem failure={failure} again={again} />}
      {opened.failure && <Problem failure={opened.failure} again={opened.again} />}
      {opened.waiting && <Loading />}
      {wrong && !sure && <Problem failure={wrong} />}
      {failed && <Problem failure={failed} />}
      {taking.wrong && <Problem failure={taking.wrong} again={() => void take()} />}
      {later && !taking.wrong && (
        <p role="status">
          {t("list.later")} {job && <JobProgress job={job} />}
        </p>
      )}
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
          {!answer.complete && (
            <p class="notice words">
              {t("find.incomplete", { why: answer.incomplete_because ?? "" })}
            </p>
          )}
          {warningsOf(answer).map((warning) => (
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
          <Rows
            rows={rows}
            question={answer.provenance.asked_at < value.updated_at ? null : value.question}
            isCompared={answer.provenance.previous_run !== null}
          />
        </>
      )}
      <Runs runs={value.runs} />
      {writing && (
        <Outreach ids={rows.map((row) => row.streamer_id)} close={() => setWriting(false)} />
      )}
      {sure && (
        <Sure
          title={t("list.delete.sure", { name })}
          label={t("list.delete")}
          isActing={acting}
          wrong={wrong}
          act={() => void drop()}
          close={() => setSure(false)}
        />
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
            <th scope="row">
              <a href={hrefOf("lists", changed({ run: String(run.run) }))}>{run.run}</a>
            </th>
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
function Outreach({ ids: all, close }: { ids: string[]; close: () => void }) {
  const [note, setNote] = useState("");
  const [gone, setGone] = useState<ReadonlySet<string>>(new Set());
  const ids = all.filter((id) => !gone.has(id));
  const { act, wrong, acting } = useActing();
  const once = useOnce();
  const record = (): Promise<void> =>
    act(async () => {
      const body = { ids, note };
      try {
        await once(JSON.stringify(body), (key) => {
          const header = { "idempotency-key": key };
          return ask(api.POST("/v1/outreach", { params: { header }, body }));
        });
      } catch (error) {
        const { code, problem } = Failure.of(error);
        const places = problem?.errors?.map(({ pointer }) => Number(pointer?.split("/").at(-1)));
        if (code !== "streamer_not_found" || !places?.length) throw error;
        setGone(new Set([...gone, ...places.map((place) => ids[place]!)]));
        return;
      }
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
        {gone.size > 0 && (
          <p class="notice words" role="status">
            {t("list.outreach.gone", { ids: [...gone].join(", ") })}
          </p>
        )}
        <button type="submit" class="primary" disabled={acting || !ids.length}>
          {t("list.outreach.do")}
        </button>
        {wrong && <Problem failure={wrong} />}
      </form>
    </Dialog>
  );
}
