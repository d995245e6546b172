/** Why a streamer was found: in a line, and in full. */
import type { Schemas } from "../../api/client";
import { listed, named, t } from "../../i18n";
import { undone } from "../../parts/waterfall";
import { Words } from "../../parts/words";

export type Reasons = Schemas["ReasonsOut"];
type Shared = string | Schemas["SameContentOut"];
const KINDS_IN_A_LINE = 3;
const VALUES_IN_A_LINE = 3;

/** What both show, in the words of both; pictures and sounds by their places. */
export function toldOf(shared: Shared): string {
  if (typeof shared === "string") return shared;
  const { seed_quote: seed = "", hit_quote: hit = "" } = shared;
  if (!seed && !hit) return `${shared.seed} = ${shared.hit}`;
  if (seed === hit) return seed;
  return `${seed} ≈ ${hit}`;
}

/** Modalities by what they contribute, the most first; those with nothing are left out. */
function contributions(reasons: Reasons): [string, number][] {
  return Object.entries(reasons.contributions ?? {})
    .map(([name, part]): [string, number] => [name, part.contribution ?? 0])
    .filter(([, share]) => Math.abs(share) >= 0.005)
    .sort((x, y) => y[1] - x[1]);
}

function mostly(reasons: Reasons): string {
  const parts = contributions(reasons)
    .filter(([, share]) => share > 0)
    .slice(0, 2)
    .map(([name, share]) => `${named("modality", name)} ${share.toFixed(2)}`);
  return parts.length ? t("why.mostly", { parts: listed(parts) }) : "";
}

export function ReasonsLine({ reasons }: { reasons: Reasons | null | undefined }) {
  if (!reasons) return null;
  const kinds = Object.entries(reasons.shared).slice(0, KINDS_IN_A_LINE);
  return (
    <span class="why">
      {kinds.map(([kind, values]) => (
        <span key={kind} class="why-part">
          <span class="quiet">{named("why", kind)}</span>{" "}
          {values.slice(0, VALUES_IN_A_LINE).map((value, i) => (
            <span key={i} class="told">
              <Words value={toldOf(value)} />
            </span>
          ))}
        </span>
      ))}
      <span class="why-part mostly quiet">{mostly(reasons)}</span>
    </span>
  );
}

export function ReasonsInFull({ reasons }: { reasons: Reasons }) {
  const parts = contributions(reasons);
  const most = Math.max(...parts.map(([, share]) => Math.abs(share)), 0.01);
  return (
    <section aria-labelledby="why-title">
      <h3 id="why-title">{t("why.title")}</h3>
      <dl>
        {Object.entries(reasons.shared).map(([kind, values]) => (
          <div key={kind}>
            <dt>{named("why", kind)}</dt>
            <dd>
              <ul class="titles">
                {values.map((value, i) => (
                  <li key={i}>
                    <Same value={value} />
                  </li>
                ))}
              </ul>
            </dd>
          </div>
        ))}
        <div>
          <dt>{t("why.nearest")}</dt>
          <dd>
            <Words value={reasons.nearest_seed} />
          </dd>
        </div>
        <div>
          <dt>{t("why.cosine")}</dt>
          <dd>{reasons.similarity.toFixed(3)}</dd>
        </div>
      </dl>
      {parts.length > 0 && (
        <>
          <h3>{t("why.parts")}</h3>
          <ul class="shares">
            {parts.map(([name, share]) => (
              <li key={name}>
                <span>{named("modality", name)}</span>
                <span class="share" aria-hidden="true">
                  <span
                    class={`bar ${share < 0 ? "against" : "for"}`}
                    style={{ width: `${((Math.abs(share) / most) * 100).toFixed(1)}%` }}
                  />
                </span>
                <span class="number">{share.toFixed(2)}</span>
              </li>
            ))}
          </ul>
        </>
      )}
      {reasons.unexplained_because && <p class="quiet">{reasons.unexplained_because}</p>}
    </section>
  );
}

function Same({ value }: { value: Shared }) {
  if (typeof value === "string") return <Words value={value} />;
  const disguises = value.disguises ?? [];
  return (
    <>
      <Words value={toldOf(value)} />
      {disguises.length > 0 && <span class="disguise">{undone(disguises)}</span>}
    </>
  );
}
