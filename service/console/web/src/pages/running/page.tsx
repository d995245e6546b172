/** Running it: health, the model, jobs, keys, webhooks, the audit log and events. */
import { t, type Text } from "../../i18n";
import { hrefOf, place } from "../../state/location";
import { Audit } from "./audit";
import { Events } from "./events";
import { Health } from "./health";
import { Jobs } from "./jobs";
import { KeysTable } from "./keys";
import { Model } from "./model/page";
import { Models } from "./models/page";
import { Webhooks } from "./webhooks/page";

const TABS = {
  health: ["run.health", Health],
  model: ["run.model", Model],
  models: ["models.title", Models],
  jobs: ["run.jobs", Jobs],
  keys: ["run.keys", KeysTable],
  webhooks: ["run.webhooks", Webhooks],
  audit: ["run.audit", Audit],
  events: ["run.events", Events],
} as const satisfies Record<string, [Text, unknown]>;

export default function RunningPage() {
  const asked = place.value.params.get("tab") ?? "";
  const tab = Object.hasOwn(TABS, asked) ? (asked as keyof typeof TABS) : "health";
  const [title, Content] = TABS[tab];
  return (
    <div class="running">
      <nav class="tabs" aria-label={t("run.title")}>
        {Object.entries(TABS).map(([name, [text]]) => (
          <a
            key={name}
            href={hrefOf("running", new URLSearchParams({ tab: name }))}
            aria-current={name === tab ? "page" : undefined}
          >
            {t(text)}
          </a>
        ))}
      </nav>
      <h1>{t(title)}</h1>
      <Content />
    </div>
  );
}
