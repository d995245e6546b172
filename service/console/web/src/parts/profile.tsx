/** A streamer's profile, as it was written; `marked` has quotes to mark, by place. */
import { useState } from "preact/hooks";
import { Failure } from "../api/client";
import type { Content, Known } from "../api/profiles";
import { named, t, time } from "../i18n";
import { Loading, Problem } from "./states";
import { Picture } from "./picture";
import { Words } from "./words";

export type Marks = Map<string, string[]>;
const NONE: Marks = new Map();
const FEW = 5;

export function Name({ known, id }: { known: Known; id: string }) {
  if (known instanceof Failure) {
    const gone = known.status === 404;
    return <span class="quiet">{gone ? t("profile.gone") : known.message}</span>;
  }
  const name = (known?.profile as Content | undefined)?.name;
  return <Words value={name || id} />;
}

export function Profile({ known, marked = NONE }: { known: Known; marked?: Marks }) {
  if (known === null) return <Loading />;
  if (known instanceof Failure) return <Problem failure={known} />;
  const content = known.profile as Content;
  const at = (place: string): string[] => marked.get(place) ?? [];
  const tags = content.tags ?? [];
  const facts = Object.entries(content.attributes ?? {});
  return (
    <div class="profile">
      {known.status === "insufficient_content" && <p class="notice">{t("profile.insufficient")}</p>}
      <dl>
        {content.avatar && (
          <Row name={t("profile.avatar")}>
            <Picture media={content.avatar} name={t("profile.avatar")} />
          </Row>
        )}
        {content.name && (
          <Row name={t("profile.name")}>
            <Words value={content.name} marked={at("name")} />
          </Row>
        )}
        {content.bio && (
          <Row name={t("profile.bio")}>
            <Words value={content.bio} marked={at("bio")} />
          </Row>
        )}
        {tags.length > 0 && (
          <Row name={t("profile.tags")}>
            <ul class="chips">
              {tags.map((tag, i) => (
                <li key={i} class="chip">
                  <Words value={tag} marked={at(`tags[${i}]`)} />
                </li>
              ))}
            </ul>
          </Row>
        )}
        {content.category && (
          <Row name={t("profile.category")}>
            <Words value={content.category} marked={at("category")} />
          </Row>
        )}
        {content.language && (
          <Row name={t("profile.language")}>
            <Words value={content.language} marked={at("language")} />
          </Row>
        )}
        {facts.length > 0 && (
          <Row name={t("profile.attributes")}>
            <ul class="facts">
              {facts.map(([name, value]) => (
                <li key={name}>
                  <Words value={name} /> <b>{<Words value={String(value)} />}</b>
                </li>
              ))}
            </ul>
          </Row>
        )}
        <Titled kind="videos" items={content.videos ?? []} marked={marked} />
        <Titled kind="lives" items={content.lives ?? []} marked={marked} />
        <Row name={t("profile.updated")}>
          <span class="quiet">{time(known.updated_at)}</span>
        </Row>
      </dl>
    </div>
  );
}

function Row({ name, children }: { name: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

type Item = NonNullable<Content["videos"]>[number] | NonNullable<Content["lives"]>[number];

function Titled(props: { kind: "videos" | "lives"; items: readonly Item[]; marked: Marks }) {
  const { kind, items, marked } = props;
  const [all, setAll] = useState(false);
  if (!items.length) return null;
  // Those with something marked are shown whatever their place.
  const shown = items
    .map((item, i) => ({ item, place: `${kind}[${i}].title` }))
    .filter(({ place }, i) => all || i < FEW || marked.has(place));
  return (
    <Row name={t(kind === "videos" ? "profile.videos" : "profile.lives", { n: items.length })}>
      <ul class="titles">
        {shown.map(({ item, place }) => (
          <li key={place}>
            {(item.cover?.data ?? item.cover?.url) && item.cover && (
              <Picture media={item.cover} name={t("profile.cover")} />
            )}
            <Words value={item.title ?? "—"} marked={marked.get(place) ?? []} />
          </li>
        ))}
      </ul>
      {shown.length < items.length && (
        <button type="button" class="plain" onClick={() => setAll(true)}>
          {t("profile.all", { n: items.length })}
        </button>
      )}
    </Row>
  );
}

/** The state of each modality: used, absent, without information, unreadable. */
export function Modalities({ states }: { states: Record<string, string> }) {
  return (
    <ul class="modalities">
      {Object.entries(states).map(([name, state]) => (
        <li key={name} class={`modality ${state}`} title={named("state", `${state}.help`)}>
          {named("modality", name)} <span class="modality-state">{named("state", state)}</span>
        </li>
      ))}
    </ul>
  );
}
