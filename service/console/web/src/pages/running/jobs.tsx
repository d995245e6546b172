import { useAsked } from "../../api/asked";
import { api, ask } from "../../api/client";
import { named, t, time } from "../../i18n";
import { JobProgress } from "../../parts/job_progress";
import { NextPage } from "../../parts/next_page";
import { Empty, Loading, Problem } from "../../parts/states";
import { Table } from "../../parts/table";
import { useActing, type Acting } from "../../state/acting";
import { isGoingOn, type Job } from "../../state/following";
import { place } from "../../state/location";
import { useRepeating } from "../../state/repeating";

const EVERY_MS = 2000;

export function Jobs() {
  const cursor = place.value.params.get("cursor");
  const asked = useAsked(`jobs ${cursor}`, (signal) => {
    const query = { limit: 50, ...(cursor && { cursor }) };
    return ask(api.GET("/v1/jobs", { params: { query }, signal }));
  });
  const { value, failure, again, renew } = asked;
  useRepeating(asked, value?.jobs.some(isGoingOn) ? EVERY_MS : null);
  const { act, wrong, press } = useActing();
  const change = (work: () => Promise<unknown>): Promise<void> =>
    act(async () => {
      await work();
      await renew();
    });
  if (!value) return failure ? <Problem failure={failure} again={again} /> : <Loading />;
  return (
    <>
      {failure && <Problem failure={failure} again={again} />}
      {wrong && <Problem failure={wrong} />}
      {!value.jobs.length && <Empty title={t("run.nothing")} remedy={t("run.nothing.remedy")} />}
      {value.jobs.length > 0 && (
        <Table
          name={t("run.jobs")}
          columns={[
            t("run.kind"),
            t("run.state"),
            t("run.progress"),
            t("run.created"),
            [t("run.job"), "wide"],
          ]}
        >
          {value.jobs.map((job) => (
            <Row key={job.job_id} job={job} press={press} change={change} />
          ))}
        </Table>
      )}
      <NextPage next={value.next_cursor} />
    </>
  );
}

function Row(props: {
  job: Job;
  press: Acting["press"];
  change: (work: () => Promise<unknown>) => Promise<void>;
}) {
  const { job, press, change } = props;
  const params = { path: { job_id: job.job_id } };
  const cancel = (): Promise<void> =>
    change(() => ask(api.POST("/v1/jobs/{job_id}:cancel", { params })));
  const retry = (): Promise<void> =>
    change(() => ask(api.POST("/v1/jobs/{job_id}:retry", { params })));
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
          <button {...press(cancel)}>
            {t("run.cancel")}
            <span class="unseen"> {job.job_id}</span>
          </button>
        )}
        {(job.state === "failed" || job.state === "cancelled") && (
          <button {...press(retry)}>
            {t("run.retry")}
            <span class="unseen"> {job.job_id}</span>
          </button>
        )}
      </td>
    </tr>
  );
}
