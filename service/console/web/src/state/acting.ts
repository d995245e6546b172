import { useRef, useState } from "preact/hooks";
import { Failure } from "../api/client";

export interface Acting {
  /** Does one thing at a time; what fails is in `wrong`. */
  act: (work: () => Promise<void>) => Promise<void>;
  wrong: Failure | null;
  /** What failed is told no longer. */
  forget: () => void;
  acting: boolean;
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
      setWrong(error instanceof Failure ? error : new Failure(0, "unexpected", String(error)));
    } finally {
      busy.current = false;
      setActing(false);
    }
  };
  return { act, wrong, forget: () => setWrong(null), acting };
}
