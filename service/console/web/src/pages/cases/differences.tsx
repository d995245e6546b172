/** What an expansion changed: who joined, who left, who is shown otherwise, by its causes. */
import type { Schemas } from "../../api/client";
import { number, t } from "../../i18n";
import { Words } from "../../parts/words";
import { hrefOf } from "../../state/location";

export type Differences = Schemas["DifferencesOut"];
type Difference = Schemas["DifferenceOut"];
const KINDS = ["joined", "left", "changed"] as const;
const SHOWN = 50;
const MOST_BECAUSE = 3;

interface Line extends Difference {
  kind: (typeof KINDS)[number];
}

export function isEmpty(found: Differences): boolean {
  return KINDS.every((kind) => found[`${kind}_total`] === 0);
}

export function DifferencesTable(props: { found: Differences; close: () => void }) {
  const { found, close } = props;
  const lines = KINDS.flatMap((kind) => found[kind].map((one): Line => ({ ...one, kind })));
  const causes = [...new Set(lines.map((line) => line.cause))].sort();
  return (
    <section aria-labelledby="differences">
      <div class="panel-head">
        <h3 id="differences">{t("case.differences")}</h3>
        <button type="button" class="plain" onClick={close}>
          {t("app.close")}
        </button>
      </div>
      <p>
        {isEmpty(found)
          ? t("case.unchanged")
          : KINDS.map((kind) =>
              t(`case.difference.${kind}`, { n: number(found[`${kind}_total`]) }),
            ).join(" · ")}
      </p>
      {causes.map((cause) => (
        <Cause key={cause} cause={cause} lines={lines.filter((line) => line.cause === cause)} />
      ))}
    </section>
  );
}

function Cause({ cause, lines }: { cause: Difference["cause"]; lines: Line[] }) {
  return (
    <details open>
      <summary>
        {t(`case.cause.${cause}`)} ({number(lines.length)})
      </summary>
      <table>
        <caption class="unseen">{t(`case.cause.${cause}`)}</caption>
        <thead>
          <tr>
            <th scope="col">{t("find.who")}</th>
            <th scope="col">{t("case.difference")}</th>
            <th scope="col">{t("case.because")}</th>
          </tr>
        </thead>
        <tbody>
          {lines.slice(0, SHOWN).map(({ streamer_id: id, kind, because }) => (
            <tr key={`${kind} ${id}`}>
              <th scope="row">
                <a href={hrefOf("find", new URLSearchParams({ like: id, open: id }))}>
                  <Words value={id} />
                </a>
              </th>
              <td>{t(`case.kind.${kind}`)}</td>
              <td>
                <Words value={because.slice(0, MOST_BECAUSE).join(", ")} />
                {because.length > MOST_BECAUSE && ` +${because.length - MOST_BECAUSE}`}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {lines.length > SHOWN && (
        <p class="quiet">{t("case.difference.more", { n: number(lines.length - SHOWN) })}</p>
      )}
    </details>
  );
}
