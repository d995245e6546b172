import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { signIns } from "../state/session";
import { Failure } from "./client";

/** What was asked: the last value stays while a newer one is awaited. */
export interface Asked<T> {
  value: T | null;
  failure: Failure | null;
  waiting: boolean;
  again: () => void;
  /** Asks again, and ends once that is answered or refused. */
  renew: () => Promise<void>;
}

/** Who waits for the answer of a round, or of a later one. */
interface Waiter {
  round: number;
  go: () => void;
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
  const last = useRef(0);
  const waiters = useRef<Waiter[]>([]);
  const again = useCallback(() => setRound(++last.current), []);
  const renew = useCallback(() => {
    again();
    const round = last.current;
    return new Promise<void>((go) => waiters.current.push({ round, go }));
  }, []);
  const settle = (upTo: number): void => {
    for (const waiter of waiters.current) if (waiter.round <= upTo) waiter.go();
    waiters.current = waiters.current.filter((waiter) => waiter.round > upTo);
  };
  const who = signIns.value;

  useEffect(() => {
    if (question === null) {
      setValue(null);
      setFailure(null);
      setWaiting(false);
      settle(round);
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
        settle(round);
      })
      .catch((error: unknown) => {
        if (abort.signal.aborted) return;
        const found = Failure.of(error);
        if (found.status === 403) setValue(null); // another key may have been told that
        setFailure(found);
        setWaiting(false);
        settle(round);
      });
    return () => abort.abort();
  }, [question, round, who]);
  useEffect(() => () => settle(Infinity), []);

  return { value, failure, waiting, again, renew };
}
