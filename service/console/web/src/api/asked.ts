import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { key } from "../state/session";
import { Failure } from "./client";

/** What was asked: the last value stays while a newer one is awaited. */
export interface Asked<T> {
  value: T | null;
  failure: Failure | null;
  waiting: boolean;
  again: () => void;
}

/**
 * Asks whenever `question` changes, and drops the answer of an older one.
 * A question that is null is not asked.
 */
export function useAsked<T>(
  question: string | null,
  answer: (signal: AbortSignal) => Promise<T>,
): Asked<T> {
  const [value, setValue] = useState<T | null>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  const [waiting, setWaiting] = useState(question !== null);
  const [round, setRound] = useState(0);
  const latest = useRef(answer);
  latest.current = answer;
  const again = useCallback(() => setRound((n) => n + 1), []);
  const who = key.value;

  useEffect(() => {
    if (question === null) {
      setValue(null);
      setFailure(null);
      setWaiting(false);
      return;
    }
    const abort = new AbortController();
    setWaiting(true);
    latest
      .current(abort.signal)
      .then((found) => {
        if (abort.signal.aborted) return;
        setValue(found);
        setFailure(null);
        setWaiting(false);
      })
      .catch((error: unknown) => {
        if (abort.signal.aborted) return;
        setFailure(Failure.of(error));
        setWaiting(false);
      });
    return () => abort.abort();
  }, [question, round, who]);

  return { value, failure, waiting, again };
}
