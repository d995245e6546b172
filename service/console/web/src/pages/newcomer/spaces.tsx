/** Spaces that the recommender handed over: generations with their checks, promoted, rolled back. */
import { useAsked } from "../../api/asked";
import { api, ask, type Schemas } from "../../api/client";
import { named, number, t, time } from "../../i18n";
import { Empty, Loading, Problem } from "../../parts/states";
import { Table } from "../../parts/table";
import { useActing, type Acting } from "../../state/acting";

type Space = Schemas["SpaceOut"];
type Generation = Schemas["GenerationOut"];

export function Spaces() {
  const { value, failure, again, renew } = useAsked("spaces", (signal) =>
    ask(api.GET("/v1/spaces", { signal })),
  );
  const { act, wrong, press } = useActing();
  const change = (work: () => Promise<unknown>): Promise<void> =>
    act(async () => {
      await work();
      await renew();
    });
  if (failure) return <Problem failure={failure} again={again} />;
  if (!value) return <Loading />;
  if (!value.spaces.length) {
    return <Empty title={t("space.none")} remedy={t("space.none.remedy")} />;
  }
  return (
    <>
      {wrong && <Problem failure={wrong} />}
      {value.spaces.map((space) => (
        <One key={space.space} space={space} press={press} change={change} />
      ))}
    </>
  );
}

function One(props: {
  space: Space;
  press: Acting["press"];
  change: (work: () => Promise<unknown>) => Promise<void>;
}) {
  const { space, press, change } = props;
  const rollBack = (): Promise<void> =>
    change(() => {
      const params = { path: { space: space.space } };
      return ask(api.POST("/v1/spaces/{space}:rollback", { params }));
    });
  const promote = (generation: string): Promise<void> =>
    change(() => {
      const params = { path: { space: space.space, generation } };
      return ask(api.POST("/v1/spaces/{space}/generations/{generation}:promote", { params }));
    });
  return (
    <section aria-label={space.space}>
      <h2>{space.space}</h2>
      <p class="quiet">{t("space.serving", { generation: space.serving ?? t("space.nothing") })}</p>
      {space.problem && <p class="problem">{t("space.problem", { why: space.problem })}</p>}
      {space.previous && (
        <p class="actions">
          <button {...press(rollBack)}>{t("space.back", { generation: space.previous })}</button>
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
                <button {...press(() => promote(generation.generation))}>
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
            {named("space.check", check.name)}:{" "}
            {t(check.passed === false ? "space.failed" : "space.informs")}
          </span>{" "}
          <span class="words">{check.detail}</span>
        </li>
      ))}
    </ul>
  );
}
