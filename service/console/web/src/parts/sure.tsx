/** Asks before what can't be taken back is done. */
import type { ComponentChildren } from "preact";
import type { Failure } from "../api/client";
import { isFirst } from "../state/acting";
import { Dialog } from "./dialog";
import { Problem } from "./states";

export function Sure(props: {
  title: string;
  label: string;
  isActing: boolean;
  wrong: Failure | null;
  act: () => void;
  close: () => void;
  children?: ComponentChildren;
}) {
  return (
    <Dialog
      title={props.title}
      close={props.close}
      actions={
        <button
          type="button"
          class="danger"
          // One that is `disabled` loses the focus.
          aria-disabled={props.isActing}
          onClick={(event) => isFirst(event) && !props.isActing && props.act()}
          // Enter that is held down since the dialog was asked for.
          onKeyDown={(event) => event.repeat && event.key === "Enter" && event.preventDefault()}
        >
          {props.label}
        </button>
      }
    >
      {props.children}
      {props.wrong && <Problem failure={props.wrong} />}
    </Dialog>
  );
}
