/** What just happened, for those who do not see it: a polite live region reads it. */
import { signal } from "@preact/signals";
import { holders } from "./session";

export const said = signal("");
holders.subscribe(() => {
  said.value = "";
});

export function say(text: string): void {
  said.value = said.value === text ? `${text}\u00a0` : text;
}
