import { t } from "../i18n";
import { changed, hrefOf, place } from "../state/location";

/** Links to the next page of a list, and back to its beginning; `name`: where the URL has it. */
export function NextPage(props: { next: string | null | undefined; name?: string }) {
  const { next, name = "cursor" } = props;
  const { page, params } = place.value;
  return (
    <p class="actions">
      {params.get(name) && (
        <a class="button" href={hrefOf(page, changed({ [name]: null }))}>
          {t("run.page.first")}
        </a>
      )}
      {next && (
        <a class="button" href={hrefOf(page, changed({ [name]: next }))}>
          {t("run.page.next")}
        </a>
      )}
    </p>
  );
}
