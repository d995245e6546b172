/** The last run of a list that this tab made: it is there again when its page is. */
import { signal } from "@preact/signals";
import type { Schemas } from "../../api/client";
import { holders } from "../../state/session";

export type Answer = Schemas["ListAnswerOut"];
export type Format = "json" | "csv" | "xlsx";

/** A list that a job makes, and in which form. */
interface Later {
  jobId: string;
  format: Format;
}

interface Last {
  answer: Answer | null;
  later: Later | null;
}

type List = Pick<Schemas["ListDetailOut"], "name" | "created_at" | "revision">;

const NONE: Last = { answer: null, later: null };
/** Each may have ten thousand rows. */
const MOST_KEPT = 5;
const kept = signal<ReadonlyMap<string, Last>>(new Map());

holders.subscribe(() => {
  kept.value = new Map();
});

/** One that was saved over, or deleted and saved anew, asks another question. */
function nameOf({ name, created_at, revision }: List): string {
  return `${name} ${created_at} ${revision}`;
}

export function lastOf(list: List | null): Last {
  return (list && kept.value.get(nameOf(list))) ?? NONE;
}

/** `holder`: of `holders` when it was asked for; an answer to somebody who left is not kept. */
export function keep(holder: number, list: List, changes: Partial<Last>): void {
  if (holder !== holders.peek()) return;
  const last = { ...(kept.peek().get(nameOf(list)) ?? NONE), ...changes };
  const others = [...kept.peek()].filter(([name]) => name !== nameOf(list));
  kept.value = new Map([...others, [nameOf(list), last] as const].slice(-MOST_KEPT));
}
