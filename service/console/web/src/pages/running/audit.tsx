import { useAsked } from "../../api/asked";
import { api, ask } from "../../api/client";
import { t, time } from "../../i18n";
import { Empty, Loading, Problem } from "../../parts/states";
import { place } from "../../state/location";
import { NextPage } from "../../parts/next_page";

const MOST_IDS = 5;

export function Audit() {
  const cursor = place.value.params.get("cursor");
  const { value, failure, again } = useAsked(`audit ${cursor}`, (signal) => {
    const query = { limit: 100, ...(cursor && { cursor }) };
    return ask(api.GET("/v1/audit", { params: { query }, signal }));
  });
  if (failure) return <Problem failure={failure} again={again} />;
  if (!value) return <Loading />;
  if (!value.entries.length && !value.next_cursor) return <Empty title={t("run.audit.none")} />;
  return (
    <>
      <table>
        <caption class="unseen">{t("run.audit")}</caption>
        <thead>
          <tr>
            <th scope="col">{t("run.when")}</th>
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
          {value.entries.map((entry) => (
            <tr key={`${entry.chain} ${entry.n}`}>
              <td>{time(entry.at)}</td>
              <td class="id wide">{entry.key_id ?? "–"}</td>
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
      <NextPage next={value.next_cursor} />
    </>
  );
}

function more(told: number, untold: number): string {
  const left = Math.max(told - MOST_IDS, 0) + untold;
  return left ? ` +${left}` : "";
}
