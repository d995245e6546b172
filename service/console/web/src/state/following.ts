import { useEffect, useRef, useState } from "preact/hooks";
import { api, ask, Failure, type Schemas } from "../api/client";
import { signIns } from "./session";

export type Job = Schemas["JobOut"];
const EVERY_MS = 1000;
/** After these nothing more is to be learnt of the job. */
export const FINAL: readonly number[] = [400, 403, 404];

export function isGoingOn(job: Job): boolean {
  return job.state === "queued" || job.state === "running";
}

/**
 * Follows a job to its end, also over a restart of the service.
 * `ended` gets the job that is over, or why it can't be looked at any more.
 */
export function useFollowing(id: string | null, ended: (end: Job | Failure) => void): Job | null {
  const [job, setJob] = useState<Job | null>(null);
  const latest = useRef(ended);
  latest.current = ended;
  const who = signIns.value;
  useEffect(() => {
    setJob(null);
    if (id === null) return;
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async (): Promise<void> => {
      try {
        const params = { path: { job_id: id } };
        const found = await ask(api.GET("/v1/jobs/{job_id}", { params, signal: abort.signal }));
        if (abort.signal.aborted) return;
        setJob(found);
        if (!isGoingOn(found)) return latest.current(found);
      } catch (error) {
        if (abort.signal.aborted) return;
        if (error instanceof Failure && FINAL.includes(error.status)) return latest.current(error);
        if (error instanceof Failure && error.status === 401) return; // until somebody signs in
      }
      timer = setTimeout(() => void look(), EVERY_MS);
    };
    void look();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [id, who]);
  return job;
}

/** Why a job that is over has no result; null where it has one. */
export function whyFailed(end: Job | Failure): Failure | null {
  if (end instanceof Failure) return end;
  if (end.state === "succeeded") return null;
  const problem = end.error ?? undefined;
  return new Failure(
    problem?.status ?? 409,
    problem?.code ?? end.state,
    problem?.detail ?? end.state,
    problem,
  );
}
