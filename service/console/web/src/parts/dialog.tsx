import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../i18n";

/** A modal dialog: it has the focus, and Escape closes it. */
export function Dialog(props: {
  title: string;
  close: () => void;
  children: ComponentChildren;
  actions?: ComponentChildren;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} onClose={props.close} aria-labelledby="dialog-title">
      <h2 id="dialog-title">{props.title}</h2>
      {props.children}
      <p class="actions">
        {props.actions}
        <button type="button" onClick={() => dialog.current?.close()}>
          {t("app.close")}
        </button>
      </p>
    </dialog>
  );
}
