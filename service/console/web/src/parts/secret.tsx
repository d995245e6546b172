/** A secret that the service shows this once. */
import type { ComponentChildren } from "preact";
import { t } from "../i18n";
import { CopyButton } from "./copy_button";
import { Dialog } from "./dialog";

export function Secret(props: {
  title: string;
  secret: string;
  close: () => void;
  children?: ComponentChildren;
}) {
  const { title, secret, close, children } = props;
  return (
    <Dialog title={title} close={close}>
      <p>{t("run.key.shown")}</p>
      {children}
      <p class="secret">{secret}</p>
      <CopyButton text={() => secret} label={t("app.copy")} done={t("app.copied")} />
    </Dialog>
  );
}
