/** The report of a shadow: what live answers would change with a model. */
import { useAsked } from "../../../api/asked";
import { api, ask, type Schemas } from "../../../api/client";
import { listed, named, number, percent, t, time } from "../../../i18n";
import { Loading, Problem } from "../../../parts/states";
import { hrefOf } from "../../../state/location";
import { useRepeating } from "../../../state/repeating";

type Found = Schemas["ShadowOut"];
type Side = Schemas["ShadowSideOut"];
type Mean = Schemas["MeanOut"] | null;

const EVERY_MS = 10_000;

export function Report({ model }: { model: string }) {
  const asked = useAsked(`shadow ${model}`, (signal) =>
    ask(api.GET("/v1/models/{model_id}/shadow", { params: { path: { model_id: model } }, signal })),
  );
  const { value, failure, again } = asked;
  useRepeating(asked, failure ? null : EVERY_MS);
  return (
    <section aria-labelledby="shadow">
      <h2 id="shadow">{t("models.report.of", { name: model })}</h2>
      {failure && <Problem failure={failure} again={again} />}
      {!failure && !value && <Loading />}
      {value && <Shown found={value} />}
    </section>
  );
}

function Shown({ found }: { found: Found }) {
  const dropped = Object.entries(found.dropped).map(
    ([why, count]) => `${named("models.dropped", why)} ${number(count)}`,
  );
  const rows: [string, string][] = [
    [t("models.begun"), time(found.begun_at)],
    [
      t("models.compared"),
      t("models.of", { n: number(found.compared), all: number(found.sampled) }),
    ],
    [t("models.dropped"), listed(dropped) || t("app.none")],
    [t("models.overlap", { k: found.k }), mean(found.overlap)],
    [t("models.first"), found.same_first === null ? "–" : percent(found.same_first)],
    [t("models.moved"), found.rank_change?.toFixed(2) ?? "–"],
  ];
  return (
    <>
      <dl class="state">
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <Sides found={found} />
      {found.changes.length > 0 && <Changes found={found} />}
    </>
  );
}

function Sides({ found }: { found: Found }) {
  const { active, shadow } = found;
  const ms = (value: number | null): string => (value === null ? "–" : `${value.toFixed(1)} ms`);
  const rows: [string, (side: Side) => string][] = [
    [t("models.answered"), (side) => number(side.answered)],
    [t("models.empty"), (side) => number(side.empty)],
    [t("models.failed"), (side) => number(side.failed)],
    ["p50", (side) => ms(side.p50_ms)],
    ["p99", (side) => ms(side.p99_ms)],
    [t("models.recall"), (side) => mean(side.recall)],
    [t("models.hub"), (side) => (side.largest_hub === null ? "–" : percent(side.largest_hub))],
  ];
  return (
    <table>
      <caption>{t("models.sides")}</caption>
      <thead>
        <tr>
          <th scope="col">{t("models.measured")}</th>
          <th scope="col" class="number">
            {t("models.state.active")}
          </th>
          <th scope="col" class="number">
            {t("models.state.shadow")}
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map(([name, of]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td class="number">{of(active)}</td>
            <td class="number">{of(shadow)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Changes({ found }: { found: Found }) {
  return (
    <table>
      <caption>{t("models.changes")}</caption>
      <thead>
        <tr>
          <th scope="col">{t("models.seeds")}</th>
          <th scope="col" class="number">
            {t("models.shared")}
          </th>
          <th scope="col">{t("models.state.active")}</th>
          <th scope="col">{t("models.state.shadow")}</th>
        </tr>
      </thead>
      <tbody>
        {found.changes.map((change) => (
          <tr key={change.seeds.join(" ")}>
            <th scope="row">
              <a href={hrefOf("find", new URLSearchParams({ like: change.seeds.join(",") }))}>
                {change.seeds.join(", ")}
              </a>
            </th>
            <td class="number">{percent(change.overlap)}</td>
            <td>
              <span class="id words">{change.active.join(" ")}</span>
            </td>
            <td>
              <span class="id words">{change.shadow.join(" ")}</span>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function mean(found: Mean): string {
  if (!found) return "–";
  const { mean: middle, low, high } = found;
  return `${middle.toFixed(3)} (${low.toFixed(3)} – ${high.toFixed(3)})`;
}
