/** Parts of the console that come when they are shown, and what is shown where they can't. */
import type { ComponentChildren } from "preact";
import { lazy, Suspense } from "preact/compat";
import { useErrorBoundary } from "preact/hooks";
import { Failure } from "../api/client";
import { t } from "../i18n";
import { Empty, Loading, Problem } from "../parts/states";

/** A part is not there: it is of a version that was replaced, or the network failed. */
class NotLoaded extends Error {}

export function later<T>(load: () => Promise<{ default: T }>) {
  return lazy(() =>
    load().catch((error: unknown) => {
      throw new NotLoaded(String(error));
    }),
  );
}

/** What has parts that come later. */
export function Awaiting({ children }: { children: ComponentChildren }) {
  const [thrown] = useErrorBoundary((error: unknown) => {
    if (!(error instanceof NotLoaded)) reportError(error);
  });
  if (thrown instanceof NotLoaded) {
    return (
      <div role="alert">
        <Empty title={t("app.outdated")} remedy={t("app.outdated.remedy")}>
          <button type="button" class="primary" onClick={() => location.reload()}>
            {t("app.reload")}
          </button>
        </Empty>
      </div>
    );
  }
  if (thrown) return <Problem failure={Failure.of(thrown)} />;
  return <Suspense fallback={<Loading />}>{children}</Suspense>;
}
