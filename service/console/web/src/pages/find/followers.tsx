/** How many follow the streamers of a list: a column where some profile says so. */
import { number, t } from "../../i18n";
import type { Hit } from "./question";

type Row = Pick<Hit, "fields">;

function followersOf(row: Row): number | null {
  const value = row.fields["followers"];
  return typeof value === "number" ? value : null;
}

export function haveFollowers(rows: readonly Row[]): boolean {
  return rows.some((row) => followersOf(row) !== null);
}

export function FollowersHead() {
  return (
    <th scope="col" class="number wide">
      {t("find.followers")}
    </th>
  );
}

export function Followers({ row }: { row: Row }) {
  const count = followersOf(row);
  return <td class="number wide">{count === null ? "–" : number(count)}</td>;
}
