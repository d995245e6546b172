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
