/** Spaces that the recommender handed over: generations with their checks, promoted, rolled back. */
import { useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, Failure, type Schemas } from "../../api/client";
import { named, number, t, time } from "../../i18n";
import { Empty, Loading, Problem } from "../../parts/states";

type Space = Schemas["SpaceOut"];
type Generation = Schemas["GenerationOut"];
type Act = (work: Promise<unknown>) => void;

export function Spaces() {
  const { value, failure, again } = useAsked("spaces", (signal) =>
    ask(api.GET("/v1/spaces", { signal })),
  );
  const [wrong, setWrong] = useState<Failure | null>(null);
  const act: Act = (work) => {
    setWrong(null);
    work.then(again, (error: unknown) => {
      setWrong(error instanceof Failure ? error : new Failure(0, "unexpected", String(error)));
    });
  };
  if (failure) return <Problem failure={failure} again={again} />;
  if (!value) return <Loading />;
  if (!value.spaces.length) {
    return <Empty title={t("space.none")} remedy={t("space.none.remedy")} />;
  }
  return (
    <>
      {wrong && <Problem failure={wrong} />}
      {value.spaces.map((space) => (
        <One key={space.space} space={space} act={act} />
      ))}
    </>
  );
}

function One({ space, act }: { space: Space; act: Act }) {
  const path = { space: space.space };
  return (
    <section aria-label={space.space}>
      <h2>{space.space}</h2>
      <p class="quiet">{t("space.serving", { generation: space.serving ?? t("space.nothing") })}</p>
      {space.problem && <p class="problem">{t("space.problem", { why: space.problem })}</p>}
      {space.previous && (
        <p class="actions">
          <button
            type="button"
            onClick={() => act(ask(api.POST("/v1/spaces/{space}:rollback", { params: { path } })))}
          >
            {t("space.back", { generation: space.previous })}
          </button>
        </p>
      )}
      <table>
        <caption class="unseen">{space.space}</caption>
        <thead>
          <tr>
            <th scope="col">{t("space.generation")}</th>
            <th scope="col">{t("run.state")}</th>
            <th scope="col" class="wide">
              {t("space.age")}
            </th>
            <th scope="col" class="number wide">
              {t("space.counts")}
            </th>
            <th scope="col">{t("space.checks")}</th>
            <th scope="col">
              <span class="unseen">{t("app.more")}</span>
            </th>
          </tr>
        </thead>
        <tbody>
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
                  <button
                    type="button"
                    onClick={() => act(promote(space.space, generation.generation))}
                  >
                    {t("space.promote")}
                  </button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function promote(space: string, generation: string): Promise<unknown> {
  const params = { path: { space, generation } };
  return ask(api.POST("/v1/spaces/{space}/generations/{generation}:promote", { params }));
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
