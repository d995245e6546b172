/** One case: members and their edges as a graph and as tables, verdicts by keys, what happened. */
import { useEffect, useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, Failure, type Schemas } from "../../api/client";
import { colon, number, t } from "../../i18n";
import { JobProgress } from "../../parts/job_progress";
import { Awaiting, later } from "../../shell/later";
import { NextPage } from "../../parts/next_page";
import { RatingNotice, RatingSwitch } from "../../rating/shown";
import { Empty, Loading, Problem } from "../../parts/states";
import { Words } from "../../parts/words";
import { useActing } from "../../state/acting";
import { useFollowing, whyFailed } from "../../state/following";
import { useKeys } from "../../state/keyboard";
import { place } from "../../state/location";
import { useRating } from "../../rating/given";
import { say } from "../../state/saying";
import { Closing } from "./closing";
import { Deciding } from "./deciding";
import { DifferencesTable, isEmpty, type Differences } from "./differences";
import { Edges, Evidence } from "./edges";
import { Events } from "./events";
import { Members, type Verdict } from "./members";

const MOST_MEMBERS = 100;
/** What draws it is large: it comes while the case is read. */
const coming = import("./graph/graph");
coming.catch(() => undefined); // it is told where the graph would be
const Graph = later(() => coming);
export type Edge = Schemas["CaseEdgeOut"];

function told({ joined_total, left_total, changed_total }: Differences): string {
  const values = { joined: number(joined_total), left: number(left_total) };
  return t("case.expanded", { ...values, changed: number(changed_total) });
}

