/** What is shown in place of content: while it loads, where there is none, where it failed. */
import type { ComponentChildren } from "preact";
import type { Failure } from "../api/client";
import { t } from "../i18n";

export function Loading() {
  return (
    <p class="loading" role="status">
      {t("app.loading")}
    </p>
  );
}

export function Empty(props: { title: string; remedy?: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2 class="empty-title">{props.title}</h2>
      {props.remedy && <p>{props.remedy}</p>}
      {props.children}
    </div>
  );
}

/** Nothing came from the service. */
function isLost(failure: Failure): boolean {
  return failure.code === "unreachable";
}

function detailOf(failure: Failure): string {
  if (isLost(failure)) return t("problem.unreachable.remedy");
  return failure.code === "cancelled" ? t("problem.cancelled.remedy") : failure.message;
}

function titleOf(failure: Failure): string {
  if (isLost(failure)) return t("problem.unreachable");
  if (failure.status === 0) return t("problem.page");
  if (failure.code === "cancelled") return t("problem.cancelled");
  if (failure.code === "changed" || failure.status === 412) return t("problem.changed");
  if (failure.status === 403) return t("problem.missing_scope");
  if (failure.status === 429) return t("problem.rate_limited");
  if (failure.status === 404) return t("problem.not_found");
  return failure.problem?.title ?? t("problem.unexpected");
}

/** What went wrong and how to go on; `children` are other remedies. */
export function Problem(props: {
  failure: Failure;
  again?: () => void;
  children?: ComponentChildren;
}) {
  const { failure, again } = props;
  return (
    <div class="problem" role="alert">
      <p class="problem-title">{titleOf(failure)}</p>
      <p>
        <bdi class="words">{detailOf(failure)}</bdi>
      </p>
      {failure.retryAfterS !== null && (
        <p>{t("problem.later", { seconds: Math.ceil(failure.retryAfterS) })}</p>
      )}
      <p class="actions">
        {props.children}
        {again && (
          <button type="button" onClick={again}>
            {t("app.retry")}
          </button>
        )}
      </p>
      {failure.problem?.request_id && (
        <p class="quiet">{t("problem.request", { id: failure.problem.request_id })}</p>
      )}
    </div>
  );
}
