/** Profiles of streamers, read a few at a time, and anew once they are old. */
import { signal, type Signal } from "@preact/signals";
import { signIns } from "../state/session";
import { api, ask, Failure, type Schemas } from "./client";

export type Streamer = Schemas["StreamerOut"];
export type Content = Schemas["StreamerContent"];

/** null: not here yet. */
export type Known = Streamer | Failure | null;

interface Kept {
  value: Signal<Known>;
  /** When it is read anew, of `performance.now`; Infinity while it is being read. */
  until: number;
}

const AT_ONCE = 4;
const MOST_KEPT = 2000;
const FRESH_MS = 60_000;
/** Of what failed: soon, but what is shown meanwhile does not ask again and again. */
const RETRY_MS = 5_000;
const known = new Map<string, Kept>();
const waiting: string[] = [];
let reading = 0;

signIns.subscribe(() => {
  known.clear();
  waiting.length = 0;
});

/** What is known of a streamer; it is read if nothing is, or if that is old. */
export function streamer(id: string): Signal<Known> {
  void signIns.value; // whoever shows it looks again, with the key that came
  let found = known.get(id);
  if (!found) {
    if (known.size >= MOST_KEPT) known.delete(known.keys().next().value as string);
    found = { value: signal<Known>(null), until: 0 };
    known.set(id, found);
  }
  if (found.until <= performance.now()) {
    found.until = Infinity;
    waiting.push(id);
    readOn();
  }
  return found.value;
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
  let lasts = FRESH_MS;
  try {
    const path = { streamer_id: id };
    const params = { params: { path } };
    target.value.value = await ask(api.GET("/v1/streamers/{streamer_id}", params));
  } catch (error) {
    const failure = Failure.of(error);
    lasts = RETRY_MS;
    // What was read before stays, unless it is gone.
    if (contentOf(target.value.peek()) === null || failure.status === 404) {
      target.value.value = failure;
    }
  }
  target.until = performance.now() + lasts;
}
