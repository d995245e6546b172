import { useRef, useState } from "preact/hooks";
import { useAsked } from "../api/asked";
import { api, ask, Failure, type Schemas } from "../api/client";
import { t, type Text } from "../i18n";
import { changed, go, place } from "../state/location";
import { say } from "../state/saying";

/** What ratings belong to: some streamers, unlike others, whom a filter lets through. */
export type Rated = Schemas["RatingIn"]["question"];
export const RATINGS = [0, 1, 2, 3] as const;
export type Rating = (typeof RATINGS)[number];

const MOST_AT_ONCE = 500;
const MOST_SEEDS = 20;

export interface RatingOf {
  /** Whether ratings are shown and given: the URL says so. */
  isOn: boolean;
  /** Why no streamer can be rated for this question; null where it can. */
  cannot: string | null;
  of: (id: string) => Rating | null;
  /** Rates a streamer; null takes the rating back. */
  give: (id: string, rating: Rating | null) => void;
  failure: Failure | null;
  /** Looks again, or tells of what failed no longer. */
  again: () => void;
}

type Seed = Schemas["SeedIn"];

/** The question of a list, as ratings have it; null if it is not of stored streamers alone. */
export function ratedOf(question: {
  positive: readonly Seed[];
  negative?: readonly Seed[];
  filter?: Schemas["FilterIn"];
}): Rated | null {
  const { positive, negative = [], filter } = question;
  const isPlain = ({ streamer_id, weight = 1 }: Seed): boolean => !!streamer_id && weight === 1;
  if (![...positive, ...negative].every(isPlain)) return null;
  const ids = (seeds: readonly Seed[]): string[] => seeds.map((seed) => seed.streamer_id!);
  return { positive: ids(positive), negative: ids(negative), ...(filter && { filter }) };
}

function whyNot(question: Rated | null): string | null {
  if (!question) return t("rate.cannot.seeds");
  const most = Math.max(question.positive.length, question.negative?.length ?? 0);
  return most > MOST_SEEDS ? t("rate.cannot.many", { n: MOST_SEEDS }) : null;
}

interface Mine {
  question: Rated;
  questionId: string;
  ratings: ReadonlyMap<string, Rating>;
}

async function mineOf(question: Rated, ids: string[], signal: AbortSignal): Promise<Mine> {
  const ratings = new Map<string, Rating>();
  let questionId = "";
  for (let start = 0; start < ids.length; start += MOST_AT_ONCE) {
    const body = { question, streamer_ids: ids.slice(start, start + MOST_AT_ONCE) };
    const mine = await ask(api.POST("/v1/ratings:mine", { body, signal }));
    questionId = mine.question_id;
    for (const one of mine.ratings) ratings.set(one.streamer_id, one.rating as Rating);
  }
  return { question, questionId, ratings };
}

/**
 * What this key says of streamers as answers to a question.
 * They are sent one after the other, so that of two ratings of one streamer the later one stays.
 */
export function useRating(question: Rated | null, ids: string[]): RatingOf {
  const isOn = place.value.params.get("rating") === "on";
  const cannot = whyNot(question);
  const isAsked = isOn && !cannot && ids.length > 0;
  const named = JSON.stringify(question);
  const asked = isAsked ? `${named} ${ids.join(" ")}` : null;
  const [given, setGiven] = useState<ReadonlyMap<string, Rating | null>>(new Map());
  const found = useAsked(asked, async (signal) => {
    const answer = await mineOf(question!, ids, signal);
    // What was given before it was asked is in it, or was changed elsewhere since.
    setGiven((all) => new Map([...all].filter(([key, rating]) => given.get(key) !== rating)));
    return answer;
  });
  const mine = JSON.stringify(found.value?.question) === named ? found.value : null;
  const [wrong, setWrong] = useState<Failure | null>(null);
  const sent = useRef(Promise.resolve());
  const name = (id: string): string => `${named} ${id}`;
  const of = (id: string): Rating | null => {
    const now = given.get(name(id));
    return now === undefined ? (mine?.ratings.get(id) ?? null) : now;
  };
  const send = async (id: string, rating: Rating | null): Promise<void> => {
    if (rating === null) {
      const query = { question_id: mine!.questionId, streamer_id: id };
      await ask(api.DELETE("/v1/ratings", { params: { query } })).catch((error: unknown) => {
        if (Failure.of(error).code !== "rating_not_found") throw error; // else: taken back elsewhere
      });
    } else {
      const body = { question: question!, streamer_id: id, rating };
      await ask(api.PUT("/v1/ratings", { body }));
    }
    setGiven((all) => new Map(all).set(name(id), rating));
    const told = rating === null ? t("rate.none") : t(`rate.${rating}` satisfies Text);
    say(`${id}: ${told}`);
  };
  const give = (id: string, rating: Rating | null): void => {
    if (!isAsked || (rating === null && (!mine || of(id) === null))) return;
    setWrong(null);
    sent.current = sent.current
      .then(() => send(id, rating))
      .catch((error: unknown) => setWrong(Failure.of(error)));
  };
  const again = (): void => {
    setWrong(null);
    found.again();
  };
  return { isOn, cannot, of, give, failure: wrong ?? (isAsked ? found.failure : null), again };
}

/** Shows ratings, or hides them: a link to the page has that in it. */
export function switchRating(isOn: boolean): void {
  go(place.value.page, changed({ rating: isOn ? "on" : null }), true);
}
