/** Whole numbers beyond 2^53, such as ids of rooms: a `number` has 16 of their 19 digits. */

/** What browsers have since 2023 to 2025, and TypeScript's library does not know yet. */
interface Source {
  source?: string;
}
const json = JSON as JSON & { rawJSON?: (text: string) => unknown };
const WHOLE = /^-?\d+$/;
const IS_LONG = /\d{16}/;

/** A text as the number that it writes, which `JSON.stringify` sends with all digits; null: none. */
export function numberIn(text: string): number | null {
  const found = text.trim();
  const value = Number(found);
  if (!found || !Number.isFinite(value)) return null;
  if (!WHOLE.test(found) || Number.isSafeInteger(value)) return value;
  const digits = BigInt(found).toString(); // JSON has no zeros in front
  return json.rawJSON ? (json.rawJSON(digits) as number) : value;
}

/** JSON with texts in place of whole numbers that would lose digits: they are shown, and asked for. */
export function withDigits(text: string): string {
  if (!IS_LONG.test(text)) return text;
  const keep = (_: string, value: unknown, context?: Source): unknown => {
    const source = context?.source ?? "";
    const isRounded = typeof value === "number" && !Number.isSafeInteger(value);
    return isRounded && WHOLE.test(source) ? source : value;
  };
  return JSON.stringify(JSON.parse(text, keep as (key: string, value: unknown) => unknown));
}
