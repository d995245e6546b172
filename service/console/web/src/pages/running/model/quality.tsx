/** What the training measured on streamers that the model did not learn from. */
import { colon, t } from "../../../i18n";
import { BarPlot, type Bar } from "../../../parts/plot";
import { Empty } from "../../../parts/states";

type Metrics = Record<string, number>;
const SPLITS = ["seen", "unseen", "cold_start"] as const;
const MEASURES = ["NDCG@20", "recall@20"] as const;

/** The model's figure of a measure, those of its shorter widths, and those of baselines. */
function barsOf(metrics: Metrics, split: string, measure: string): Bar[] {
  const own = `test_${split}_`;
  return Object.entries(metrics).flatMap(([name, value]): Bar[] => {
    if (!name.startsWith(own)) return [];
    const rest = name.slice(own.length);
    if (rest === measure) return [{ name: t("model.this"), value, isMain: true }];
    if (rest.endsWith(`_${measure}`)) return [{ name: rest.slice(0, -measure.length - 1), value }];
    const width = rest.startsWith(`${measure}_d`) ? rest.slice(measure.length + 2) : "";
    return width ? [{ name: t("model.width", { n: width }), value }] : [];
  });
}

export function Quality({ metrics }: { metrics: Metrics }) {
  const plots = MEASURES.flatMap((measure) =>
    SPLITS.flatMap((split) => {
      const bars = barsOf(metrics, split, measure);
      return bars.length ? [{ measure, split, bars }] : [];
    }),
  );
  if (!plots.length) return <Empty title={t("model.unmeasured")} />;
  return (
    <div class="plots">
      {plots.map(({ measure, split, bars }) => (
        <BarPlot
          key={`${measure} ${split}`}
          title={measure + colon() + t(`model.split.${split}`)}
          of={t("run.model")}
          value={measure}
          bars={bars.sort((a, b) => b.value - a.value)}
          format={(value) => value.toFixed(3)}
        />
      ))}
    </div>
  );
}

export function AllMetrics({ metrics }: { metrics: Metrics }) {
  const rows = Object.entries(metrics).sort(([a], [b]) => a.localeCompare(b));
  if (!rows.length) return null;
  return (
    <details>
      <summary>{t("model.metrics", { n: rows.length })}</summary>
      <table>
        <caption class="unseen">{t("model.quality")}</caption>
        <thead>
          <tr>
            <th scope="col">{t("model.metric")}</th>
            <th scope="col" class="number">
              {t("model.value")}
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, value]) => (
            <tr key={name}>
              <th scope="row" class="words">
                {name}
              </th>
              <td class="number">{Number(value.toPrecision(5))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
