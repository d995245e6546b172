/** How the lag of the index went while this page was open. */
import { useRef } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { t } from "../../i18n";
import { LinePlot } from "../../parts/plot";

const MOST = 120;

export function Lag({ state }: { state: Schemas["HealthOut"] }) {
  const seen = useRef<{ state: unknown; at: number; lag: number }[]>([]);
  if (seen.current.at(-1)?.state !== state && state.lag_s !== null) {
    seen.current.push({ state, at: performance.now() / 1000, lag: state.lag_s });
    seen.current.splice(0, seen.current.length - MOST);
  }
  const last = seen.current.at(-1);
  if (!last || seen.current.length < 2) return null;
  const points = seen.current.map(({ at, lag }) => [at - last.at, lag] as const);
  return (
    <LinePlot
      title={t("run.lag.plot")}
      x={{ name: t("run.lag.ago"), format: (seconds) => seconds.toFixed(0) }}
      y={{ name: t("run.lag"), range: [0, 0.1], format: (seconds) => `${seconds.toFixed(2)} s` }}
      series={[{ name: t("run.lag"), points }]}
    />
  );
}
