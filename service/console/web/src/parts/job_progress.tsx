/** How far a job is. */
import type { Schemas } from "../api/client";
import { number, t } from "../i18n";

export function JobProgress({ job }: { job: Schemas["JobOut"] }) {
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
