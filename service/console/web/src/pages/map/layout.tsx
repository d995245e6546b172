/** The state of the layout: how old it is, and the job that fits another one. */
import { useEffect, useState } from "preact/hooks";
import { api, ask, type Schemas } from "../../api/client";
import { number, t, time } from "../../i18n";
import { Empty, Problem } from "../../parts/states";
import { useActing } from "../../state/acting";

export type State = Schemas["LayoutsOut"];
type Job = Schemas["JobOut"];
const EVERY_MS = 1000;

function isGoingOn(job: Job): boolean {
  return job.state === "queued" || job.state === "running";
}

/** `done`: another layout was fitted. */
export function LayoutState({ state, done }: { state: State; done: () => void }) {
  const [job, setJob] = useState<Job | null>(null);
  const { act, wrong, acting } = useActing();
  const fit = (): Promise<void> =>
    act(async () => setJob(await ask(api.POST("/v1/layouts:fit", {}))));
  const jobId = job && isGoingOn(job) ? job.job_id : null;
  useEffect(() => {
    if (!jobId) return;
    const abort = new AbortController();
    const params = { path: { job_id: jobId } };
    const timer = setInterval(() => {
      ask(api.GET("/v1/jobs/{job_id}", { params, signal: abort.signal })).then(
        (now) => {
          setJob(now);
          if (now.state === "succeeded") done();
        },
        () => undefined, // it is asked again
      );
    }, EVERY_MS);
    return () => {
      clearInterval(timer);
      abort.abort();
    };
  }, [jobId]);
  const { current } = state;
  const button = (
    <button type="button" disabled={acting || jobId !== null} onClick={() => void fit()}>
      {current ? t("map.fit.again") : t("map.fit")}
    </button>
  );
  return (
    <>
      {current ? (
        <p class="map-state quiet">
          <span>
            {t("map.fitted", { n: number(current.fitted), time: time(current.created_at) })}
          </span>{" "}
          {button}
        </p>
      ) : (
        <Empty title={t("map.none")} remedy={t("map.none.remedy")}>
          {button}
        </Empty>
      )}
      {job && <Progress job={job} />}
      {state.problem && <p class="notice words">{state.problem}</p>}
      {wrong && <Problem failure={wrong} />}
    </>
  );
}

function Progress({ job }: { job: Job }) {
  const { done, total, eta_s } = job.progress;
  if (job.error) {
    return (
      <p class="notice words" role="alert">
        {job.error.detail}
      </p>
    );
  }
  if (!isGoingOn(job)) return null;
  return (
    <p class="map-state" role="status">
      <progress max={total ?? 1} value={done} aria-label={t("run.progress")} />{" "}
      {eta_s === null ? t("map.fitting") : t("map.fitting.eta", { eta: Math.ceil(eta_s) })}
    </p>
  );
}
