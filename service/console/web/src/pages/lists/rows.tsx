/** The rows of a run, with their reasons in words; of long runs, some at a time. */
import { useState } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { number, percent, t } from "../../i18n";
import { Words } from "../../parts/words";
import { hrefOf } from "../../state/location";

type Row = Schemas["ListRowOut"];
const AT_ONCE = 500;

function textOf(row: Row, field: string): string {
  const value = row.fields[field];
  return typeof value === "string" ? value : "";
}

export function Rows({ rows, isCompared }: { rows: Row[]; isCompared: boolean }) {
  const [shown, setShown] = useState(AT_ONCE);
  return (
    <>
      <Table rows={rows.slice(0, shown)} isCompared={isCompared} />
      {shown < rows.length && (
        <p class="actions">
          <button type="button" onClick={() => setShown(shown + AT_ONCE)}>
            {t("list.more", { n: number(Math.min(AT_ONCE, rows.length - shown)) })}
          </button>
        </p>
      )}
    </>
  );
}

function Table({ rows, isCompared }: { rows: Row[]; isCompared: boolean }) {
  return (
    <table class="results">
      <caption class="unseen">{t("list.found", { n: rows.length })}</caption>
      <thead>
        <tr>
          <th scope="col" class="number rank">
            {t("find.rank")}
          </th>
          <th scope="col">{t("find.who")}</th>
          <th scope="col" class="number">
            {t("find.score")}
          </th>
          <th scope="col" class="number">
            {t("find.right")}
          </th>
          <th scope="col" class="wide">
            {t("find.kind")}
          </th>
          <th scope="col">{t("find.why")}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.streamer_id}>
            <td class="number rank quiet">{row.rank}</td>
            <th scope="row">
              <a href={hrefOf("find", new URLSearchParams({ like: row.streamer_id }))}>
                <Words value={textOf(row, "name") || row.streamer_id} />
              </a>{" "}
              <span class="id quiet">{row.streamer_id}</span>{" "}
              {isCompared && row.is_new && <strong>{t("list.row.new")}</strong>}
            </th>
            <td class="number">{row.score.toFixed(3)}</td>
            <td class="number">{row.precision === null ? "–" : percent(row.precision)}</td>
            <td class="wide">
              <Words value={textOf(row, "category")} />
            </td>
            <td>
              <Words value={row.why ?? ""} />
              {row.copies.length > 0 && (
                <span class="quiet copies">
                  {t("find.with.copies", { n: row.copies.length + row.more_copies })}
                </span>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
