/**
 * Whose key a text is, as far as the text tells: keys that were rotated and tokens that were
 * renewed are of the holder of before, and any other text is a holder of its own.
 *
 * Whether the service takes the text is not told: only one that it took may be relied upon.
 */
export function holderOf(key: string): string {
  const id = /^ssk_([0-9a-f]{12})_/.exec(key)?.[1];
  return id ?? subjectOf(key) ?? key;
}

/** Issuer and subject of a token of an identity provider; null for what is none. */
function subjectOf(token: string): string | null {
  const [, claims, signature] = token.split(".");
  if (!claims || signature === undefined) return null;
  try {
    const bytes = atob(claims.replaceAll("-", "+").replaceAll("_", "/"));
    const { iss, sub } = JSON.parse(bytes) as { iss?: unknown; sub?: unknown };
    return typeof sub === "string" ? JSON.stringify([iss, sub]) : null;
  } catch {
    return null;
  }
}
