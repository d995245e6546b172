/** One streamer of the list: what can be done with it, why it is there, and its profile. */
import { useLayoutEffect, useRef } from "preact/hooks";
import { Failure } from "../../api/client";
import { streamer } from "../../api/profiles";
import { t } from "../../i18n";
import { Modalities, Name, Profile } from "../../parts/profile";
import { go, hrefOf } from "../../state/location";
import { change, type Hit, type Question } from "./question";
import { ReasonsInFull } from "./reasons";

export function Panel(props: {
  id: string;
  hit: Hit | undefined;
  question: Question;
  setCurrent: (id: string) => void;
  exclude: (id: string) => void;
  close: () => void;
}) {
  const { id, hit, question, close } = props;
  const known = streamer(id).value;
  const heading = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => heading.current?.focus(), [id]);
  const isSeed = question.like.includes(id);
  const seed = nearestOf(hit, question);
  return (
    <aside
      class="panel"
      aria-labelledby="panel-title"
      onFocusIn={() => props.setCurrent(id)}
      onKeyDown={(event) => event.key === "Escape" && close()}
    >
      <div class="panel-head">
        <h2 id="panel-title" ref={heading} tabIndex={-1}>
          <Name known={known} id={id} />
        </h2>
        <button type="button" class="plain" onClick={close}>
          {t("app.close")}
        </button>
      </div>
      <p class="id quiet">{id}</p>
      <p class="actions">
        <button type="button" onClick={() => go("find", new URLSearchParams({ like: id }))}>
          {t("find.similar")}
        </button>
        {!isSeed && (
          <>
            <button
              type="button"
              onClick={() =>
                change({
                  like: [...question.like, id],
                  unlike: question.unlike.filter((other) => other !== id),
                })
              }
            >
              {t("find.more.like")}
            </button>
            <button
              type="button"
              onClick={() => change({ unlike: [...new Set([...question.unlike, id])] })}
            >
              {t("find.less.like")}
            </button>
            <button type="button" onClick={() => props.exclude(id)}>
              {t("find.exclude")} <kbd>e</kbd>
            </button>
          </>
        )}
        {seed && seed !== id && (
          <a class="button" href={hrefOf("compare", new URLSearchParams({ a: seed, b: id }))}>
            {t("find.compare")}
          </a>
        )}
        <a class="button" href={hrefOf("duplicates", new URLSearchParams({ of: id }))}>
          {t("find.copies")}
        </a>
      </p>
      {hit?.reasons && <ReasonsInFull reasons={hit.reasons} />}
      {known !== null && !(known instanceof Failure) && (
        <section aria-labelledby="pieces-title">
          <h3 id="pieces-title">{t("profile.pieces")}</h3>
          <Modalities states={known.modalities} />
        </section>
      )}
      <section aria-label={t("profile.of", { id })}>
        <Profile known={known} />
      </section>
    </aside>
  );
}

function nearestOf(hit: Hit | undefined, question: Question): string | undefined {
  const nearest = hit?.reasons?.nearest_seed;
  return nearest && question.like.includes(nearest) ? nearest : question.like[0];
}
