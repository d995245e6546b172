import { useLayoutEffect, useRef } from "preact/hooks";
import { refused } from "./session";

export type Keys = Record<string, () => void>;

/** Letters that act once however long they are held down; others move, as arrows do. */
const ONCE = /^[a-il-z]$/;

/** Whether a key belongs to what has the focus: a field takes letters, a dialog everything. */
function isTaken(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return true;
  if (document.querySelector("dialog[open]")) return true;
  // The page is hidden until somebody signs in; the help is not.
  if (refused.value !== null && event.key !== "?") return true;
  const focused = event.target;
  return (
    focused instanceof HTMLTextAreaElement ||
    focused instanceof HTMLSelectElement ||
    (focused instanceof HTMLInputElement && focused.type !== "checkbox")
  );
}

/** Single keys of a page, while no field has the focus. */
export function useKeys(keys: Keys): void {
  const latest = useRef(keys);
  latest.current = keys;
  // Before it is painted: keys that follow at once are for what is seen.
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const act = isTaken(event) ? undefined : latest.current[event.key];
      if (!act) return;
      event.preventDefault();
      if (!event.repeat || !ONCE.test(event.key)) act();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}
