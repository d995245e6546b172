/** Watchlists as they are read, and as they are written. */
import type { Schemas } from "../../api/client";

export type Watchlist = Schemas["WatchlistOut"];
export type Mode = Schemas["WatchlistIn"]["mode"];
/** One of the three. */
export type Seed = Partial<Schemas["WatchedSeedIn"]>;

/** Seeds as they were given: the members of a case came with the case. */
export function seedsOf(seeds: Schemas["SeedOut"][]): Seed[] {
  const cases = new Set(seeds.flatMap(({ case_id }) => case_id ?? []));
  const others = seeds
    .filter(({ case_id }) => !case_id)
    .map(({ streamer_id, profile }) => (streamer_id ? { streamer_id } : { profile }));
  return [...others, ...[...cases].map((case_id) => ({ case_id }))] as Seed[];
}

/** What is edited of a watchlist. */
export interface Fields {
  name: string;
  probability: string;
  mode: Mode;
  positive: Seed[];
  negative: Seed[];
}

export function fieldsOf(list: Watchlist): Fields {
  return {
    name: list.name,
    probability: String(list.min_probability),
    mode: list.mode,
    positive: seedsOf(list.positive),
    negative: seedsOf(list.negative),
  };
}

/**
 * Fields after the list was saved elsewhere: what was edited stays, all else is as it is saved now.
 * `isOverruling`: some that was edited was changed there too, to something else.
 */
export function meanwhile(
  edited: Fields,
  before: Fields,
  now: Fields,
): { fields: Fields; isOverruling: boolean } {
  const isSame = (one: unknown, other: unknown): boolean =>
    JSON.stringify(one) === JSON.stringify(other);
  const names = Object.keys(now) as (keyof Fields)[];
  const kept = names.filter((name) => !isSame(edited[name], before[name]));
  return {
    fields: { ...now, ...Object.fromEntries(kept.map((name) => [name, edited[name]])) },
    isOverruling: kept.some(
      (name) => !isSame(before[name], now[name]) && !isSame(edited[name], now[name]),
    ),
  };
}

export function bodyOf(list: {
  name: string;
  mode: Mode;
  probability: number;
  positive: Seed[];
  negative: Seed[];
}): Schemas["WatchlistIn"] {
  const { probability: min_probability, ...rest } = list;
  return { ...rest, min_probability } as Schemas["WatchlistIn"];
}
