/** The question of the page Find: read from the URL, asked of the service, told as curl. */
import { api, ask, askForFile, Failure, type Schemas } from "../../api/client";
import { numberIn } from "../../api/digits";
import { t } from "../../i18n";
import { language } from "../../state/preferences";
import { changed, go, place } from "../../state/location";

export type Answer = Schemas["ListAnswerOut"];
export type Hit = Schemas["ListRowOut"];
export type Body = Schemas["ListQuestionIn"];

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
  /** One of each group of duplicates. */
  isWithoutCopies: boolean;
  /** Nobody who was ever written to. */
  isUnwritten: boolean;
  /** Most of one category; null: any number. */
  spread: number | null;
}

export type FileFormat = "csv" | "xlsx";
export const SPREADS = [1, 2, 5, 10, 20, 50] as const;
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
  const spread = Number(params.get("spread"));
  return {
    like: listed(params, "like"),
    unlike: listed(params, "unlike"),
    count: Number.isInteger(count) && count >= 1 && count <= 1000 ? count : 50,
    precision: precision > 0 && precision <= 1 ? precision : null,
    conditions: params.getAll("where").flatMap((text) => conditionOf(text) ?? []),
    exclude: listed(params, "exclude"),
    isWithoutCopies: params.get("copies") === "no",
    isUnwritten: params.get("written") === "no",
    spread: Number.isInteger(spread) && spread >= 1 && spread <= 1000 ? spread : null,
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
  if (changes.isWithoutCopies !== undefined)
    texts["copies"] = changes.isWithoutCopies ? "no" : null;
  if (changes.isUnwritten !== undefined) texts["written"] = changes.isUnwritten ? "no" : null;
  if (changes.spread !== undefined) texts["spread"] = changes.spread?.toString() ?? null;
  go("find", changed(texts));
}

const BOUNDS: ReadonlySet<string> = new Set(["gt", "gte", "lt", "lte"]);

/** What a value may be in a profile: attributes are texts, numbers, or true and false. */
function meanings(value: string): (string | number | boolean)[] {
  const found: (string | number | boolean)[] = [value];
  const number = numberIn(value);
  if (number !== null) found.push(number);
  if (value === "true" || value === "false") found.push(value === "true");
  return found;
}

/** A filter that was read, whose long numbers came as texts, as it is asked for again. */
export function asWritten(filter: Schemas["FilterIn"]): Schemas["FilterIn"] {
  const long = (value: unknown): number[] => {
    const number = typeof value === "string" && value.length > 15 ? numberIn(value) : null;
    return number === null ? [] : [number];
  };
  const one = (condition: Schemas["ConditionIn"]): Schemas["ConditionIn"] => {
    const bounds = Object.entries(condition).flatMap(([key, value]) =>
      BOUNDS.has(key) ? long(value).map((number) => [key, number] as const) : [],
    );
    const any = condition.any?.flatMap((value) => [value, ...long(value)]) ?? null;
    return { ...condition, any, ...Object.fromEntries(bounds) };
  };
  return { must: (filter.must ?? []).map(one), must_not: (filter.must_not ?? []).map(one) };
}

/** Precision is measured for likeness to seeds; of what is unlike others nothing is known. */
export function canPromise(question: Question): boolean {
  return question.unlike.length === 0;
}

export function filterOf(
  conditions: readonly Condition[],
  among: readonly string[] = [],
): Schemas["FilterIn"] | null {
  const must: Schemas["ConditionIn"][] = [];
  const must_not: Schemas["ConditionIn"][] = [];
  for (const { field, how, value } of conditions) {
    if (how === "is") must.push({ field, any: meanings(value) });
    else if (how === "not") must_not.push({ field, any: meanings(value) });
    else must.push({ field, [how]: numberIn(value) ?? Number(value) });
  }
  if (among.length) must.push({ field: "streamer_id", any: [...among] });
  return must.length || must_not.length ? { must, must_not } : null;
}

/** Columns of the table and of its files. */
const FIELDS = ["name", "category", "language", "followers"];

/** The request; `among`: nobody but these. */
export function bodyOf(
  question: Question,
  explain: Body["explain"],
  among: readonly string[] = [],
): Body {
  const filter = filterOf(question.conditions, among);
  const exclude = {
    ...(question.exclude.length && { ids: question.exclude }),
    ...(question.isUnwritten && { outreach_since: 0 }),
  };
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
    ...(filter && { filter }),
    ...(Object.keys(exclude).length && { exclude }),
    ...(question.isWithoutCopies && { without_copies: true }),
    ...(question.spread && { diversify: { by: "category", max_per_value: question.spread } }),
    ...(explain && { explain }),
    fields: FIELDS,
    language: language.value,
  } as Body;
}

/** Without those that some column of the page's own choice is empty. */
export function warningsOf(answer: Answer): string[] {
  const empty = FIELDS.map((field) => `fields: no streamer of the list has '${field}'`);
  return answer.warnings.filter((warning) => !empty.includes(warning));
}

export interface Found extends Answer {
  explained: boolean;
}

/** In full where the number allows it, in words above. */
function explanationOf(question: Question): Body["explain"] {
  return question.count <= MOST_EXPLAINED ? "full" : "short";
}

/** Ask with reasons where the key may see them. */
export async function find(question: Question, signal: AbortSignal): Promise<Found> {
  try {
    return { ...(await send(question, explanationOf(question), signal)), explained: true };
  } catch (error) {
    const isForbidden = error instanceof Failure && error.code === "missing_scope";
    if (!isForbidden) throw error;
    return { ...(await send(question, null, signal)), explained: false };
  }
}

async function send(
  question: Question,
  explain: Body["explain"],
  signal: AbortSignal,
): Promise<Answer> {
  const body = bodyOf(question, explain);
  const answer = await ask(api.POST("/v1/lists:preview", { body, signal }));
  if ("rows" in answer) return answer;
  throw new Failure(202, "later", t("find.later"));
}

/** The list as a file; `among`: these alone, or all. */
export function fileOf(
  question: Question,
  among: readonly string[],
  format: FileFormat,
  isExplained: boolean,
): Promise<Blob> {
  const body = bodyOf(question, isExplained ? "short" : null, among);
  const params = { query: { format } };
  return askForFile(api.POST("/v1/lists:preview", { params, body, parseAs: "blob" }));
}

/** The request for a shell; the key is in a variable, never in the text. */
export function curlOf(question: Question): string {
  const body = JSON.stringify(bodyOf(question, explanationOf(question)));
  return [
    `curl -X POST '${location.origin}/v1/lists:preview'`,
    `-H "Authorization: Bearer $STREAMER_API_KEY"`,
    `-H 'Content-Type: application/json'`,
    `-d '${body.replaceAll("'", String.raw`'\''`)}'`,
  ].join(" \\\n  ");
}

export function here(): Question {
  return questionOf(place.value.params);
}
