import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { t } from "../i18n";
import { refused } from "../state/session";

/**
 * A modal dialog: it has the focus, Escape closes it, and then the focus is where it was.
 * While the page waits for a key, so does its dialog, with what was typed; `isAlways`: it does not.
 */
export function Dialog(props: {
  title: string;
  close: () => void;
  children: ComponentChildren;
  actions?: ComponentChildren;
  isAlways?: boolean;
}) {
  const isOut = refused.value !== null && !props.isAlways;
  const dialog = useRef<HTMLDialogElement>(null);
  const opener = useRef<Element | null>(null);
  // Before it is painted: keys that follow at once are for the dialog.
  useLayoutEffect(() => {
    if (isOut) return;
    // Shown again after signing in, it belongs to whom it was opened by.
    const before = (opener.current ??= document.activeElement);
    dialog.current?.showModal();
    return () => {
      // Once it is gone: until then the rest of the page takes no focus.
      requestAnimationFrame(() => {
        if (before instanceof HTMLElement && before.isConnected) before.focus();
      });
    };
  }, [isOut]);
  useLayoutEffect(() => {
    // A modal one that is not seen would take all else from the keyboard and the pointer.
    if (isOut) dialog.current?.close();
  }, [isOut]);
  return (
    <dialog ref={dialog} onClose={() => isOut || props.close()} aria-labelledby="dialog-title">
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
