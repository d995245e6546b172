import { useRef, useState } from "preact/hooks";
import { Failure, idempotencyKey } from "../api/client";

export interface Acting {
  /** Does one thing at a time; what fails is in `wrong`. */
  act: (work: () => Promise<void>) => Promise<void>;
  wrong: Failure | null;
  /** What failed is told no longer. */
  forget: () => void;
  acting: boolean;
  /** Attributes of a button whose action uses `act`: it keeps the focus; a double click is one. */
  press: (action: () => Promise<void>) => Pressed;
}

interface Pressed {
  type: "button";
  "aria-disabled": boolean;
  onClick: (event: MouseEvent) => void;
  onKeyDown: (event: KeyboardEvent) => void;
}

/** Whether a click is not the second one of a double click, which is for what was there before. */
export function isFirst(event: MouseEvent): boolean {
  return event.detail < 2;
}

/** For what a page changes: one change is under way at most, and the last failure is known. */
export function useActing(): Acting {
  const [wrong, setWrong] = useState<Failure | null>(null);
  const [acting, setActing] = useState(false);
  const busy = useRef(false);
  const act = async (work: () => Promise<void>): Promise<void> => {
    if (busy.current) return;
    busy.current = true;
    setActing(true);
    setWrong(null);
    try {
      await work();
    } catch (error) {
      setWrong(Failure.of(error));
    } finally {
      busy.current = false;
      setActing(false);
    }
  };
  const press = (action: () => Promise<void>): Pressed => ({
    type: "button",
    // One that is `disabled` loses the focus, which a dialog could not give back.
    "aria-disabled": acting,
    onClick: (event) => {
      if (isFirst(event) && !busy.current) void action();
    },
    // Enter that is held down clicks again and again.
    onKeyDown: (event) => {
      if (event.repeat && event.key === "Enter") event.preventDefault();
    },
  });
  return { act, wrong, forget: () => setWrong(null), acting, press };
}

/**
 * Sends what makes something new under a name. While it is open whether that was done, `what`
 * keeps its name: the service answers with what it did then.
 */
export function useOnce(): <T>(what: string, send: (name: string) => Promise<T>) => Promise<T> {
  const last = useRef<{ what: string; name: string } | null>(null);
  return async (what, send) => {
    if (last.current?.what !== what) last.current = { what, name: idempotencyKey() };
    try {
      const done = await send(last.current.name);
      last.current = null;
      return done;
    } catch (error) {
      if (Failure.of(error).didNothing) last.current = null;
      throw error;
    }
  };
}