export function Board({ id }: { id: string }) {
  const path = { case_id: id };
  const cursor = place.value.params.get("members");
  const { value, failure, again, renew } = useAsked(`${id} ${cursor}`, (signal) => {
    const query = { limit: MOST_MEMBERS, ...(cursor && { cursor }) };
    return ask(api.GET("/v1/cases/{case_id}", { params: { path, query }, signal }));
  });
  // By its id: rows change their places when others decide, and a verdict is of whom was chosen.
  const [currentId, setCurrentId] = useState<string | null>(null);
  const [edge, setEdge] = useState<Edge | null>(null);
  const [differences, setDifferences] = useState<Differences | null>(null);
  const [started, setStarted] = useState<string | null>(null);
  const [failed, setFailed] = useState<Failure | null>(null);
  const { act, wrong, forget, press } = useActing();
  // Also one that somebody else began, or this page before it was loaded anew.
  const jobId = started ?? value?.job_id ?? null;
  const job = useFollowing(jobId, (end) => {
    setStarted(null);
    setFailed(whyFailed(end));
    if (!(end instanceof Failure) && end.result) show(end.result["differences"] as Differences);
    again();
  });

  const members = value?.members ?? [];
  const seeds = value?.seeds ?? [];
  const others = members.map((each) => each.streamer_id).filter((name) => !seeds.includes(name));
  const rating = useRating({ positive: seeds }, others);
  const at =
    currentId === null ? 0 : members.findIndex(({ streamer_id }) => streamer_id === currentId);
  const setCurrent = (row: number): void => setCurrentId(members[row]?.streamer_id ?? null);
  const params = { path, header: { "if-match": `"${value?.revision}"` } };
  const show = (found: Differences): void => {
    setDifferences(found);
    say(isEmpty(found) ? t("case.unchanged") : told(found));
  };
  /** What somebody else did meanwhile is shown, as is what was done. */
  const change = (work: () => Promise<string>): Promise<void> =>
    act(async () => {
      setFailed(null);
      try {
        const done = await work();
        if (done) say(done);
      } finally {
        await renew();
      }
    });
  const expand = (how: "expand" | "rerun"): Promise<void> =>
    change(async () => {
      const ran =
        how === "expand"
          ? await ask(api.POST("/v1/cases/{case_id}:expand", { params }))
          : await ask(api.POST("/v1/cases/{case_id}:rerun", { params }));
      if ("job_id" in ran) {
        setStarted(ran.job_id);
        return t("case.expanding");
      }
      show(ran.differences);
      return "";
    });
  const decide = async (verdict: Verdict, note: string): Promise<boolean> => {
    const streamer_id = members[at]?.streamer_id;
    let isTaken = false;
    if (!streamer_id) return isTaken;
    setCurrentId(streamer_id);
    await change(async () => {
      const to = { ...params, path: { ...path, streamer_id } };
      const body = { verdict, note };
      await ask(api.PUT("/v1/cases/{case_id}/members/{streamer_id}", { params: to, body }));
      isTaken = true;
      setCurrent(Math.min(at + 1, members.length - 1));
      return streamer_id + colon() + t(`case.${verdict}`);
    });
    return isTaken;
  };
  const undo = (): Promise<void> =>
    change(async () => {
      const { undone } = await ask(api.POST("/v1/cases/{case_id}:undo", { params }));
      setDifferences(null);
      return t("case.undone", { what: t(`case.event.${undone.kind}`) });
    });
  const lookAgain = (): void => {
    forget();
    again();
  };
  const focus = (row: number): void =>
    document.querySelector<HTMLElement>(`[data-member="${row}"]`)?.focus();
  const closeEvidence = (): void => {
    setEdge(null);
    focus(at);
  };
  const move = (step: number): void => {
    const row = Math.min(Math.max(at + step, 0), members.length - 1);
    setCurrent(row);
    focus(row);
  };
  useEffect(() => setCurrentId(null), [cursor]);
  useKeys({ j: () => move(1), k: () => move(-1), z: () => void (jobId === null && undo()) });

  if (failure && (!value || failure.status === 404)) {
    return <Problem failure={failure} again={again} />;
  }
  if (!value) return <Loading />;
  return (
    <>
      <h2>
        <Words value={value.title} />
      </h2>
      <p class="quiet">
        {t("case.seeds") + colon()}
        <Words value={value.seeds.join(", ")} />
      </p>
      <div class="toolbar judging">
        <button {...press(() => expand("expand"))} class="primary" disabled={jobId !== null}>
          {t("case.expand")}
        </button>
        {value.run && (
          <button {...press(() => expand("rerun"))} disabled={jobId !== null}>
            {t("case.rerun")}
          </button>
        )}
        <Deciding
          who={members[at]?.streamer_id}
          isOff={jobId !== null}
          press={press}
          decide={decide}
          focusMember={() => focus(at)}
        />
        <button {...press(undo)} class="plain" disabled={jobId !== null}>
          {t("dup.undo")} <kbd>z</kbd>
        </button>
        <span class="spring" />
        <RatingSwitch rating={rating} />
        <Closing id={id} title={value.title} revision={value.revision} />
      </div>
      {(failure ?? wrong) && <Problem failure={(failure ?? wrong)!} again={lookAgain} />}
      {failed && <Problem failure={failed} />}
      {jobId !== null && (
        <p role="status">
          {t("case.expanding")} {job && <JobProgress job={job} />}
        </p>
      )}
      {value.run?.incomplete_because && (
        <p class="notice">{t("find.incomplete", { why: value.run.incomplete_because })}</p>
      )}
      {value.outdated && <p class="notice">{t("case.outdated")}</p>}
      {differences && <DifferencesTable found={differences} close={() => setDifferences(null)} />}
      {members.length ? (
        <>
          <p class="quiet">
            {t("case.found", { n: number(value.returned), all: number(value.total_known) })}
          </p>
          <Awaiting fallback={<div class="graph" aria-busy="true" />}>
            <Graph
              members={members}
              seeds={seeds}
              edges={value.edges}
              total={value.total_known}
              current={at}
              chosen={edge}
              choose={setEdge}
              chooseMember={setCurrent}
            />
          </Awaiting>
          {edge && <Evidence key={`${edge.a} ${edge.b}`} edge={edge} close={closeEvidence} />}
          <RatingNotice
            rating={rating}
            current={others.find((name) => name === members[at]?.streamer_id)}
          />
          <Members
            members={members}
            current={at}
            setCurrent={setCurrent}
            rating={rating}
            seeds={seeds}
          />
          <NextPage next={value.next_cursor} name="members" />
          <Edges edges={value.edges} chosen={edge} choose={setEdge} />
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
