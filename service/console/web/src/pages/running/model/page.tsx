/** The card of the model that answers: what it is, what it was measured on, what it promises. */
import { useAsked } from "../../../api/asked";
import { api, ask, type Schemas } from "../../../api/client";
import { number, t } from "../../../i18n";
import { Loading, Problem } from "../../../parts/states";
import { Words } from "../../../parts/words";
import { Calibrated, Robustness } from "./calibration";
import { AllMetrics, Quality } from "./quality";

type Card = Schemas["ModelOut"];

export function Model() {
  const { value, failure, again } = useAsked("model", (signal) =>
    ask(api.GET("/v1/model", { signal })),
  );
  if (failure) return <Problem failure={failure} again={again} />;
  if (!value) return <Loading />;
  const { calibration } = value;
  return (
    <>
      <Facts card={value} />
      <section aria-labelledby="quality">
        <h2 id="quality">{t("model.quality")}</h2>
        <Quality metrics={value.metrics} />
        <AllMetrics metrics={value.metrics} />
      </section>
      <section aria-labelledby="calibration">
        <h2 id="calibration">{t("model.calibration")}</h2>
        {!calibration && <p class="notice">{t("model.uncalibrated")}</p>}
        {calibration && (
          <div class="plots">
            <Calibrated title={t("model.similar")} scores={calibration.embedding} />
            <Calibrated title={t("model.duplicates")} scores={calibration.content} />
          </div>
        )}
      </section>
      {calibration && <Robustness scores={calibration.embedding} />}
    </>
  );
}

function Facts({ card }: { card: Card }) {
  const { id_space: space, duplicate_threshold: threshold, parity } = card;
  const towers = card.towers.map(({ name, kind, width }) => `${name} (${kind}, ${width})`);
  const rows: [string, string][] = [
    [t("run.model"), card.model_version],
    [t("model.recipe"), card.recipe],
    [t("model.exported"), card.created_by],
    [t("model.dims"), `${number(card.dim)}, ${number(card.content_dim)}`],
    [t("model.space"), space ? `${space.name} (${number(space.dim)})` : t("app.none")],
    [t("model.threshold"), `${threshold.value.toFixed(3)}: ${threshold.source}`],
    [t("run.towers"), towers.join(", ") || t("app.none")],
    [
      t("model.parity"),
      t("model.parity.of", {
        gap: parity.max_abs_diff.toExponential(1),
        cosine: parity.min_cosine.toFixed(6),
      }),
    ],
    [t("model.data"), card.data_digest],
  ];
  return (
    <dl class="state">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <Words value={value} />
          </dd>
        </div>
      ))}
    </dl>
  );
}
