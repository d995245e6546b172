/** Messages of a webhook: due, delivered of late, and dead letters, which can be sent again. */
import { useState } from "preact/hooks";
import { useAsked } from "../../../api/asked";
import { api, ask, type Schemas } from "../../../api/client";
import { number, t, time } from "../../../i18n";
import { NextPage } from "../../../parts/next_page";
import { Empty, Loading, Problem } from "../../../parts/states";
import { Table } from "../../../parts/table";
import { Words } from "../../../parts/words";
import { useActing } from "../../../state/acting";
import { changed, hrefOf, place } from "../../../state/location";
import { say } from "../../../state/saying";

type Hook = Schemas["WebhookOut"];
const STATES = ["due", "delivered", "dead"] as const;
type State = (typeof STATES)[number];
const MOST = 100;

export function Deliveries(props: { hook: Hook; changed: () => void }) {
  const { hook } = props;
  const { params } = place.value;
  const asked = params.get("messages") as State;
  const state = STATES.includes(asked) ? asked : hook.dead ? "dead" : "due";
  const cursor = params.get("cursor");
  const [round, setRound] = useState(0);
  return (
    <section aria-label={t("hook.messages")}>
      <nav class="tabs" aria-label={t("hook.messages")}>
        {STATES.map((name) => (
          <a
            key={name}
            href={hrefOf("running", changed({ messages: name, cursor: null }))}
            aria-current={name === state ? "page" : undefined}
          >
            {t(`hook.${name}`)}
          </a>
        ))}
        <button
          type="button"
          class="plain"
          onClick={() => {
            props.changed();
            setRound((n) => n + 1);
          }}
        >
          {t("alert.refresh")}
        </button>
      </nav>
      <Messages key={`${state} ${cursor}`} {...{ ...props, state, cursor, round }} />
    </section>
  );
}

/** Made anew for each choice of messages, so that none of those shown before is sent again. */
function Messages(props: {
  hook: Hook;
  state: State;
  cursor: string | null;
  round: number;
  changed: () => void;
}) {
  const { hook, state, cursor } = props;
  const path = { webhook_id: hook.webhook_id };
  const question = `${props.round} ${hook.due} ${hook.dead} ${hook.delivered}`;
  const { value, failure, again, renew } = useAsked(question, (signal) => {
    const query = { state, limit: MOST, ...(cursor && { cursor }) };
    const to = { path, query };
    return ask(api.GET("/v1/webhooks/{webhook_id}/deliveries", { params: to, signal }));
  });
  const { act, wrong, press } = useActing();
  const replay = (delivery_ids?: string[]): Promise<void> =>
    act(async () => {
      const body = { ...(delivery_ids && { delivery_ids }) };
      const { replayed } = await ask(
        api.POST("/v1/webhooks/{webhook_id}:replay", { params: { path }, body }),
      );
      say(t("hook.replayed", { n: number(replayed) }));
      props.changed();
      await renew();
    });
  return (
    <>
      {state === "dead" && hook.dead > 0 && (
        <p class="actions">
          <button {...press(() => replay())}>
            {t("hook.replay.all", { n: number(hook.dead) })}
          </button>
        </p>
      )}
      {wrong && <Problem failure={wrong} />}
      {failure && <Problem failure={failure} again={again} />}
      {!value && !failure && <Loading />}
      {value && !value.deliveries.length && <Empty title={t(`hook.${state}.none`)} />}
      {value && value.deliveries.length > 0 && (
        <Table
          name={t("hook.messages")}
          columns={[t("run.when"), t("run.what"), [t("hook.attempts"), "number"], t("hook.last")]}
        >
          {value.deliveries.map((one) => (
            <tr key={one.delivery_id}>
              <td>{time(one.event_at)}</td>
              <th scope="row" class="words">
                {one.kind} <span class="id quiet wide">{one.event_id}</span>
              </th>
              <td class="number">{number(one.attempts)}</td>
              <td>
                {one.last_at !== null && time(one.last_at)} {one.last_status}{" "}
                <Words value={one.last_error ?? ""} />
                {one.next_at !== null && (
                  <span class="quiet"> {t("hook.next", { time: time(one.next_at) })}</span>
                )}
              </td>
              <td>
                {state === "dead" && (
                  <button {...press(() => replay([one.delivery_id]))}>
                    {t("hook.replay")}
                    <span class="unseen"> {one.event_id}</span>
                  </button>
                )}
              </td>
            </tr>
          ))}
        </Table>
      )}
      <NextPage next={value?.next_cursor} />
    </>
  );
}
