/** The question of the page Find: read from the URL, asked of the service, told as curl. */
import { api, ask, Failure, type Schemas } from "../../api/client";
import { changed, go, place } from "../../state/location";

export type Answer = Schemas["SimilarOut"];
export type Hit = Schemas["HitOut"];
type Body = Schemas["SimilarIn"];

export type How = "is" | "not" | "gte" | "lte";
export const HOW: readonly How[] = ["is", "not", "gte", "lte"];

export interface Condition {
  field: string;
  how: How;
  value: string;
}

export interface Question {
  like: string[];
  unlike: string[];
  count: number;
  precision: number | null;
  conditions: Condition[];
  exclude: string[];
}

export const COUNTS = [10, 20, 50, 100, 200, 500, 1000] as const;
/** Reasons are given for so many at most, by default. */
const MOST_EXPLAINED = 50;
const ID = /^(?=.*[A-Za-z0-9_:-])[A-Za-z0-9._:-]{1,128}$/;

/** Ids in a text, as pasted from a table: between blanks, commas, semicolons and quotes. */
export function idsIn(text: string): string[] {
  const parts = text.split(/[\s,;，；、"']+/).filter((part) => ID.test(part));
  return [...new Set(parts)];
}

function listed(params: URLSearchParams, name: string): string[] {
  return idsIn(params.get(name) ?? "");
}

export function questionOf(params: URLSearchParams): Question {
  const count = Number(params.get("k"));
  const precision = Number(params.get("precision"));
  return {
    like: listed(params, "like"),
    unlike: listed(params, "unlike"),
    count: Number.isInteger(count) && count >= 1 && count <= 1000 ? count : 50,
    precision: precision > 0 && precision <= 1 ? precision : null,
    conditions: params.getAll("where").flatMap((text) => conditionOf(text) ?? []),
    exclude: listed(params, "exclude"),
  };
}

function conditionOf(text: string): Condition | null {
  const found = /^([^~]+)~(is|not|gte|lte)~(.+)$/s.exec(text);
  return found ? { field: found[1]!, how: found[2] as How, value: found[3]! } : null;
}

export function textOf(condition: Condition): string {
  return `${condition.field}~${condition.how}~${condition.value}`;
}

/** Change parts of the question: the URL is where it is kept. */
export function change(changes: Partial<Question>): void {
  const texts: Record<string, string | string[] | null> = {};
  if (changes.like) texts["like"] = changes.like.join(",");
  if (changes.unlike) texts["unlike"] = changes.unlike.join(",");
  if (changes.exclude) texts["exclude"] = changes.exclude.join(",");
  if (changes.count !== undefined) texts["k"] = String(changes.count);
  if (changes.precision !== undefined) texts["precision"] = changes.precision?.toString() ?? null;
  if (changes.conditions) texts["where"] = changes.conditions.map(textOf);
  go("find", changed(texts));
}

/** What a value may be in a profile: attributes are texts, numbers, or true and false. */
function meanings(value: string): (string | number | boolean)[] {
  const found: (string | number | boolean)[] = [value];
  const number = Number(value);
  if (value.trim() && Number.isFinite(number)) found.push(number);
  if (value === "true" || value === "false") found.push(value === "true");
  return found;
}

/** Precision is measured for likeness to seeds; of what is unlike others nothing is known. */
export function canPromise(question: Question): boolean {
  return question.unlike.length === 0;
}

export function bodyOf(question: Question, explain: boolean): Body {
  const must: Schemas["ConditionIn"][] = [];
  const must_not: Schemas["ConditionIn"][] = [];
  for (const { field, how, value } of question.conditions) {
    if (how === "is") must.push({ field, any: meanings(value) });
    else if (how === "not") must_not.push({ field, any: meanings(value) });
    else must.push({ field, [how]: Number(value) });
  }
  if (question.exclude.length) must_not.push({ field: "streamer_id", any: question.exclude });
  const seed = (streamer_id: string) => ({ streamer_id });
  return {
    positive: question.like.map(seed),
    ...(question.unlike.length && { negative: question.unlike.map(seed) }),
    k: question.count,
    ...(question.precision !== null &&
      canPromise(question) && {
        min_precision: question.precision,
        ...(question.like.length > 1 && { strategy: "best_score" }),
      }),
    ...((must.length || must_not.length) && { filter: { must, must_not } }),
    ...(explain && { explain }),
  } as Body;
}

export interface Found extends Answer {
  explained: boolean;
}

/** Ask with reasons where the number allows it and the key may see them. */
export async function find(question: Question, signal: AbortSignal): Promise<Found> {
  const explain = question.count <= MOST_EXPLAINED;
  try {
    return { ...(await send(question, explain, signal)), explained: explain };
  } catch (error) {
    const isForbidden = error instanceof Failure && error.code === "missing_scope";
    if (!explain || !isForbidden) throw error;
    return { ...(await send(question, false, signal)), explained: false };
  }
}

function send(question: Question, explain: boolean, signal: AbortSignal): Promise<Answer> {
  return ask(api.POST("/v1/similar", { body: bodyOf(question, explain), signal }));
}

/** The request for a shell; the key is in a variable, never in the text. */
export function curlOf(question: Question): string {
  const body = JSON.stringify(bodyOf(question, question.count <= MOST_EXPLAINED));
  return [
    `curl -X POST '${location.origin}/v1/similar'`,
    `-H "Authorization: Bearer $STREAMER_API_KEY"`,
    `-H 'Content-Type: application/json'`,
    `-d '${body.replaceAll("'", String.raw`'\''`)}'`,
  ].join(" \\\n  ");
}

export function here(): Question {
  return questionOf(place.value.params);
}
