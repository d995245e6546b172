/** Which precision a score promises, and how much of that is left where little is shown. */
import type { Schemas } from "../../../api/client";
import { number, percent, t } from "../../../i18n";
import { BarPlot, LinePlot } from "../../../parts/plot";
import { Words } from "../../../parts/words";

type Scores = Schemas["ScoreCalibrationOut"];
type Curve = Schemas["CurveOut"];

function aboutOf({ fewest, most, least_coverage: coverage }: Curve): string {
  if (coverage !== null) return t("model.of.coverage", { percent: percent(coverage) });
  if (most === null) {
    return fewest === 1 ? t("model.of.all") : t("model.of.least", { n: number(fewest) });
  }
  return t("model.of.modalities", { n: fewest === most ? `${most}` : `${fewest}–${most}` });
}

export function Calibrated({ title, scores }: { title: string; scores: Scores }) {
  const all = scores.curves[0];
  const source = (
    <p class="quiet">
      <Words value={scores.source} />
    </p>
  );
  if (!all) {
    return (
      <div>
        <h3>{title}</h3>
        <p class="notice">{t("model.unmeasured")}</p>
        {source}
      </div>
    );
  }
  const series = [
    { name: t("model.estimated"), knots: all.knots.map((k) => [k.score, k.precision] as const) },
    { name: t("model.promised"), knots: all.knots.map((k) => [k.score, k.at_least] as const) },
  ];
  return (
    <div>
      <LinePlot
        title={title}
        x={{ name: t("find.score"), format: (score) => score.toFixed(2) }}
        y={{ name: t("find.right"), range: [0, 1], format: percent }}
        series={series.map(({ name, knots }) => ({ name, points: knots }))}
      />
      {source}
      {scores.base_rate !== null && (
        <p class="quiet">
          {t("model.base", { percent: `${(100 * scores.base_rate).toPrecision(2)}%` })}
        </p>
      )}
    </div>
  );
}

/** The highest precision that is promised, by how much the one shows who is asked about. */
export function Robustness({ scores }: { scores: Scores }) {
  const curves = [...scores.curves, ...scores.by_coverage];
  if (curves.length < 2) return null;
  return (
    <section aria-labelledby="robustness">
      <h2 id="robustness">{t("model.robustness")}</h2>
      <p class="quiet">{t("model.robustness.why")}</p>
      <div class="plots">
        <BarPlot
          title={t("model.robustness.bars")}
          of={t("model.of")}
          value={t("model.promised")}
          bars={curves.map((curve) => ({
            name: aboutOf(curve),
            value: Math.max(...curve.knots.map((knot) => knot.at_least)),
            isMain: true,
          }))}
          format={percent}
        />
        <LinePlot
          title={t("model.robustness.curves")}
          x={{ name: t("find.score"), format: (score) => score.toFixed(2) }}
          y={{ name: t("model.promised"), range: [0, 1], format: percent }}
          series={scores.curves.map((curve) => ({
            name: aboutOf(curve),
            points: curve.knots.map((knot) => [knot.score, knot.at_least] as const),
          }))}
        />
      </div>
    </section>
  );
}
