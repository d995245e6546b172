/** One webhook: how it does, what is done with it, and its messages. */
import { useState } from "preact/hooks";
import { useAsked } from "../../../api/asked";
import { api, ask, type Schemas } from "../../../api/client";
import { number, t, time } from "../../../i18n";
import { Secret } from "../../../parts/secret";
import { Loading, Problem } from "../../../parts/states";
import { Sure } from "../../../parts/sure";
import { Words } from "../../../parts/words";
import { useActing, useOnce } from "../../../state/acting";
import { goFromHere, hrefOf } from "../../../state/location";
import { say } from "../../../state/saying";
import { Deliveries } from "./deliveries";

type Hook = Schemas["WebhookOut"];

export function OneWebhook({ id }: { id: string }) {
  const params = { path: { webhook_id: id } };
  const { value, failure, again, renew } = useAsked(id, (signal) =>
    ask(api.GET("/v1/webhooks/{webhook_id}", { params, signal })),
  );
  const [secret, setSecret] = useState<string | null>(null);
  const [asking, setAsking] = useState<"rotate" | "delete" | null>(null);
  const { act, wrong, forget, acting, press } = useActing();
  const once = useOnce();
  /** What somebody else did meanwhile is shown, as is what was done. */
  const change = (work: () => Promise<void>): Promise<void> =>
    act(async () => {
      try {
        await work();
      } finally {
        await renew();
      }
    });
  const begin = (what: "rotate" | "delete"): void => {
    forget();
    setAsking(what);
  };
  const header = { "if-match": `"${value?.version}"` };
  const turn = (enabled: boolean): Promise<void> =>
    change(async () => {
      const to = { ...params, header };
      await ask(api.PATCH("/v1/webhooks/{webhook_id}", { params: to, body: { enabled } }));
      say(t(enabled ? "hook.turned.on" : "hook.turned.off"));
    });
  const ping = (): Promise<void> =>
    change(async () => {
      const tested = await ask(api.POST("/v1/webhooks/{webhook_id}:test", { params }));
      say(
        tested.delivered
          ? t("hook.ping.arrived", { status: tested.status ?? "" })
          : t("hook.ping.failed", { why: tested.error ?? "" }),
      );
    });
  const rotate = (): Promise<void> =>
    change(async () => {
      const made = await once(id, (name) => {
        const to = { ...params, header: { "idempotency-key": name } };
        return ask(api.POST("/v1/webhooks/{webhook_id}:rotate", { params: to }));
      });
      setAsking((now) => (now === "rotate" ? null : now));
      setSecret(made.secret);
    });
  const drop = (): Promise<void> =>
    act(async () => {
      const go = goFromHere();
      const to = { ...params, header };
      await ask(api.DELETE("/v1/webhooks/{webhook_id}", { params: to }));
      go("running", new URLSearchParams({ tab: "webhooks" }));
    });
  const back = (
    <p class="actions">
      <a class="button" href={hrefOf("running", new URLSearchParams({ tab: "webhooks" }))}>
        {t("hook.all")}
      </a>
    </p>
  );
  const problem = failure && <Problem failure={failure} again={again} />;
  if (!value) {
    return (
      <>
        {back}
        {problem ?? <Loading />}
      </>
    );
  }
  return (
    <>
      {back}
      {problem}
      <h2>
        <Words value={value.url} />
      </h2>
      <div class="toolbar">
        <button {...press(() => turn(!value.enabled))}>
          {t(value.enabled ? "hook.turn.off" : "hook.turn.on")}
        </button>
        <button {...press(ping)}>{t("hook.ping")}</button>
        <button type="button" disabled={acting} onClick={() => begin("rotate")}>
          {t("hook.rotate")}
        </button>
        <span class="spring" />
        <button type="button" class="danger" disabled={acting} onClick={() => begin("delete")}>
          {t("hook.delete")}
        </button>
      </div>
      {wrong && asking === null && <Problem failure={wrong} />}
      <State hook={value} />
      <Deliveries hook={value} changed={again} />
      {asking === "rotate" && (
        <Sure
          title={t("hook.rotate")}
          label={t("hook.rotate")}
          isActing={acting}
          wrong={wrong}
          act={() => void rotate()}
          close={() => setAsking(null)}
        >
          <p>{t("hook.rotate.sure")}</p>
        </Sure>
      )}
      {asking === "delete" && (
        <Sure
          title={t("hook.delete")}
          label={t("hook.delete")}
          isActing={acting}
          wrong={wrong}
          act={() => void drop()}
          close={() => setAsking(null)}
        >
          <p>{t("hook.delete.sure")}</p>
        </Sure>
      )}
      {secret !== null && (
        <Secret title={t("hook.rotate")} secret={secret} close={() => setSecret(null)}>
          <p>{t("hook.rotated")}</p>
        </Secret>
      )}
    </>
  );
}

function State({ hook }: { hook: Hook }) {
  const rows: [string, string | null][] = [
    [t("hook.description"), hook.description || null],
    [t("hook.kinds"), hook.kinds.join(", ")],
    [t("hook.due"), number(hook.due)],
    [t("hook.delivered"), number(hook.delivered)],
    [t("hook.dead"), number(hook.dead)],
    [t("hook.missed"), hook.missed ? number(hook.missed) : null],
    [t("hook.success"), hook.last_success_at ? time(hook.last_success_at) : null],
    [
      t("hook.failure"),
      hook.last_failure_at ? `${time(hook.last_failure_at)}: ${hook.last_failure}` : null,
    ],
    [t("hook.previous"), hook.previous_secret_until ? time(hook.previous_secret_until) : null],
  ];
  return (
    <>
      {!hook.enabled && (
        <p class="notice">
          {t("hook.off.because", { why: hook.disabled_because ?? t("hook.off.byHand") })}
        </p>
      )}
      <dl class="state">
        {rows.map(
          ([name, value]) =>
            value !== null && (
              <div key={name}>
                <dt>{name}</dt>
                <dd>
                  <Words value={value} />
                </dd>
              </div>
            ),
        )}
      </dl>
    </>
  );
}
