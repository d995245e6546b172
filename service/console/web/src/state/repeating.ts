import { useEffect, useRef } from "preact/hooks";
import type { Asked } from "../api/asked";
import { refused } from "./session";

/** An answer that takes longer is given up: a connection may be dead and not know it. */
const LONGEST_MS = 30_000;

/**
 * Asks again every so often while the page is seen; null: it does not.
 * An answer is waited for, though not for ever, and a key that was refused is not sent.
 */
export function useRepeating(asked: Asked<unknown>, everyMs: number | null): void {
  const latest = useRef(asked);
  latest.current = asked;
  useEffect(() => {
    if (everyMs === null) return;
    let asked = Date.now();
    const timer = setInterval(() => {
      if (document.visibilityState !== "visible" || refused.peek() !== null) return;
      if (latest.current.waiting && Date.now() - asked < LONGEST_MS) return;
      asked = Date.now();
      latest.current.again();
    }, everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
}
