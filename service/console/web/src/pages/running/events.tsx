import { useAsked } from "../../api/asked";
import { api, ask, type Schemas } from "../../api/client";
import { t, time } from "../../i18n";
import { Empty, Loading, Problem } from "../../parts/states";
import { hrefOf, place } from "../../state/location";
import { NextPage } from "../../parts/next_page";

type Page = Schemas["EventPage"];
type Event = Page["events"][number];
const MOST = 200;
const MOST_IDS = 5;

export function Events() {
  const cursor = place.value.params.get("cursor");
  const { value, failure, again } = useAsked(`events ${cursor}`, async (signal) => {
    const query = { limit: MOST, ...(cursor && { cursor }) };
    return (await ask(api.GET("/v1/events", { params: { query }, signal }))) as Page;
  });
  if (failure) return <Problem failure={failure} again={again} />;
  if (!value) return <Loading />;
  if (!value.events.length) {
    return (
      <>
        <Empty title={t("run.events.none")} remedy={t("run.events.none.remedy")} />
        <NextPage next={null} />
      </>
    );
  }
  return (
    <>
      <table>
        <caption class="unseen">{t("run.events")}</caption>
        <thead>
          <tr>
            <th scope="col">{t("run.when")}</th>
            <th scope="col">{t("run.what")}</th>
            <th scope="col">{t("run.about")}</th>
          </tr>
        </thead>
        <tbody>
          {value.events.map((event) => (
            <tr key={event.event_id}>
              <td>{time(event.at)}</td>
              <th scope="row">{event.kind}</th>
              <td class="words">
                <About event={event} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <NextPage next={value.events.length === MOST ? value.next_cursor : null} />
    </>
  );
}

function About({ event }: { event: Event }) {
  const { group_id: group, streamer_ids: ids } = event.data;
  const told = Array.isArray(ids) ? ids.slice(0, MOST_IDS).join(", ") : "";
  if (typeof group !== "string") return <>{JSON.stringify(event.data)}</>;
  return (
    <>
      <a href={hrefOf("duplicates", new URLSearchParams({ group }))}>{group}</a> {told}
    </>
  );
}
