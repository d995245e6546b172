/** The list: rank, streamer, score, precision, why. */
import { percent, t } from "../../i18n";
import { isRated, RatingChoice } from "../../rating/shown";
import { Words } from "../../parts/words";
import type { RatingOf } from "../../rating/given";
import { Followers, FollowersHead, haveFollowers } from "./followers";
import type { Hit } from "./question";
import { ReasonsLine } from "./reasons";

const HALF = 0.5;

interface Props {
  hits: Hit[];
  current: string | null;
  setCurrent: (id: string) => void;
  opened: string | null;
  selected: ReadonlySet<string>;
  rating: RatingOf;
  select: (ids: string[], on: boolean) => void;
  open: (id: string) => void;
}

/** The first hit from which on fewer than half are right, or nothing is known; -1: none. */
export function endOf(hits: readonly Hit[]): number {
  const isPromised = hits.some((hit) => hit.precision != null);
  return isPromised ? hits.findIndex((hit) => (hit.precision ?? 0) < HALF) : -1;
}

/** Fields that were asked for, where they are texts. */
export function textsOf(hit: Hit): Record<string, string> {
  const texts = Object.entries(hit.fields).filter((field) => typeof field[1] === "string");
  return Object.fromEntries(texts) as Record<string, string>;
}

export function Results(props: Props) {
  const { hits, selected, select } = props;
  const end = endOf(hits);
  const hasFollowers = haveFollowers(hits);
  const isAll = hits.every((hit) => selected.has(hit.streamer_id));
  return (
    <table class="results">
      <caption class="unseen">{t("find.results", { n: hits.length })}</caption>
      <thead>
        <tr>
          <th scope="col" class="check">
            <input
              type="checkbox"
              aria-label={t("find.select.all")}
              checked={isAll}
              onChange={() =>
                select(
                  hits.map((hit) => hit.streamer_id),
                  !isAll,
                )
              }
            />
          </th>
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
          {isRated(props.rating) && <th scope="col">{t("rate.column")}</th>}
          <th scope="col" class="wide">
            {t("find.kind")}
          </th>
          {hasFollowers && <FollowersHead />}
          <th scope="col">{t("find.why")}</th>
        </tr>
      </thead>
      <tbody>
        {hits.map((hit, row) => [
          row === end && (
            <tr key="end" class="end">
              <td colSpan={7 + Number(isRated(props.rating)) + Number(hasFollowers)}>
                {t("find.ends")}
              </td>
            </tr>
          ),
          <Row
            key={hit.streamer_id}
            hit={hit}
            row={row}
            list={props}
            hasFollowers={hasFollowers}
          />,
        ])}
      </tbody>
    </table>
  );
}

function Row(props: { hit: Hit; row: number; list: Props; hasFollowers: boolean }) {
  const { hit, row, list } = props;
  const id = hit.streamer_id;
  const { name, category, language } = textsOf(hit);
  const classes = [id === list.current && "current", id === list.opened && "opened"];
  return (
    <tr class={classes.filter(Boolean).join(" ")} onFocusIn={() => list.setCurrent(id)}>
      <td class="check">
        <input
          type="checkbox"
          aria-label={t("find.select", { id })}
          checked={list.selected.has(id)}
          onChange={(event) => list.select([id], event.currentTarget.checked)}
        />
      </td>
      <td class="number rank quiet">{hit.rank}</td>
      <th scope="row">
        <button
          type="button"
          class="name"
          data-row={row}
          aria-expanded={id === list.opened}
          onClick={() => list.open(id)}
        >
          <Words value={name || id} />
        </button>
        <span class="id quiet">{id}</span>
      </th>
      <td class="number">{hit.score.toFixed(3)}</td>
      <td class="number">
        {hit.precision == null ? (
          <span class="quiet" title={t("find.unknown")}>
            –
          </span>
        ) : (
          percent(hit.precision)
        )}
      </td>
      {isRated(list.rating) && (
        <td>
          <RatingChoice rating={list.rating} id={id} />
        </td>
      )}
      <td class="wide">
        {category && <Words value={category} />}{" "}
        {language && (
          <span class="quiet">
            <Words value={language} />
          </span>
        )}
      </td>
      {props.hasFollowers && <Followers row={hit} />}
      <td>
        {hit.reasons ? <ReasonsLine reasons={hit.reasons} /> : <Words value={hit.why ?? ""} />}
        {hit.copies.length > 0 && (
          <span class="quiet copies">
            {t("find.with.copies", { n: hit.copies.length + hit.more_copies })}
          </span>
        )}
      </td>
    </tr>
  );
}
