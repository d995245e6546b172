/** The rows of a run, with their reasons in words, and how well they fit; of long runs, some at a time. */
import { useState } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { number, percent, t } from "../../i18n";
import { isRated, RatingChoice, RatingNotice, RatingSwitch } from "../../rating/shown";
import { Words } from "../../parts/words";
import { useKeys } from "../../state/keyboard";
import { hrefOf } from "../../state/location";
import { ratedOf, useRating, type RatingOf } from "../../rating/given";
import { Followers, FollowersHead, haveFollowers } from "../find/followers";

type Row = Schemas["ListRowOut"];
const AT_ONCE = 500;

function textOf(row: Row, field: string): string {
  const value = row.fields[field];
  return typeof value === "string" ? value : "";
}

interface Props {
  rows: Row[];
  /** That ratings are for; null: it is not known any more. */
  question: Schemas["ListQuestionIn"] | null;
  isCompared: boolean;
}

export function Rows({ rows, question, isCompared }: Props) {
  const [shown, setShown] = useState(AT_ONCE);
  // By its id: a newer run moves rows, and a rating is of whom was chosen.
  const [currentId, setCurrentId] = useState<string | null>(null);
  const here = rows.slice(0, shown);
  const ids = here.map((row) => row.streamer_id);
  const rating = useRating(question && ratedOf(question), ids);
  const current = currentId === null ? -1 : ids.indexOf(currentId);
  const move = (step: number): void => {
    const row = Math.min(Math.max(current + step, 0), here.length - 1);
    document.querySelector<HTMLElement>(`[data-row="${row}"]`)?.focus();
  };
  useKeys({ j: () => move(1), k: () => move(-1) });
  return (
    <>
      {question && (
        <>
          <p class="actions">
            <RatingSwitch rating={rating} />
          </p>
          <RatingNotice rating={rating} current={ids[current]} />
        </>
      )}
      <Table
        rows={here}
        isCompared={isCompared}
        rating={rating}
        current={current}
        setCurrent={setCurrentId}
      />
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

function Table(props: {
  rows: Row[];
  isCompared: boolean;
  rating: RatingOf;
  current: number;
  setCurrent: (id: string) => void;
}) {
  const { rows, isCompared, rating } = props;
  const hasFollowers = haveFollowers(rows);
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
          {isRated(rating) && <th scope="col">{t("rate.column")}</th>}
          <th scope="col" class="wide">
            {t("find.kind")}
          </th>
          {hasFollowers && <FollowersHead />}
          <th scope="col">{t("find.why")}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row, place) => (
          <tr key={row.streamer_id} class={place === props.current ? "current" : ""}>
            <td class="number rank quiet">{row.rank}</td>
            <th scope="row">
              <a
                class="name"
                href={hrefOf("find", new URLSearchParams({ like: row.streamer_id }))}
                data-row={place}
                onFocus={() => props.setCurrent(row.streamer_id)}
              >
                <Words value={textOf(row, "name") || row.streamer_id} />
              </a>{" "}
              <span class="id quiet">{row.streamer_id}</span>{" "}
              {isCompared && row.is_new && <strong>{t("list.row.new")}</strong>}
            </th>
            <td class="number">{row.score?.toFixed(3) ?? "–"}</td>
            <td class="number">{row.precision === null ? "–" : percent(row.precision)}</td>
            {isRated(rating) && (
              <td>
                <RatingChoice rating={rating} id={row.streamer_id} />
              </td>
            )}
            <td class="wide">
              <Words value={textOf(row, "category")} />
            </td>
            {hasFollowers && <Followers row={row} />}
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
