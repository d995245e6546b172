/** How well streamers fit a question: a choice for each, keys, and what the ratings are for. */
import { t } from "../i18n";
import { useKeys } from "../state/keyboard";
import { RATINGS, switchRating, type Rating, type RatingOf } from "./given";
import { Problem } from "../parts/states";

/** Shows and hides what rates. */
export function RatingSwitch({ rating }: { rating: RatingOf }) {
  return (
    <button type="button" aria-pressed={rating.isOn} onClick={() => switchRating(!rating.isOn)}>
      {t("rate.switch")}
    </button>
  );
}

/** What the keys do, or why nobody can be rated; keys rate `current`. */
export function RatingNotice(props: { rating: RatingOf; current: string | undefined }) {
  const { rating, current } = props;
  const give = (value: Rating | null) => (): void => {
    if (current && rating.isOn) rating.give(current, value);
  };
  useKeys({
    ...Object.fromEntries(RATINGS.map((value) => [String(value), give(value)])),
    Backspace: give(null),
  });
  if (!rating.isOn) return null;
  if (rating.cannot) return <p class="notice">{rating.cannot}</p>;
  return (
    <>
      <p class="notice">{t("rate.how")}</p>
      {rating.failure && <Problem failure={rating.failure} again={rating.again} />}
    </>
  );
}

/** The choice for one streamer. */
export function RatingChoice({ rating, id }: { rating: RatingOf; id: string }) {
  const value = rating.of(id);
  return (
    <select
      class="rating"
      aria-label={t("rate.of", { id })}
      value={String(value ?? "")}
      onChange={(event) => {
        const chosen = event.currentTarget.value;
        rating.give(id, chosen === "" ? null : (Number(chosen) as Rating));
      }}
    >
      <option value="">–</option>
      {RATINGS.map((each) => (
        <option key={each} value={String(each)}>
          {t(`rate.${each}`)}
        </option>
      ))}
    </select>
  );
}

/** Whether a table has a column of choices. */
export function isRated(rating: RatingOf): boolean {
  return rating.isOn && !rating.cannot;
}
