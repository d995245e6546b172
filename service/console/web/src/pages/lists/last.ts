/** The last run of a list that this tab made, which is there again when its page is; and kept runs. */
import { signal } from "@preact/signals";
import { api, askForFile, reach, type Schemas } from "../../api/client";
import { withDigits } from "../../api/digits";
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

/** A kept run as it was told: its rows, and all else in the last line. */
export async function openRun(
  list_name: string,
  run: number,
  signal: AbortSignal,
): Promise<Answer> {
  const params = { path: { list_name, run }, query: { format: "ndjson" } } as const;
  const asked = { params, signal, parseAs: "blob" } as const;
  const file = await askForFile(api.GET("/v1/lists/{list_name}/runs/{run}", asked));
  const lines = (await reach(file.text())).trim().split("\n");
  const told: unknown[] = lines.map((line) => JSON.parse(withDigits(line)));
  const rows = told.slice(0, -1) as Answer["rows"];
  return { ...(told.at(-1) as Omit<Answer, "rows">), rows };
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
