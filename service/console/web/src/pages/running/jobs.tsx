import { useEffect, useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, Failure, type Schemas } from "../../api/client";
import { named, number, t, time } from "../../i18n";
import { Empty, Loading, Problem } from "../../parts/states";
import { NextPage } from "../../parts/next_page";
import { place } from "../../state/location";

type Job = Schemas["JobOut"];
const EVERY_MS = 2000;

function isGoingOn(job: Job): boolean {
  return job.state === "queued" || job.state === "running";
}

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
        <Progress job={job} />
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

function Progress({ job }: { job: Job }) {
  const { done, total, eta_s } = job.progress;
  const values = { done: number(done), total: total === null ? "?" : number(total) };
  const told =
    eta_s === null ? t("run.of", values) : t("run.eta", { ...values, eta: Math.ceil(eta_s) });
  return (
    <>
      {total !== null && total > 0 && (
        <progress max={total} value={done} aria-label={t("run.progress")} />
      )}{" "}
      {told}
    </>
  );
}
