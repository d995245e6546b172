/** What happened to a case, the oldest first. */
import { useAsked } from "../../api/asked";
import { api, ask } from "../../api/client";
import { named, t, time } from "../../i18n";
import { Problem } from "../../parts/states";
import { Words } from "../../parts/words";

export function Events({ id, revision }: { id: string; revision: number }) {
  const { value, failure, again } = useAsked(`${id} ${revision}`, (signal) => {
    const params = { path: { case_id: id }, query: { limit: 100 } };
    return ask(api.GET("/v1/cases/{case_id}/events", { params, signal }));
  });
  if (failure) return <Problem failure={failure} again={again} />;
  return (
    <details>
      <summary>{t("case.events")}</summary>
      <ol class="events">
        {value?.events.map((event) => (
          <li key={event.number}>
            <span class="quiet">{time(event.at)}</span> {t(`case.event.${event.kind}`)}{" "}
            {event.streamer_id && <Words value={event.streamer_id} />}{" "}
            {event.kind === "verdict" && named("case", String(event.new?.["verdict"]))}{" "}
            {event.kind === "verdict" && <Words value={String(event.new?.["note"] ?? "")} />}{" "}
            <span class="quiet words">{event.key_name}</span>
          </li>
        ))}
      </ol>
    </details>
  );
}
