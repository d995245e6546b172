/** The pairs of a group, in the order in which judging them teaches most. */
import { api, ask, type Schemas } from "../../api/client";

export type Group = Schemas["GroupDetailOut"];
export type Edge = Group["edges"][number];
export type Judgement = Schemas["ListedOut"];
export type Verdict = Judgement["verdict"];
export type Given = Schemas["GivenOut"];

const MOST_MEMBERS = 1000;
const AT_ONCE = 4;

export interface Reviewed {
  group: Group;
  pairs: Edge[];
  judged: Map<string, Verdict>;
}

export function nameOf(pair: { a: string; b: string }): string {
  return pair.a < pair.b ? `${pair.a} ${pair.b}` : `${pair.b} ${pair.a}`;
}

/**
 * A bridge first: with "different" it takes the group apart, with "same" it keeps it together.
 * Then the weakest evidence, of which the model is least sure; strong evidence teaches little.
 */
export function inOrder(edges: readonly Edge[]): Edge[] {
  return [...edges].sort(
    (x, y) => Number(y.bridge ?? false) - Number(x.bridge ?? false) || x.weight - y.weight,
  );
}

/** A group, pairs of a page of its members in order, and what was judged of them. */
export async function review(
  group_id: string,
  cursor: string | null,
  signal: AbortSignal,
): Promise<Reviewed> {
  const query = { limit: MOST_MEMBERS, ...(cursor && { cursor }) };
  const params = { path: { group_id }, query };
  const group = await ask(api.GET("/v1/duplicates/{group_id}", { params, signal }));
  const pairs = inOrder(group.edges);
  return { group, pairs, judged: await judgements([...new Set(pairs.map((p) => p.a))], signal) };
}

async function judgements(ids: string[], signal: AbortSignal): Promise<Map<string, Verdict>> {
  const judged = new Map<string, Verdict>();
  const left = [...ids];
  const read = async (): Promise<void> => {
    for (let id = left.pop(); id !== undefined; id = left.pop()) {
      const page = await judgementsOf(id, null, signal);
      for (const one of page.judgements) judged.set(nameOf(one), one.verdict);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, read));
  return judged;
}

function judgementsOf(id: string, cursor: string | null, signal?: AbortSignal) {
  const params = { query: { streamer_id: id, limit: MOST_MEMBERS, ...(cursor && { cursor }) } };
  return ask(api.GET("/v1/judgements", { params, signal: signal ?? null }));
}

/** What is judged of a pair now. */
export async function judgementOf(pair: Edge): Promise<Judgement | null> {
  for (let cursor: string | null = null; ;) {
    const page: Schemas["JudgementPage"] = await judgementsOf(pair.a, cursor);
    const found = page.judgements.find((one) => nameOf(one) === nameOf(pair));
    if (found || page.next_cursor === null) return found ?? null;
    cursor = page.next_cursor;
  }
}

export function judge(pair: Edge, verdict: Verdict, note = ""): Promise<Given> {
  const body = { a: pair.a, b: pair.b, verdict, note };
  return ask(api.PUT("/v1/judgements", { body }));
}

/** As it was before: the judgement before, which is answered as it is now, or none. */
export async function takeBack(pair: Edge, before: Given["before"]): Promise<Given | null> {
  if (before) return judge(pair, before.verdict, before.note);
  const query = { a: pair.a, b: pair.b };
  await ask(api.DELETE("/v1/judgements", { params: { query } }));
  return null;
}
