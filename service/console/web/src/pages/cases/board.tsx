/** One case: members and their edges as a graph and as tables, verdicts by keys, what happened. */
import { useEffect, useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, askForFile, type Schemas } from "../../api/client";
import { number, t } from "../../i18n";
import { download } from "../../parts/download";
import { NextPage } from "../../parts/next_page";
import { Empty, Loading, Problem } from "../../parts/states";
import { Words } from "../../parts/words";
import { useActing } from "../../state/acting";
import { useKeys } from "../../state/keyboard";
import { place } from "../../state/location";
import { say } from "../../state/saying";
import { Edges, Evidence } from "./edges";
import { Events } from "./events";
import { Graph } from "./graph";
import { Members, VERDICTS, type Verdict } from "./members";

const EVERY_MS = 1000;
const MOST_MEMBERS = 100;
const FORMATS = ["zip", "csv", "ndjson"] as const;
export type Edge = Schemas["CaseEdgeOut"];

export function Board({ id }: { id: string }) {
  const path = { case_id: id };
  const cursor = place.value.params.get("members");
  const { value, failure, again } = useAsked(`${id} ${cursor}`, (signal) => {
    const query = { limit: MOST_MEMBERS, ...(cursor && { cursor }) };
    return ask(api.GET("/v1/cases/{case_id}", { params: { path, query }, signal }));
  });
  const [current, setCurrent] = useState(0);
  const [edge, setEdge] = useState<Edge | null>(null);
  const [job, setJob] = useState<string | null>(null);
  const { act, wrong, acting } = useActing();
  useEffect(() => {
    if (!job) return;
    const timer = setInterval(() => {
      const params = { path: { job_id: job } };
      void ask(api.GET("/v1/jobs/{job_id}", { params }))
        .then(({ state }) => {
          if (state === "queued" || state === "running") return;
          setJob(null);
          again();
        })
        .catch(() => setJob(null));
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, [job, again]);

  const members = value?.members ?? [];
  const params = { path, header: { "if-match": `"${value?.revision}"` } };
  /** What somebody else did meanwhile is shown, as is what was done. */
  const change = (work: () => Promise<string>): Promise<void> =>
    act(async () => {
      try {
        say(await work());
      } finally {
        again();
      }
    });
  const expand = (): Promise<void> =>
    change(async () => {
      const ran = await ask(api.POST("/v1/cases/{case_id}:expand", { params }));
      if ("job_id" in ran) {
        setJob(ran.job_id);
        return t("case.expanding");
      }
      const { joined_total, left_total } = ran.differences;
      return t("case.expanded", { joined: number(joined_total), left: number(left_total) });
    });
  const decide = (verdict: Verdict, row = current): Promise<void> =>
    change(async () => {
      const streamer_id = members[row]?.streamer_id;
      if (!streamer_id) return "";
      const to = { ...params, path: { ...path, streamer_id } };
      const body = { verdict, note: "" };
      await ask(api.PUT("/v1/cases/{case_id}/members/{streamer_id}", { params: to, body }));
      setCurrent(Math.min(row + 1, members.length - 1));
      return `${streamer_id}: ${t(`case.${verdict}`)}`;
    });
  const undo = (): Promise<void> =>
    change(async () => {
      const { undone } = await ask(api.POST("/v1/cases/{case_id}:undo", { params }));
      return t("case.undone", { what: t(`case.event.${undone.kind}`) });
    });
  const save = (format: (typeof FORMATS)[number]): Promise<void> =>
    act(async () => {
      const asked = { params: { path, query: { format } }, parseAs: "blob" } as const;
      download(`${id}.${format}`, await askForFile(api.GET("/v1/cases/{case_id}/export", asked)));
    });
  const move = (step: number): void => {
    const row = Math.min(Math.max(current + step, 0), members.length - 1);
    setCurrent(row);
    document.querySelector<HTMLElement>(`[data-member="${row}"]`)?.focus();
  };
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    z: () => void undo(),
    ...Object.fromEntries(
      VERDICTS.map(([verdict, key]) => [key, () => void decide(verdict)] as const),
    ),
  });

  if (failure) return <Problem failure={failure} again={again} />;
  if (!value) return <Loading />;
  return (
    <>
      <h2>
        <Words value={value.title} />
      </h2>
      <p class="quiet">
        {t("case.seeds")}: <Words value={value.seeds.join(", ")} />
      </p>
      <div class="toolbar judging">
        <button
          type="button"
          class="primary"
          disabled={acting || job !== null}
          onClick={() => void expand()}
        >
          {t("case.expand")}
        </button>
        {VERDICTS.map(([verdict, key]) => (
          <button
            key={verdict}
            type="button"
            disabled={acting || !members.length}
            onClick={() => void decide(verdict)}
          >
            {t(`case.${verdict}`)} <kbd>{key}</kbd>
          </button>
        ))}
        <button type="button" class="plain" disabled={acting} onClick={() => void undo()}>
          {t("dup.undo")} <kbd>z</kbd>
        </button>
        <span class="spring" />
        {FORMATS.map((format) => (
          <button key={format} type="button" disabled={acting} onClick={() => void save(format)}>
            {t("case.export", { format: format.toUpperCase() })}
          </button>
        ))}
      </div>
      {wrong && <Problem failure={wrong} again={again} />}
      {job && <p role="status">{t("case.expanding")}</p>}
      {value.run?.incomplete_because && (
        <p class="notice">{t("find.incomplete", { why: value.run.incomplete_because })}</p>
      )}
      {members.length ? (
        <>
          <p class="quiet">
            {t("case.found", { n: number(value.returned), all: number(value.total_known) })}
          </p>
          <Graph members={members} edges={value.edges} current={current} choose={setEdge} />
          <Members members={members} current={current} setCurrent={setCurrent} />
          <NextPage next={value.next_cursor} name="members" />
          <Edges edges={value.edges} chosen={edge} choose={setEdge} />
          {edge && <Evidence edge={edge} close={() => setEdge(null)} />}
        </>
      ) : (
        <Empty title={t("case.empty")} remedy={t("case.empty.remedy")} />
      )}
      <Events id={id} revision={value.revision} />
      <p class="quiet">
        {t("case.verify")} <code>similar-streamer verify-case {id}.zip</code>
      </p>
    </>
  );
}
