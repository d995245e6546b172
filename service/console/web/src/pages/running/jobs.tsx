import { useEffect, useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, Failure } from "../../api/client";
import { named, t, time } from "../../i18n";
import { JobProgress } from "../../parts/job_progress";
import { NextPage } from "../../parts/next_page";
import { Empty, Loading, Problem } from "../../parts/states";
import { isGoingOn, type Job } from "../../state/following";
import { place } from "../../state/location";

const EVERY_MS = 2000;

export function Jobs() {
  const cursor = place.value.params.get("cursor");
  const [wrong, setWrong] = useState<Failure | null>(null);
  const { value, failure, again } = useAsked(`jobs ${cursor}`, (signal) => {
    const query = { limit: 50, ...(cursor && { cursor }) };
    return ask(api.GET("/v1/jobs", { params: { query }, signal }));
  });
  const isBusy = value?.jobs.some(isGoingOn) ?? false;
  useEffect(() => {
    if (!isBusy) return;
    const timer = setInterval(() => document.visibilityState === "visible" && again(), EVERY_MS);
    return () => clearInterval(timer);
  }, [isBusy, again]);
  const act = (work: Promise<unknown>): void => {
    setWrong(null);
    work.then(again, (error: unknown) => {
      setWrong(error instanceof Failure ? error : new Failure(0, "unexpected", String(error)));
    });
  };
  if (failure) return <Problem failure={failure} again={again} />;
  if (!value) return <Loading />;
  if (!value.jobs.length) {
    return <Empty title={t("run.nothing")} remedy={t("run.nothing.remedy")} />;
  }
  return (
    <>
      {wrong && <Problem failure={wrong} />}
      <table>
        <caption class="unseen">{t("run.jobs")}</caption>
        <thead>
          <tr>
            <th scope="col">{t("run.kind")}</th>
            <th scope="col">{t("run.state")}</th>
            <th scope="col">{t("run.progress")}</th>
            <th scope="col">{t("run.created")}</th>
            <th scope="col" class="wide">
              {t("run.job")}
            </th>
            <th scope="col">
              <span class="unseen">{t("app.more")}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {value.jobs.map((job) => (
            <Row key={job.job_id} job={job} act={act} />
          ))}
        </tbody>
      </table>
      <NextPage next={value.next_cursor} />
    </>
  );
}

function Row({ job, act }: { job: Job; act: (work: Promise<unknown>) => void }) {
  const params = { path: { job_id: job.job_id } };
  return (
    <tr>
      <th scope="row">{named("run.kind", job.kind)}</th>
      <td>
        <span class={`job ${job.state}`}>{t(`run.job.${job.state}`)}</span>
        {job.error && <span class="wrong words">{job.error.detail}</span>}
      </td>
      <td>
        <JobProgress job={job} />
      </td>
      <td>{time(job.created_at)}</td>
      <td class="id quiet wide">{job.job_id}</td>
      <td>
        {isGoingOn(job) && !job.cancelling && (
          <button
            type="button"
            onClick={() => act(ask(api.POST("/v1/jobs/{job_id}:cancel", { params })))}
          >
            {t("run.cancel")}
          </button>
        )}
        {(job.state === "failed" || job.state === "cancelled") && (
          <button
            type="button"
            onClick={() => act(ask(api.POST("/v1/jobs/{job_id}:retry", { params })))}
          >
            {t("run.retry")}
          </button>
        )}
      </td>
    </tr>
  );
}
