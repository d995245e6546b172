/** Profiles of streamers, each read once and a few at a time. */
import { signal, type Signal } from "@preact/signals";
import { key } from "../state/session";
import { api, ask, Failure, type Schemas } from "./client";

export type Streamer = Schemas["StreamerOut"];
export type Content = Schemas["StreamerContent"];

/** null: not here yet. */
export type Known = Streamer | Failure | null;

const AT_ONCE = 4;
const MOST_KEPT = 2000;
const known = new Map<string, Signal<Known>>();
const waiting: string[] = [];
let reading = 0;

key.subscribe(() => known.clear());

/** What is known of a streamer; it is read if nothing is. */
export function streamer(id: string): Signal<Known> {
  let found = known.get(id);
  if (!found) {
    if (known.size >= MOST_KEPT) known.delete(known.keys().next().value as string);
    found = signal<Known>(null);
    known.set(id, found);
    waiting.push(id);
    readOn();
  }
  return found;
}

/** Reads a streamer anew when it is shown next. */
export function forget(id: string): void {
  known.delete(id);
}

/** The profile, or null as long as it is not known. */
export function contentOf(value: Known): Content | null {
  return value === null || value instanceof Failure ? null : (value.profile as Content);
}

/** What is known of several streamers, in their order. */
export function streamers(ids: readonly string[]): Known[] {
  return ids.map((id) => streamer(id).value);
}

function readOn(): void {
  while (reading < AT_ONCE && waiting.length) {
    const id = waiting.shift() as string;
    reading += 1;
    void read(id).finally(() => {
      reading -= 1;
      readOn();
    });
  }
}

async function read(id: string): Promise<void> {
  const target = known.get(id);
  if (!target) return;
  try {
    const path = { streamer_id: id };
    target.value = await ask(api.GET("/v1/streamers/{streamer_id}", { params: { path } }));
  } catch (error) {
    target.value = Failure.of(error);
  }
}
