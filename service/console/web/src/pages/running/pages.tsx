import { t } from "../../i18n";
import { changed, hrefOf, place } from "../../state/location";

/** Links to the next page of a list, and back to its beginning. */
export function Pages({ next }: { next: string | null | undefined }) {
  return (
    <p class="actions">
      {place.value.params.get("cursor") && (
        <a class="button" href={hrefOf("running", changed({ cursor: null }))}>
          {t("run.page.first")}
        </a>
      )}
      {next && (
        <a class="button" href={hrefOf("running", changed({ cursor: next }))}>
          {t("run.page.next")}
        </a>
      )}
    </p>
  );
}
