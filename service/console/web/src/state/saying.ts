/** What just happened, for those who do not see it: a polite live region reads it. */
import { signal } from "@preact/signals";

export const said = signal("");

export function say(text: string): void {
  said.value = said.value === text ? `${text}\u00a0` : text;
}
