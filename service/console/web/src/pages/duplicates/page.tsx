/** Duplicates: groups of accounts that show the same, reviewed a pair at a time. */
import { useEffect } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask } from "../../api/client";
import { streamer } from "../../api/profiles";
import { number, t, time } from "../../i18n";
import { Name } from "../../parts/profile";
import { Empty, Loading, Problem } from "../../parts/states";
import { changed, go, hrefOf, place } from "../../state/location";
import { Review } from "./review";

export default function DuplicatesPage() {
  const { params } = place.value;
  const group = params.get("group");
  const of = params.get("of");
  const members = params.get("members");
  return (
    <div class="duplicates">
      <h1 class="unseen">{t("dup.title")}</h1>
      <Groups chosen={group} />
      <section class="review" aria-label={t("dup.title")}>
        {of && !group && <GroupOf id={of} />}
        {group && <Review key={`${group} ${members}`} groupId={group} cursor={members} />}
        {!group && !of && <Empty title={t("dup.choose")} remedy={t("dup.choose.remedy")} />}
      </section>
    </div>
  );
}

/** Goes on to the group of a streamer. */
function GroupOf({ id }: { id: string }) {
  const { value, failure, again } = useAsked(id, (signal) => {
    const path = { streamer_id: id };
    return ask(api.GET("/v1/streamers/{streamer_id}/duplicates", { params: { path }, signal }));
  });
  const found = value?.group?.group_id;
  useEffect(() => {
    if (found) go("duplicates", changed({ of: null, group: found }), true);
  }, [found]);
  if (failure) return <Problem failure={failure} again={again} />;
  if (!value || found) return <Loading />;
  return <Empty title={t("dup.alone", { id })} />;
}

/** The name of the member that stands for a group. */
function Representative({ id }: { id: string | null }) {
  return id === null ? null : (
    <span class="words">
      <Name known={streamer(id).value} id={id} />
    </span>
  );
}

function Groups({ chosen }: { chosen: string | null }) {
  const { params } = place.value;
  const order = params.get("order") === "newest" ? "newest" : "size";
  const cursor = params.get("cursor");
  const { value, failure, waiting, again } = useAsked(`${order} ${cursor}`, (signal) => {
    const query = { order, limit: 50, ...(cursor && { cursor }) } as const;
    return ask(api.GET("/v1/duplicates", { params: { query }, signal }));
  });
  const link = (group: string): string =>
    hrefOf("duplicates", changed({ group, of: null, members: null }));
  return (
    <nav class="groups" aria-label={t("dup.groups")}>
      <label>
        {t("dup.order")}{" "}
        <select
          value={order}
          onChange={(event) =>
            go("duplicates", changed({ order: event.currentTarget.value, cursor: null }))
          }
        >
          {(["size", "newest"] as const).map((name) => (
            <option key={name} value={name}>
              {t(`dup.order.${name}`)}
            </option>
          ))}
        </select>
      </label>
      {failure && <Problem failure={failure} again={again} />}
      {waiting && !value && <Loading />}
      {value?.evaluated_sequence === null && <p class="notice">{t("dup.pending")}</p>}
      {value && !value.groups.length && value.evaluated_sequence !== null && (
        <Empty title={t("dup.none")} remedy={t("dup.none.remedy")} />
      )}
      <ul>
        {value?.groups.map((group) => (
          <li key={group.group_id}>
            <a
              href={link(group.group_id)}
              aria-current={group.group_id === chosen ? "true" : undefined}
            >
              <Representative id={group.representative} />
              <span>{t("dup.members", { n: number(group.size) })}</span>
              <span class="quiet">{time(group.updated_at)}</span>
            </a>
          </li>
        ))}
      </ul>
      {value?.next_cursor && (
        <a class="button" href={hrefOf("duplicates", changed({ cursor: value.next_cursor }))}>
          {t("run.page.next")}
        </a>
      )}
      {cursor && (
        <a class="button" href={hrefOf("duplicates", changed({ cursor: null }))}>
          {t("run.page.first")}
        </a>
      )}
    </nav>
  );
}
