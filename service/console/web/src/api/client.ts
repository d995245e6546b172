/** Asks the service; every failure becomes a `Failure` with what went wrong and the remedy. */
import createClient, { type Middleware } from "openapi-fetch";
import { key, refuseKey, refused, takeKey } from "../state/session";
import { withDigits } from "./digits";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Problem = Schemas["Problem"];

/**
 * What the service refused. `status` is 0 where that is not it: `code` is "unreachable" where
 * nothing came, and "unexpected" where the page failed, or could not read what came.
 */
export class Failure extends Error {
  readonly status: number;
  readonly code: string;
  readonly retryAfterS: number | null;
  readonly problem: Problem | null;

  constructor(status: number, code: string, detail: string, problem?: Problem, retry?: string) {
    super(detail);
    this.status = status;
    this.code = code;
    this.problem = problem ?? null;
    const seconds = Number(retry);
    this.retryAfterS = retry && Number.isFinite(seconds) ? seconds : null;
  }

  /** What was thrown; anything else than a failure is "unexpected". */
  static of(thrown: unknown): Failure {
    return thrown instanceof Failure ? thrown : new Failure(0, "unexpected", String(thrown));
  }

  /** Whether the service refused before it did anything; a lost answer leaves that open. */
  get didNothing(): boolean {
    return (this.status >= 400 && this.status < 500) || this.code === "overloaded";
  }
}

const bearer: Middleware = {
  onRequest({ request }) {
    if (key.value) request.headers.set("Authorization", `Bearer ${key.value}`);
    return request;
  },
  onResponse({ request, response }) {
    const sent = request.headers.get("Authorization")?.slice("Bearer ".length) ?? "";
    if (response.status === 401) refuseKey(sent);
    return undefined;
  },
};

const digits: Middleware = {
  async onResponse({ response }) {
    const kind = response.headers.get("Content-Type") ?? "";
    if (!response.ok || !/^application\/json\b/.test(kind)) return undefined;
    const { status, headers } = response;
    return new Response(withDigits(await response.text()), { status, headers });
  },
};

export const api = createClient<paths>({ baseUrl: "/", credentials: "omit" });
api.use(bearer, digits);

const CHECK_MS = 15_000;

/**
 * Signs in if the service knows the key, whatever it may do; otherwise the page stays closed.
 * Throws a `Failure` where the service does not say.
 */
export async function signIn(text: string): Promise<void> {
  // What no header may have is no key.
  const isKnown = /^[!-~]+$/.test(text) && (await isAuthentic(text));
  if (isKnown) takeKey(text);
  else refused.value = text;
}

async function isAuthentic(text: string): Promise<boolean> {
  const headers = { Authorization: `Bearer ${text}` };
  const signal = AbortSignal.timeout(CHECK_MS);
  const answer = await reach(fetch("/v1/model", { headers, signal, credentials: "omit" }));
  if (answer.ok || answer.status === 403) return true;
  if (answer.status === 401) return false;
  const retry = answer.headers.get("Retry-After") ?? undefined;
  const problem: unknown = await answer.json().catch(() => null);
  if (isProblem(problem)) {
    throw new Failure(answer.status, problem.code, problem.detail, problem, retry);
  }
  throw new Failure(answer.status, "unexpected", answer.statusText, undefined, retry);
}

/** Names a request, which is done once however often it is sent. */
export function idempotencyKey(): string {
  // `randomUUID` is there on https and loopback alone.
  return `"${crypto.getRandomValues(new Uint32Array(4)).join("-")}"`;
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** What comes from the service; throws a `Failure` if nothing does, and passes other errors on. */
export async function reach<T>(awaited: Promise<T>): Promise<T> {
  try {
    return await awaited;
  } catch (error) {
    if (isUnanswered(error)) throw new Failure(0, "unreachable", String(error));
    throw error;
  }
}

/** What `fetch` and its bodies throw where the network fails, or nothing came in time. */
function isUnanswered(thrown: unknown): boolean {
  const isLate = thrown instanceof DOMException && thrown.name === "TimeoutError";
  return isLate || thrown instanceof TypeError;
}

/** The data of an answer, as JSON: no other form is asked for. Throws a `Failure` for a refusal. */
export async function ask<T>(asked: Promise<Answer<T>>): Promise<Exclude<T, string>> {
  const { data, error, response } = await reach(asked);
  if (response.ok) return data as Exclude<T, string>;
  const retry = response.headers.get("Retry-After") ?? undefined;
  if (isProblem(error)) {
    throw new Failure(response.status, error.code, error.detail, error, retry);
  }
  throw new Failure(response.status, "unexpected", response.statusText, undefined, retry);
}

/** A file; the document does not tell types of what is no JSON. `tell` hears why it lacks something. */
export async function askForFile(
  asked: Promise<Answer<unknown>>,
  tell: (because: string) => void = () => undefined,
): Promise<Blob> {
  const file = await ask(asked as Promise<Answer<Blob>>);
  const because = (await asked).response.headers.get("X-Incomplete-Because");
  if (because) tell(because);
  return file;
}

function isProblem(value: unknown): value is Problem {
  return typeof value === "object" && value !== null && "code" in value && "detail" in value;
}
