/** The audit log, the newest first: who asked or changed what, by key, streamer and time; as a page and as a file. */
import { useAsked } from "../../api/asked";
import { api, ask, askForFile, type Schemas } from "../../api/client";
import { t, time, zone } from "../../i18n";
import { download } from "../../parts/download";
import { NextPage } from "../../parts/next_page";
import { Empty, Loading, Problem } from "../../parts/states";
import { useActing } from "../../state/acting";
import { changed, hrefOf, place } from "../../state/location";
import { AuditFilter, wantedOf } from "./audit_filter";

type Wanted = ReturnType<typeof wantedOf>;
type Page = Schemas["AuditPage"];
const MOST_IDS = 5;

export function Audit() {
  const { params } = place.value;
  const cursor = params.get("cursor");
  const wanted = wantedOf(params);
  const { act, wrong, acting } = useActing();
  const save = (): Promise<void> =>
    act(async () => {
      const query = { params: { query: wanted }, parseAs: "blob" } as const;
      download("audit.ndjson", await askForFile(api.GET("/v1/audit/export", query)));
    });
  return (
    <>
      <AuditFilter />
      <p class="actions">
        <button type="button" disabled={acting} onClick={() => void save()}>
          {t("run.audit.download")}
        </button>
      </p>
      {wrong && <Problem failure={wrong} />}
      <Log key={JSON.stringify([wanted, cursor])} wanted={wanted} cursor={cursor} />
    </>
  );
}

/** Made anew for each question: no entries of the one before stand under its filter. */
function Log({ wanted, cursor }: { wanted: Wanted; cursor: string | null }) {
  const { value, failure, again } = useAsked("audit", (signal) => {
    const newest = { order: "newest", limit: 100 } as const;
    const query = { ...wanted, ...newest, ...(cursor && { cursor }) };
    return ask(api.GET("/v1/audit", { params: { query }, signal }));
  });
  if (failure) return <Problem failure={failure} again={again} />;
  return value ? <Entries page={value} /> : <Loading />;
}

function Entries({ page }: { page: Page }) {
  if (!page.entries.length && !page.next_cursor) return <Empty title={t("run.audit.none")} />;
  return (
    <>
      <table>
        <caption class="unseen">{t("run.audit")}</caption>
        <thead>
          <tr>
            <th scope="col">
              {t("run.when")} <span class="quiet">({zone()})</span>
            </th>
            <th scope="col" class="wide">
              {t("run.who")}
            </th>
            <th scope="col">{t("run.what")}</th>
            <th scope="col">{t("run.about")}</th>
            <th scope="col" class="number">
              {t("run.status")}
            </th>
          </tr>
        </thead>
        <tbody>
          {page.entries.map((entry) => (
            <tr key={`${entry.chain} ${entry.n}`}>
              <td>{time(entry.at)}</td>
              <td class="id wide">
                {entry.key_id ? (
                  <a href={hrefOf("running", changed({ key: entry.key_id, cursor: null }))}>
                    {entry.key_id}
                  </a>
                ) : (
                  "–"
                )}
              </td>
              <th scope="row" class="words">
                {[entry.method, entry.route, entry.action].filter(Boolean).join(" ") || entry.kind}
              </th>
              <td class="words">
                {(entry.ids ?? []).slice(0, MOST_IDS).join(", ")}
                {more(entry.ids?.length ?? 0, entry.more_ids ?? 0)}
              </td>
              <td class="number">{entry.status}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <NextPage next={page.next_cursor} />
    </>
  );
}

function more(told: number, untold: number): string {
  const left = Math.max(told - MOST_IDS, 0) + untold;
  return left ? ` +${left}` : "";
}
