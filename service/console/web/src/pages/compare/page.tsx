/** Compare: are two accounts the same, and what each channel of evidence adds. */
import { useEffect, useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask } from "../../api/client";
import { streamer } from "../../api/profiles";
import { t } from "../../i18n";
import { Profile, Name } from "../../parts/profile";
import { Empty, Loading, Problem } from "../../parts/states";
import { marksOf, Verdict, Waterfall } from "../../parts/waterfall";
import { changed, go, hrefOf, place } from "../../state/location";
import { StreamerField } from "../find/streamer_field";

export default function ComparePage() {
  const { params } = place.value;
  const a = params.get("a") ?? "";
  const b = params.get("b") ?? "";
  const { value, failure, waiting, again } = useAsked(a && b ? `${a} ${b}` : null, (signal) =>
    ask(
      api.POST("/v1/compare", {
        body: { a: { streamer_id: a }, b: { streamer_id: b }, without: [] },
        signal,
      }),
    ),
  );
  const marks = marksOf(value);
  return (
    <div class="compare">
      <h1>{t("compare.title")}</h1>
      <Pair a={a} b={b} />
      {!(a && b) && <Empty title={t("compare.start")} remedy={t("compare.start.remedy")} />}
      {failure && <Problem failure={failure} again={again} />}
      {waiting && <Loading />}
      {value && !failure && !waiting && (
        <section>
          <Verdict found={value} />
          {value.warnings.map((warning) => (
            <p key={warning} class="notice">
              {warning}
            </p>
          ))}
          <Waterfall found={value} />
          <p class="quiet">{t("dup.equal")}</p>
          <div class="two">
            <Side id={a} marked={marks.a} />
            <Side id={b} marked={marks.b} />
          </div>
        </section>
      )}
    </div>
  );
}

export function Side({ id, marked }: { id: string; marked: Map<string, string[]> }) {
  const known = streamer(id).value;
  return (
    <article class="side" aria-label={t("profile.of", { id })}>
      <h2>
        <a href={hrefOf("find", new URLSearchParams({ like: id }))}>
          <Name known={known} id={id} />
        </a>
      </h2>
      <p class="id quiet">{id}</p>
      <Profile known={known} marked={marked} />
    </article>
  );
}

function Pair(props: { a: string; b: string }) {
  const [a, setA] = useState(props.a);
  const [b, setB] = useState(props.b);
  useEffect(() => {
    setA(props.a);
    setB(props.b);
  }, [props.a, props.b]);
  return (
    <form
      class="pair-form"
      onSubmit={(event) => {
        event.preventDefault();
        go("compare", changed({ a: a.trim(), b: b.trim() }));
      }}
    >
      {(
        [
          ["a", a, setA],
          ["b", b, setB],
        ] as const
      ).map(([name, value, set]) => (
        <StreamerField
          key={name}
          name={name}
          label={t(`compare.${name}`)}
          value={value}
          isSearch={name === "a"}
          isRequired
          set={set}
        />
      ))}
      <button type="submit" class="primary">
        {t("compare.enter")}
      </button>
    </form>
  );
}
