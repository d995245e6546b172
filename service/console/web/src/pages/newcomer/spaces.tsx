/** Spaces that the recommender handed over: generations with their checks, promoted, rolled back. */
import { useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, Failure, idempotencyKey, type Schemas } from "../../api/client";
import { colon, named, number, t, time } from "../../i18n";
import { Empty, Loading, Problem } from "../../parts/states";
import { Sure } from "../../parts/sure";
import { Table } from "../../parts/table";
import { useActing, type Acting } from "../../state/acting";

type Space = Schemas["SpaceOut"];
type Generation = Schemas["GenerationOut"];

interface Step {
  change: "promote" | "rollback";
  space: Space;
  to: string;
  /** Names the request, which does nothing when it is sent again. */
  name: string;
  /** Whether it may have been done: the service answers with what it did then. */
  wasSent: boolean;
}

export function Spaces() {
  const { value, failure, again, renew } = useAsked("spaces", (signal) =>
    ask(api.GET("/v1/spaces", { signal })),
  );
  const [sure, setSure] = useState<Step | null>(null);
  const { act, wrong, forget, acting, press } = useActing();
  const begin = (change: Step["change"], space: Space, to: string): void => {
    forget();
    const name = idempotencyKey();
    setSure({ change, space, to, name, wasSent: false });
  };
  const take = (step: Step): Promise<void> =>
    act(async () => {
      try {
        await (step.change === "promote" ? promote(step) : rollBack(step));
        setSure((now) => (now === step ? null : now));
      } finally {
        await renew();
      }
    });
  if (!value) return failure ? <Problem failure={failure} again={again} /> : <Loading />;
  if (!value.spaces.length) {
    return <Empty title={t("space.none")} remedy={t("space.none.remedy")} />;
  }
  return (
    <>
      {failure && <Problem failure={failure} again={again} />}
      {wrong && !sure && <Problem failure={wrong} />}
      {value.spaces.map((space) => (
        <One key={space.space} space={space} press={press} begin={begin} />
      ))}
      {sure && (
        <Sure
          title={labelOf(sure)}
          label={labelOf(sure)}
          isActing={acting}
          wrong={wrong}
          act={() => void take(sure)}
          close={() => {
            setSure(null);
            again();
          }}
        >
          <p class="words">
            {t("space.sure", {
              space: sure.space.space,
              from: activeOf(sure.space),
              to: sure.to,
            })}
          </p>
        </Sure>
      )}
    </>
  );
}

function activeOf({ active }: Space): string {
  return active?.generation ?? t("space.nothing");
}

function labelOf({ change, to }: Step): string {
  return change === "promote" ? t("space.promote") : t("space.back", { generation: to });
}

function promote({ space, to, name }: Step): Promise<Space> {
  const path = { space: space.space, generation: to };
  const params = { path, header: { "idempotency-key": name } };
  return ask(api.POST("/v1/spaces/{space}/generations/{generation}:promote", { params }));
}

/** Refuses where another generation is served by now: going back goes back from that one. */
async function checkActive({ space, to }: Step): Promise<void> {
  const path = { space: space.space };
  const now = await ask(api.GET("/v1/spaces/{space}", { params: { path } }));
  if (activeOf(now) === activeOf(space) && now.previous === to) return;
  throw new Failure(409, "changed", t("space.changed", { generation: activeOf(now) }));
}

async function rollBack(step: Step): Promise<Space> {
  const { space, name } = step;
  const path = { space: space.space };
  if (!step.wasSent) await checkActive(step);
  step.wasSent = true;
  const header = { "idempotency-key": name };
  const sent = ask(api.POST("/v1/spaces/{space}:rollback", { params: { path, header } }));
  return sent.catch((error: unknown) => {
    step.wasSent = !Failure.of(error).didNothing;
    throw error;
  });
}

function One(props: {
  space: Space;
  press: Acting["press"];
  begin: (change: Step["change"], space: Space, to: string) => void;
}) {
  const { space, press, begin } = props;
  const { previous } = space;
  return (
    <section aria-label={space.space}>
      <h2>{space.space}</h2>
      <p class="quiet">{t("space.serving", { generation: space.serving ?? t("space.nothing") })}</p>
      {space.problem && <p class="problem">{t("space.problem", { why: space.problem })}</p>}
      {previous && (
        <p class="actions">
          <button {...press(async () => begin("rollback", space, previous))}>
            {t("space.back", { generation: previous })}
          </button>
        </p>
      )}
      <Table
        name={space.space}
        columns={[
          t("space.generation"),
          t("run.state"),
          [t("space.age"), "wide"],
          [t("space.counts"), "number wide"],
          t("space.checks"),
        ]}
      >
        {space.generations.map((generation) => (
          <tr key={generation.generation}>
            <th scope="row" class="words">
              {generation.generation}
            </th>
            <td>{t(`space.state.${generation.state}`)}</td>
            <td class="wide">{time(generation.created_at)}</td>
            <td class="number wide">
              {number(generation.counts.streamers)}, {number(generation.counts.users)}
            </td>
            <td>
              <Checks generation={generation} />
            </td>
            <td>
              {(generation.state === "checked" || generation.state === "previous") && (
                <button {...press(async () => begin("promote", space, generation.generation))}>
                  {t("space.promote")}
                </button>
              )}
            </td>
          </tr>
        ))}
      </Table>
    </section>
  );
}

/** Failed checks and those that only inform; what passed is told in a word. */
function Checks({ generation }: { generation: Generation }) {
  const told = generation.checks.filter((check) => check.passed !== true);
  if (!told.length) return <span class="job succeeded">{t("space.passed")}</span>;
  return (
    <ul>
      {told.map((check) => (
        <li key={check.name}>
          <span class={check.passed === false ? "wrong" : "quiet"}>
            {named("space.check", check.name) + colon()}
            {t(check.passed === false ? "space.failed" : "space.informs")}
          </span>{" "}
          <span class="words">{check.detail}</span>
        </li>
      ))}
    </ul>
  );
}
