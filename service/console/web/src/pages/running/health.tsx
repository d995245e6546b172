import { useAsked } from "../../api/asked";
import { Failure, reach, type Schemas } from "../../api/client";
import { number, percent, t, time } from "../../i18n";
import { Loading, Problem } from "../../parts/states";
import { useRepeating } from "../../state/repeating";
import { Lag } from "./lag";
import { Rebuild } from "./rebuild";

type State = Schemas["HealthOut"];
const EVERY_MS = 5000;
/** A healthy service may be slow. */
const DEADLINE_MS = 15_000;

/** The probe's answer is the same whether it says yes or no. */
async function read(signal: AbortSignal): Promise<State> {
  const late = new AbortController();
  const timer = setTimeout(
    () => late.abort(new DOMException("no answer in time", "TimeoutError")),
    DEADLINE_MS,
  );
  const inTime = AbortSignal.any([signal, late.signal]);
  try {
    return await readInTime(inTime);
  } finally {
    clearTimeout(timer);
  }
}

async function readInTime(signal: AbortSignal): Promise<State> {
  const answer = await reach(fetch("/readyz", { signal, credentials: "omit" }));
  const said: unknown = await reach(answer.json()).catch((error: unknown) => {
    if (error instanceof SyntaxError) return null;
    throw error;
  });
  if (typeof said === "object" && said !== null && "index_rows" in said) return said as State;
  throw new Failure(answer.status, "unexpected", answer.statusText);
}

export function Health() {
  const asked = useAsked("health", read);
  const { value, failure, again } = asked;
  useRepeating(asked, EVERY_MS);
  return (
    <>
      {failure && <Problem failure={failure} again={again} />}
      {!value && !failure && <Loading />}
      {value && (
        <>
          <Shown state={value} isOld={failure !== null} />
          <Lag state={value} />
          <Rebuild />
        </>
      )}
    </>
  );
}

/** `isOld`: it was said before, and nobody knows whether it still holds. */
function Shown({ state, isOld }: { state: State; isOld: boolean }) {
  const { index, snapshot } = state;
  const share = (value: number | null | undefined): string =>
    value == null ? "–" : percent(value);
  const rows: [string, string][] = [
    [t("run.model"), state.model_version],
    [t("run.device"), state.device],
    [t("run.rows"), number(state.index_rows)],
    [
      t("run.sequence"),
      `${number(state.index_sequence)} / ${state.store_sequence === null ? "–" : number(state.store_sequence)}`,
    ],
    [t("run.lag"), state.lag_s === null ? "–" : `${state.lag_s.toFixed(3)} s`],
    [t("run.store"), state.store],
  ];
  if (index) {
    rows.push(
      [t("run.index"), `${index.kind} (${index.device})`],
      [
        t("run.recall"),
        index.kind === "exact"
          ? t("run.recall.exact")
          : `${share(index.recall)} / ${share(index.served_recall)}`,
      ],
      [t("run.scanned"), number(index.scanned)],
    );
    if (index.refused) rows.push([t("run.index"), index.refused]);
  }
  if (snapshot.sequence !== null && snapshot.written_at !== null) {
    rows.push([t("run.snapshot"), `${number(snapshot.sequence)}, ${time(snapshot.written_at)}`]);
  }
  if (snapshot.failure) rows.push([t("run.snapshot"), snapshot.failure]);
  if (state.skipped_records.count) {
    const { count, examples } = state.skipped_records;
    rows.push([t("run.skipped"), `${number(count)}: ${examples.join("; ")}`]);
  }
  for (const { name, encoded, decoded } of state.towers) {
    const counts = { name, encoded: number(encoded), decoded: number(decoded) };
    rows.push([t("run.towers"), t("run.tower", counts)]);
  }
  return (
    <>
      {isOld ? <p class="quiet">{t("run.said")}</p> : <Status state={state} />}
      <dl class="state">
        {rows.map(([name, value], i) => (
          <div key={i}>
            <dt>{name}</dt>
            <dd class="words">{value}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

function Status({ state }: { state: State }) {
  if (state.status !== "ok") {
    return <p class="problem">{t("run.notReady", { why: state.reason ?? "" })}</p>;
  }
  if (state.degraded_because) {
    return <p class="notice">{t("run.degraded", { why: state.degraded_because })}</p>;
  }
  return <p class="good">{t("run.ready")}</p>;
}
