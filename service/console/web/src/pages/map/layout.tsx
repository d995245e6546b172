/** The state of the layout: how old it is, and the job that fits another one. */
import { useState } from "preact/hooks";
import { api, ask, type Failure, type Schemas } from "../../api/client";
import { number, t, time } from "../../i18n";
import { JobProgress } from "../../parts/job_progress";
import { Empty, Problem } from "../../parts/states";
import { useActing } from "../../state/acting";
import { useFollowing, whyFailed } from "../../state/following";

export type State = Schemas["LayoutsOut"];

/** `done`: another layout was fitted. */
export function LayoutState({ state, done }: { state: State; done: () => void }) {
  const [jobId, setJobId] = useState<string | null>(null);
  const [failed, setFailed] = useState<Failure | null>(null);
  const { act, wrong, acting } = useActing();
  const job = useFollowing(jobId, (end) => {
    const failure = whyFailed(end);
    setJobId(null);
    setFailed(failure);
    if (!failure) done();
  });
  const fit = (): Promise<void> =>
    act(async () => {
      setFailed(null);
      setJobId((await ask(api.POST("/v1/layouts:fit", {}))).job_id);
    });
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
      {job && (
        <p class="map-state" role="status">
          {t("map.fitting")} <JobProgress job={job} />
        </p>
      )}
      {state.problem && <p class="notice words">{state.problem}</p>}
      {failed && <Problem failure={failed} />}
      {wrong && <Problem failure={wrong} />}
    </>
  );
}
