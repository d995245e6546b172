/** Parts of the console that come when they are shown, and what is shown where they can't. */
import type { ComponentChildren } from "preact";
import { lazy, Suspense } from "preact/compat";
import { useEffect, useErrorBoundary, useRef } from "preact/hooks";
import { Failure } from "../api/client";
import { t } from "../i18n";
import { Empty, Loading, Problem } from "../parts/states";
import { place } from "../state/location";

/** A part is not there: it is of a version that was replaced, or the network failed. */
class NotLoaded extends Error {}

export function later<T>(load: () => Promise<{ default: T }>) {
  return lazy(() =>
    load().catch((error: unknown) => {
      throw new NotLoaded(String(error));
    }),
  );
}

/** What has parts that come later; what failed at one place is tried again at the next. */
export function Awaiting(props: { children: ComponentChildren; fallback?: ComponentChildren }) {
  const { children, fallback = <Loading /> } = props;
  const [thrown, again] = useErrorBoundary((error: unknown) => {
    if (!(error instanceof NotLoaded)) reportError(error);
  });
  const here = place.value;
  const last = useRef(here);
  useEffect(() => {
    if (last.current === here) return;
    last.current = here;
    again();
  }, [here]);
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
  if (thrown) return <Problem failure={Failure.of(thrown)} again={again} />;
  return <Suspense fallback={fallback}>{children}</Suspense>;
}
