/**
 * The API key of this tab.
 *
 * It is in sessionStorage: it survives a reload, ends with the tab, is not shared with other tabs
 * and, unlike a cookie, is never sent by the browser itself, so no other page can use it. It is
 * never part of a URL.
 */
import { batch, signal } from "@preact/signals";
import { holderOf } from "./holder";

const NAME = "similar-streamer.key";

export const key = signal(sessionStorage.getItem(NAME) ?? "");
/** null: nothing was refused; otherwise the key that was, "" where there was none. */
export const refused = signal<string | null>(null);

/** Grows whenever somebody signs in, also with the key of before: what was refused is asked anew. */
export const signIns = signal(0);
/** Grows whenever another holder signs in, or one signs out: what was read is no one else's. */
export const holders = signal(0);
/** Whether somebody signed out: what a page shows and knows is no one else's. */
export const hasLeft = signal(false);

/** Signs in with a key that the service knows. */
export function takeKey(text: string): void {
  if (text) sessionStorage.setItem(NAME, text);
  else sessionStorage.removeItem(NAME);
  batch(() => {
    if (holderOf(text) !== holderOf(key.value)) holders.value += 1;
    refused.value = null;
    hasLeft.value = false;
    key.value = text;
    signIns.value += 1;
  });
}

/** An answer said that this key is not known, or that one is needed. */
export function refuseKey(sent: string): void {
  if (sent === key.value) refused.value = sent;
}

export function leave(): void {
  sessionStorage.removeItem(NAME);
  batch(() => {
    holders.value += 1;
    hasLeft.value = true;
    key.value = "";
    refused.value = "";
  });
}
