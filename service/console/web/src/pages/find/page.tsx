/** Find: streamers similar to seeds. The URL has the whole question. */
import { useEffect, useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import type { Failure } from "../../api/client";
import { contentOf, streamer } from "../../api/profiles";
import { number, t } from "../../i18n";
import { CopyButton } from "../../parts/copy_button";
import { Empty, Loading, Problem } from "../../parts/states";
import { useKeys } from "../../state/keyboard";
import { changed, go, place } from "../../state/location";
import { say } from "../../state/saying";
import { csvOf, download } from "./csv";
import { Filters } from "./filters";
import { Panel } from "./panel";
import { bodyOf, change, COUNTS, curlOf, find, questionOf, type Found, type Hit } from "./question";
import { reasonsText } from "./reasons";
import { Results } from "./results";
import { Seeds } from "./seeds";
import { Threshold } from "./threshold";

export function FindPage() {
  const question = questionOf(place.value.params);
  const opened = place.value.params.get("open");
  const [current, setCurrent] = useState(-1);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const asked = question.like.length ? JSON.stringify(bodyOf(question, false)) : null;
  const { value: found, failure, waiting, again } = useAsked(asked, (s) => find(question, s));
  const hits = found?.hits ?? [];

  useEffect(() => setCurrent(-1), [asked]);
  const open = (id: string | null): void => go("find", changed({ open: id }), true);
  const exclude = (ids: string[]): void => {
    go("find", changed({ exclude: [...question.exclude, ...ids].join(","), open: null }));
    setSelected(new Set());
    say(t("find.excluded", { n: ids.length }));
  };
  const undo = (): void => {
    if (question.exclude.length) change({ exclude: question.exclude.slice(0, -1) });
  };
  const move = (step: number): void => {
    const row = Math.min(Math.max(current + step, 0), hits.length - 1);
    setCurrent(row);
    focusRow(row);
  };
  useKeys({
    "/": () => document.getElementById("like")?.focus(),
    j: () => move(1),
    k: () => move(-1),
    e: () => {
      const id = opened ?? hits[current]?.streamer_id;
      if (id) exclude([id]);
    },
    z: undo,
  });

  const rows = hits.filter((hit) => !selected.size || selected.has(hit.streamer_id));
  return (
    <div class={opened ? "find with-panel" : "find"}>
      <div class="list">
        <h1 class="unseen">{t("find.title")}</h1>
        <Ask found={found} hits={hits} />
        {failure && <Refused failure={failure} again={again} />}
        {asked === null && <Empty title={t("find.start")} remedy={t("find.start.remedy")} />}
        {waiting && !found && <Loading />}
        {found && !failure && (
          <section aria-busy={waiting} class={waiting ? "stale" : ""}>
            <div class="toolbar">
              <span>{t("find.results", { n: number(hits.length) })}</span>
              <span class="quiet">{t("find.took", { ms: found.took_ms.toFixed(0) })}</span>
              <span class="spring" />
              {selected.size > 0 && (
                <>
                  <span>{t("find.selected", { n: selected.size })}</span>
                  <button type="button" onClick={() => exclude([...selected])}>
                    {t("find.exclude")}
                  </button>
                </>
              )}
              <button type="button" disabled={!rows.length} onClick={() => save(rows)}>
                {t("find.download")}
              </button>
              <CopyButton
                text={() => curlOf(question)}
                label={t("find.curl")}
                done={t("find.curl.done")}
              />
            </div>
            {question.exclude.length > 0 && (
              <p class="notice">
                {t("find.excluded", { n: question.exclude.length })}{" "}
                <button type="button" class="plain" onClick={undo}>
                  {t("find.exclude.undo")} <kbd>z</kbd>
                </button>
              </p>
            )}
            <Warnings found={found} explainable={question.count <= 50} />
            {hits.length ? (
              <Results
                hits={hits}
                current={current}
                opened={opened}
                selected={selected}
                select={(ids, on) => {
                  const next = new Set(selected);
                  for (const id of ids) on ? next.add(id) : next.delete(id);
                  setSelected(next);
                }}
                open={(id, row) => {
                  setCurrent(row);
                  open(id === opened ? null : id);
                }}
              />
            ) : (
              <Empty title={t("find.nobody")} remedy={t("find.nobody.remedy")} />
            )}
          </section>
        )}
      </div>
      {opened && (
        <Panel
          id={opened}
          hit={hits.find((hit) => hit.streamer_id === opened)}
          question={question}
          exclude={(id) => exclude([id])}
          close={() => {
            open(null);
            focusRow(current);
          }}
        />
      )}
    </div>
  );
}

function focusRow(row: number): void {
  document.querySelector<HTMLElement>(`[data-row="${row}"]`)?.focus();
}

/** The question: seeds, how many, precision, filters. */
function Ask({ found, hits }: { found: Found | null; hits: Hit[] }) {
  const question = questionOf(place.value.params);
  const profiles = hits.flatMap((hit) => contentOf(streamer(hit.streamer_id).value) ?? []);
  return (
    <div class="ask">
      <Seeds
        name="like"
        label={t("find.like")}
        hint={t("find.like.hint")}
        ids={question.like}
        set={(like) => change({ like })}
      />
      <Seeds
        name="unlike"
        label={t("find.unlike")}
        hint={t("find.unlike.hint")}
        ids={question.unlike}
        set={(unlike) => change({ unlike })}
      />
      <div class="shape">
        <label>
          {t("find.count")}{" "}
          <select
            value={String(question.count)}
            onChange={(event) => change({ count: Number(event.currentTarget.value) })}
          >
            {[...new Set([...COUNTS, question.count])]
              .sort((x, y) => x - y)
              .map((count) => (
                <option key={count} value={String(count)}>
                  {count}
                </option>
              ))}
          </select>
        </label>
        <Threshold question={question} answer={found} />
      </div>
      <Filters conditions={question.conditions} profiles={profiles} />
    </div>
  );
}

function Warnings({ found, explainable }: { found: Found; explainable: boolean }) {
  return (
    <>
      {(found.warnings ?? []).map((warning) => (
        <p key={warning} class="notice">
          <bdi class="words">{warning}</bdi>
        </p>
      ))}
      {!found.complete && (
        <p class="notice">{t("find.incomplete", { why: found.incomplete_because ?? "" })}</p>
      )}
      {!found.explained && explainable && <p class="notice">{t("find.unexplained")}</p>}
    </>
  );
}

/** A refusal; a seed that is not stored can be taken out where it is named. */
function Refused({ failure, again }: { failure: Failure; again: () => void }) {
  const question = questionOf(place.value.params);
  const seeds = { positive: question.like, negative: question.unlike } as const;
  const wrong = (failure.problem?.errors ?? []).flatMap(({ pointer }) => {
    const named = /^\/(positive|negative)\/(\d+)\b/.exec(pointer ?? "");
    return named ? (seeds[named[1] as keyof typeof seeds][Number(named[2])] ?? []) : [];
  });
  const without = (ids: string[]): string[] => ids.filter((id) => !wrong.includes(id));
  return (
    <Problem failure={failure} again={again}>
      {wrong.length > 0 && (
        <button
          type="button"
          onClick={() => change({ like: without(question.like), unlike: without(question.unlike) })}
        >
          {t("find.remove", { id: wrong.join(", ") })}
        </button>
      )}
    </Problem>
  );
}

function save(hits: Hit[]): void {
  const head = ["rank", "streamer_id", "name", "category", "language", "score", "precision", "why"];
  const rows = hits.map((hit) => {
    const content = contentOf(streamer(hit.streamer_id).value);
    return [
      hit.rank,
      hit.streamer_id,
      content?.name,
      content?.category,
      content?.language,
      hit.score,
      hit.precision,
      reasonsText(hit.reasons),
    ];
  });
  download("similar-streamers.csv", csvOf([head, ...rows]));
}
