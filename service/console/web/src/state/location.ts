/** The page and its state, in the URL's fragment: it can be shared, and no server log has it. */
import { signal } from "@preact/signals";

export interface Place {
  page: string;
  params: URLSearchParams;
}

function read(): Place {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  return { page: path || "find", params: new URLSearchParams(query) };
}

export const place = signal<Place>(read());
addEventListener("hashchange", () => {
  place.value = read();
});

export function hrefOf(page: string, params?: URLSearchParams): string {
  // Commas and colons may stand in a fragment, and ids are easier to read with them.
  const query = params?.toString().replaceAll("%2C", ",").replaceAll("%3A", ":") ?? "";
  return `#/${page}${query && `?${query}`}`;
}

/** Go to a page; `replace` leaves no step to go back to. */
export function go(page: string, params?: URLSearchParams, replace = false): void {
  const href = hrefOf(page, params);
  if (replace) history.replaceState(null, "", href);
  else location.hash = href;
  place.value = read(); // now, not at its event: what changes next builds on it
}

/** `go` for the end of what takes a while: does nothing once the reader went elsewhere. */
export function goFromHere(): typeof go {
  const from = location.hash;
  return (...to) => {
    if (location.hash === from) go(...to);
  };
}

/** A copy of the present parameters with some changed; empty ones are left out. */
export function changed(changes: Record<string, string | string[] | null>): URLSearchParams {
  const params = new URLSearchParams(place.value.params);
  for (const [name, value] of Object.entries(changes)) {
    params.delete(name);
    for (const one of Array.isArray(value) ? value : value ? [value] : []) params.append(name, one);
  }
  return params;
}
