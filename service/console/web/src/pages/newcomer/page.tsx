/** Cold start: a newcomer among established streamers, and the recommender's spaces. */
import { t } from "../../i18n";
import { hrefOf, place } from "../../state/location";
import { Placing } from "./placing";
import { Spaces } from "./spaces";

const TABS = { place: Placing, spaces: Spaces } as const;

export default function NewcomerPage() {
  const tab = place.value.params.get("tab") === "spaces" ? "spaces" : "place";
  const Content = TABS[tab];
  return (
    <div class="running">
      <nav class="tabs" aria-label={t("nav.newcomer")}>
        {(["place", "spaces"] as const).map((name) => (
          <a
            key={name}
            href={hrefOf("newcomer", new URLSearchParams({ tab: name }))}
            aria-current={name === tab ? "page" : undefined}
          >
            {t(`new.tab.${name}`)}
          </a>
        ))}
      </nav>
      <h1>{t(`new.tab.${tab}`)}</h1>
      <Content />
    </div>
  );
}
