/** Models: their states, what live questions they get, and changing the one that answers. */
import { useState } from "preact/hooks";
import { useAsked } from "../../../api/asked";
import { api, ask, Failure, idempotencyKey, type Schemas } from "../../../api/client";
import { named, percent, t } from "../../../i18n";
import { Loading, Problem } from "../../../parts/states";
import { Sure } from "../../../parts/sure";
import { Table } from "../../../parts/table";
import { Words } from "../../../parts/words";
import { useActing, type Acting } from "../../../state/acting";
import { hrefOf, place } from "../../../state/location";
import { Report } from "./report";

type Model = Schemas["ModelVersionOut"];
type Change = "shadow" | "canary" | "promote" | "rollback";

/** What is asked for; `name`: of the request, which does nothing when it is sent again. */
interface Step {
  change: Change;
  model: Model;
  /** The active model, as it is shown. */
  from: string;
  name: string;
  /** Whether it may have been done: the service answers with what it did then. */
  wasSent: boolean;
}

const READY = new Set<Model["state"]>(["ready", "shadow", "canary"]);
const SHARES = [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1];

export function Models() {
  const shown = place.value.params.get("shadow");
  const { value, failure, again, renew } = useAsked("models", (signal) =>
    ask(api.GET("/v1/models", { signal })),
  );
  const [sure, setSure] = useState<Step | null>(null);
  const { act, wrong, forget, acting, press } = useActing();
  const begin = (change: Change, model: Model): void => {
    forget();
    const name = idempotencyKey();
    setSure({ change, model, from: activeOf(value?.models ?? []), name, wasSent: false });
  };
  const take = (step: Step, share: number): Promise<void> =>
    act(async () => {
      try {
        await asked(step, share);
        setSure((now) => (now === step ? null : now));
      } finally {
        await renew();
      }
    });
  if (!value) return failure ? <Problem failure={failure} again={again} /> : <Loading />;
  return (
    <>
      {failure && <Problem failure={failure} again={again} />}
      {wrong && !sure && <Problem failure={wrong} />}
      <p>{t("models.how")}</p>
      <Table
        name={t("models.title")}
        columns={[
          t("run.model"),
          t("run.state"),
          [t("models.gate"), "wide"],
          [t("models.replicas"), "number wide"],
          [t("models.canary"), "number"],
          [t("models.shadow"), "number wide"],
        ]}
      >
        {value.models.map((model) => (
          <Row key={model.model_version} model={model} press={press} begin={begin} />
        ))}
      </Table>
      {shown && value.models.some((model) => model.model_version === shown) && (
        <Report key={shown} model={shown} />
      )}
      {sure && (
        <Asking
          key={`${sure.change} ${sure.model.model_version}`}
          step={sure}
          acting={acting}
          wrong={wrong}
          act={(share) => void take(sure, share)}
          close={() => {
            setSure(null);
            again();
          }}
        />
      )}
    </>
  );
}

function activeOf(models: Model[]): string {
  return models.find(({ state }) => state === "active")?.model_version ?? "–";
}

/** Refuses a step from a model that is not the active one any more: going back undoes itself. */
async function checkActive(from: string): Promise<void> {
  const active = activeOf((await ask(api.GET("/v1/models"))).models);
  if (active === from) return;
  throw new Failure(409, "changed", t("models.changed", { name: active }));
}

async function asked(step: Step, share: number): Promise<void> {
  const { change, model, from, name } = step;
  const params = { path: { model_id: model.model_version } };
  if (change === "shadow") {
    const body = { sample: share, anew: false };
    await ask(api.POST("/v1/models/{model_id}:shadow", { params, body }));
  } else if (change === "canary") {
    await ask(api.POST("/v1/models/{model_id}:canary", { params, body: { share } }));
  } else if (change === "promote") {
    await ask(api.POST("/v1/models/{model_id}:promote", { params }));
  } else {
    if (!step.wasSent) await checkActive(from);
    step.wasSent = true;
    const header = { "idempotency-key": name };
    await ask(api.POST("/v1/models:rollback", { params: { header } })).catch((error: unknown) => {
      step.wasSent = !Failure.of(error).didNothing;
      throw error;
    });
  }
}

function Row(props: {
  model: Model;
  press: Acting["press"];
  begin: (change: Change, model: Model) => void;
}) {
  const { model, press, begin } = props;
  const { gate, replicas } = model;
  const indexed = replicas.filter((replica) => replica.is_indexed).length;
  const isReady = READY.has(model.state);
  const report = new URLSearchParams({ tab: "models", shadow: model.model_version });
  const changes: Change[] = isReady ? ["shadow", "canary", "promote", "rollback"] : [];
  return (
    <tr>
      <th scope="row">
        <Words value={model.model_version} />{" "}
        {model.folder && <span class="id quiet">{model.folder}</span>}
      </th>
      <td>{named("models.state", model.state)}</td>
      <td class="wide">
        {gate ? named("models.gate", gate.state) : "–"}
        {gate?.reasons.map((reason) => (
          <span key={reason} class="quiet words">
            {" "}
            {reason}
          </span>
        ))}
      </td>
      <td class="number wide">{t("models.of", { n: indexed, all: replicas.length })}</td>
      <td class="number">{share(model.canary_share)}</td>
      <td class="number wide">{share(model.shadow_sample)}</td>
      <td class="actions">
        {isReady && <a href={hrefOf("running", report)}>{t("models.report")}</a>}
        {changes.map((change) => (
          <button key={change} {...press(async () => begin(change, model))}>
            {t(`models.act.${change}`)}
          </button>
        ))}
      </td>
    </tr>
  );
}

function Asking(props: {
  step: Step;
  acting: boolean;
  wrong: Parameters<typeof Sure>[0]["wrong"];
  act: (share: number) => void;
  close: () => void;
}) {
  const { change, model, from } = props.step;
  const now = change === "shadow" ? model.shadow_sample : model.canary_share;
  const [chosen, setChosen] = useState(now);
  const hasShare = change === "shadow" || change === "canary";
  const shares = [...new Set([...SHARES, now])].sort((a, b) => a - b);
  return (
    <Sure
      title={t(`models.act.${change}`)}
      label={t(`models.act.${change}`)}
      isActing={props.acting}
      wrong={props.wrong}
      act={() => props.act(chosen)}
      close={props.close}
    >
      <p class="words">{t(`models.sure.${change}`, { name: model.model_version, from })}</p>
      {hasShare && (
        <label>
          {t(change === "shadow" ? "models.sample" : "models.share")}{" "}
          <select
            value={String(chosen)}
            onChange={(event) => setChosen(Number(event.currentTarget.value))}
          >
            {shares.map((each) => (
              <option key={each} value={String(each)}>
                {each ? percent(each) : t("models.off")}
              </option>
            ))}
          </select>
        </label>
      )}
    </Sure>
  );
}

function share(value: number): string {
  return value ? percent(value) : "–";
}
