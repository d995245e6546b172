/** Neighbours of a newcomer, its audience, and how sure the prediction is. */
import { useEffect, useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, type Schemas } from "../../api/client";
import { streamer } from "../../api/profiles";
import { colon, named, percent, t } from "../../i18n";
import { Modalities, Name } from "../../parts/profile";
import { Empty, Loading, Problem } from "../../parts/states";
import { Words } from "../../parts/words";
import { changed, go, hrefOf, place } from "../../state/location";
import { StreamerField } from "../find/streamer_field";

type Placed = Schemas["ColdStartOut"];
const NEIGHBOURS = 20;
const USERS = 20;
const MOST_VIA = 3;

/** A profile in a text: without its id, which a body of this route does not have. */
function profileIn(text: string): Schemas["StreamerContent"] {
  const { streamer_id: _, ...profile } = JSON.parse(text) as Record<string, unknown>;
  return profile as unknown as Schemas["StreamerContent"]; // as the service checks
}

export function Placing() {
  const id = place.value.params.get("id") ?? "";
  const [pasted, setPasted] = useState("");
  useEffect(() => {
    if (id) setPasted(""); // such as by going back
  }, [id]);
  const asked = pasted || id || null;
  const { value, failure, waiting, again } = useAsked(asked, (signal) => {
    const who = pasted ? { profile: profileIn(pasted) } : { streamer_id: id };
    const body = { ...who, neighbours: NEIGHBOURS, users: USERS };
    return ask(api.POST("/v1/cold-start", { body, signal }));
  });
  return (
    <>
      <Newcomer
        id={id}
        take={(id, text) => {
          setPasted(text);
          go("newcomer", changed({ id: text ? null : id }));
        }}
      />
      {failure && <Problem failure={failure} again={again} />}
      {!asked && <Empty title={t("new.start")} remedy={t("new.start.remedy")} />}
      {waiting && <Loading />}
      {value && !failure && !waiting && <Shown placed={value} />}
    </>
  );
}

function Newcomer(props: { id: string; take: (id: string, text: string) => void }) {
  const [id, setId] = useState(props.id);
  const [text, setText] = useState("");
  const [wrong, setWrong] = useState("");
  useEffect(() => {
    if (props.id) setId(props.id);
  }, [props.id]);
  return (
    <form
      class="new-key"
      onSubmit={(event) => {
        event.preventDefault();
        try {
          if (text.trim()) profileIn(text);
          setWrong("");
          props.take(id.trim(), text.trim());
        } catch (error) {
          setWrong(t("new.notJson", { why: String(error) }));
        }
      }}
    >
      <StreamerField
        name="newcomer"
        label={t("new.id")}
        value={id}
        isSearch
        isRequired={false}
        set={(typed) => {
          setId(typed);
          setText("");
        }}
        take={(chosen) => {
          setText("");
          props.take(chosen, "");
        }}
      />
      <span>{t("new.or")}</span>
      <label class="wider">
        {t("new.profile")}{" "}
        <textarea
          rows={2}
          spellcheck={false}
          placeholder={t("new.profile.hint")}
          value={text}
          onInput={(event) => {
            setText(event.currentTarget.value);
            setId("");
          }}
        />
      </label>
      <button type="submit" class="primary" disabled={!id.trim() && !text.trim()}>
        {t("new.place")}
      </button>
      {wrong && (
        <span class="wrong" role="alert">
          {wrong}
        </span>
      )}
    </form>
  );
}

function Shown({ placed }: { placed: Placed }) {
  const { neighbours, fallback } = placed;
  return (
    <>
      {fallback.used && (
        <p class="notice">
          {t("new.fallback", { why: named("new.fallback", fallback.reason ?? "") })}
        </p>
      )}
      {!placed.complete && (
        <p class="notice">{t("find.incomplete", { why: placed.incomplete_because ?? "" })}</p>
      )}
      <Prediction placed={placed} />
      <p class="quiet">{t("new.coverage", { percent: percent(placed.coverage) })}</p>
      <Modalities states={placed.modalities as Record<string, string>} />
      {neighbours.length ? (
        <table>
          <caption class="unseen">{t("new.neighbours")}</caption>
          <thead>
            <tr>
              <th scope="col">{t("find.who")}</th>
              <th scope="col" class="number">
                {t("new.weight")}
              </th>
              <th scope="col" class="number">
                {t("find.score")}
              </th>
              <th scope="col">{t("new.via")}</th>
            </tr>
          </thead>
          <tbody>
            {neighbours.map((one) => (
              <Neighbour key={one.streamer_id} neighbour={one} />
            ))}
          </tbody>
        </table>
      ) : (
        <Empty title={t("new.neighbours.none")} />
      )}
      <Audience placed={placed} />
    </>
  );
}

function Prediction({ placed }: { placed: Placed }) {
  const predicted = placed.id_embedding;
  if (!predicted) {
    return <p>{t("new.noVector", { why: placed.id_embedding_unavailable_because ?? "" })}</p>;
  }
  const { generation, confidence } = predicted;
  const sure =
    confidence === null
      ? t("new.unsure", { why: predicted.confidence_withheld_because ?? "" })
      : t("new.confidence", { confidence: confidence.toFixed(2) });
  return (
    <p>
      <strong>
        {t("new.space", {
          space: generation ? `${predicted.space}, ${generation}` : predicted.space,
        })}
      </strong>
      {colon() + named("new.source", predicted.source)} · {sure}{" "}
      <span class="quiet words">{predicted.method}</span>
    </p>
  );
}

/** Users of the recommender who are likely interested. */
function Audience({ placed }: { placed: Placed }) {
  const { users, users_unavailable_because: why } = placed;
  return (
    <section aria-labelledby="audience">
      <h2 id="audience">{t("new.audience")}</h2>
      {!users?.length && <p class="quiet words">{why ?? t("new.audience.none")}</p>}
      {users && users.length > 0 && (
        <ol class="chips">
          {users.map((user) => (
            <li key={user.user_id} class="chip" title={user.score.toFixed(3)}>
              <Words value={user.user_id} />
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

function Neighbour({ neighbour }: { neighbour: Placed["neighbours"][number] }) {
  const { streamer_id: id, via } = neighbour;
  const others = via.filter((other) => other !== id);
  return (
    <tr>
      <th scope="row">
        <a href={hrefOf("find", new URLSearchParams({ like: id }))}>
          <Name known={streamer(id).value} id={id} />
        </a>{" "}
        <span class="id quiet">{id}</span>
      </th>
      <td class="number">{percent(neighbour.weight)}</td>
      <td class="number">{neighbour.score?.toFixed(3) ?? "–"}</td>
      <td>
        <Words value={others.slice(0, MOST_VIA).join(", ") || t("new.itself")} />
      </td>
    </tr>
  );
}
