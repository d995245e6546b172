/** Lists: saved questions, run again and again; each run tells who is new. */
import { useAsked } from "../../api/asked";
import { api, ask } from "../../api/client";
import { t, time } from "../../i18n";
import { NextPage } from "../../parts/next_page";
import { Empty, Loading, Problem } from "../../parts/states";
import { Words } from "../../parts/words";
import { changed, hrefOf, place } from "../../state/location";
import { SavedList } from "./saved";

export default function ListsPage() {
  const name = place.value.params.get("list");
  return (
    <div class="duplicates">
      <h1 class="unseen">{t("nav.lists")}</h1>
      <Names chosen={name} />
      <section class="review" aria-label={t("nav.lists")}>
        {name && <SavedList key={name} name={name} />}
        {!name && <Empty title={t("list.choose")} remedy={t("list.choose.remedy")} />}
      </section>
    </div>
  );
}

function Names({ chosen }: { chosen: string | null }) {
  const cursor = place.value.params.get("cursor");
  const { value, failure, again } = useAsked(`lists ${cursor} ${chosen}`, (signal) => {
    const query = { limit: 20, ...(cursor && { cursor }) };
    return ask(api.GET("/v1/lists", { params: { query }, signal }));
  });
  if (failure) return <Problem failure={failure} again={again} />;
  if (!value) return <Loading />;
  return (
    <nav class="groups" aria-label={t("list.saved")}>
      {!value.lists.length && <Empty title={t("list.none")} remedy={t("list.none.remedy")} />}
      <ul>
        {value.lists.map((list) => (
          <li key={list.name}>
            <a
              href={hrefOf("lists", changed({ list: list.name, run: null }))}
              aria-current={list.name === chosen ? "true" : undefined}
            >
              <Words value={list.title || list.name} />
              <span class="quiet">
                {list.name} · {time(list.updated_at)}
              </span>
            </a>
          </li>
        ))}
      </ul>
      <NextPage next={value.next_cursor} />
    </nav>
  );
}
