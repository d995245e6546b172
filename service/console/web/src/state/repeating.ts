import { useEffect, useRef } from "preact/hooks";
import type { Asked } from "../api/asked";
import { refused } from "./session";

/**
 * Asks again every so often while the page is seen; null: it does not.
 * An answer is waited for, and a key that was refused is not sent.
 */
export function useRepeating(asked: Asked<unknown>, everyMs: number | null): void {
  const latest = useRef(asked);
  latest.current = asked;
  useEffect(() => {
    if (everyMs === null) return;
    const timer = setInterval(() => {
      if (document.visibilityState !== "visible" || refused.peek() !== null) return;
      if (!latest.current.waiting) latest.current.again();
    }, everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
}
