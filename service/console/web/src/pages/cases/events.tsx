/** What happened to a case, the oldest first. */
import type { Ref } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, type Schemas } from "../../api/client";
import { named, t, time } from "../../i18n";
import { Problem } from "../../parts/states";
import { Words } from "../../parts/words";

const MOST = 100;

interface Asked {
  id: string;
  revision: number;
}

export function Events(props: Asked) {
  return (
    <details>
      <summary>{t("case.events")}</summary>
      <ol class="events">
        <From {...props} cursor={null} />
      </ol>
    </details>
  );
}

/** A page of events, and those after it once they are asked for. */
function From(props: Asked & { cursor: string | null }) {
  const { id, revision, cursor } = props;
  const [isMore, setMore] = useState(false);
  const { value, failure, again } = useAsked(`${id} ${revision} ${cursor}`, (signal) => {
    const query = { limit: MOST, ...(cursor && { cursor }) };
    const params = { path: { case_id: id }, query };
    return ask(api.GET("/v1/cases/{case_id}/events", { params, signal }));
  });
  const next = value?.next_cursor;
  const first = useRef<HTMLLIElement>(null);
  const isRead = value !== null;
  useEffect(() => {
    // The button that asked for them had the focus, and is gone.
    if (cursor !== null && document.activeElement === document.body) first.current?.focus();
  }, [cursor, isRead]);
  return (
    <>
      {value?.events.map((event, i) => (
        <Event key={event.number} event={event} place={i === 0 ? first : null} />
      ))}
      {failure && (
        <li>
          <Problem failure={failure} again={again} />
        </li>
      )}
      {next && isMore && <From {...props} cursor={next} />}
      {next && !isMore && (
        <li>
          <button type="button" onClick={() => setMore(true)}>
            {t("app.more")}
          </button>
        </li>
      )}
    </>
  );
}

function Event(props: { event: Schemas["CaseEventOut"]; place: Ref<HTMLLIElement> | null }) {
  const { event } = props;
  return (
    <li ref={props.place} tabIndex={-1}>
      <span class="quiet">{time(event.at)}</span> {t(`case.event.${event.kind}`)}{" "}
      {event.streamer_id && <Words value={event.streamer_id} />}{" "}
      {event.kind === "verdict" && named("case", String(event.new?.["verdict"]))}{" "}
      {event.kind === "verdict" && <Words value={String(event.new?.["note"] ?? "")} />}{" "}
      <span class="quiet words">{event.key_name}</span>
    </li>
  );
}
