/** Find: streamers similar to seeds. The URL has the whole question. */
import { useEffect, useRef, useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import type { Failure } from "../../api/client";
import { number, t } from "../../i18n";
import { RatingNotice, RatingSwitch } from "../../rating/shown";
import { Empty, Loading, Problem } from "../../parts/states";
import { isFirst } from "../../state/acting";
import { useKeys } from "../../state/keyboard";
import { changed, go, place } from "../../state/location";
import { ratedOf, useRating } from "../../rating/given";
import { say } from "../../state/saying";
import { Filters } from "./filters";
import { Panel } from "./panel";
import {
  bodyOf,
  change,
  COUNTS,
  find,
  questionOf,
  SPREADS,
  warningsOf,
  type Found,
} from "./question";
import { Results } from "./results";
import { Seeds } from "./seeds";
import { Shelf } from "./shelf";
import { Threshold } from "./threshold";

export function FindPage() {
  const question = questionOf(place.value.params);
  const opened = place.value.params.get("open");
  // By its id: rows change their places, and a key is for who has the focus, or had it last.
  const [currentId, setCurrentId] = useState<string | null>(null);
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const asked = question.like.length ? JSON.stringify(bodyOf(question, null)) : null;
  const { value: found, failure, waiting, again } = useAsked(asked, (s) => find(question, s));
  const hits = found?.rows ?? [];
  const ids = hits.map((hit) => hit.streamer_id);
  const rating = useRating(ratedOf(bodyOf(question, null)), ids);
  const current = currentId === null ? -1 : ids.indexOf(currentId);
  const target = currentId === opened ? opened : ids[current];
  /** The current one gets the focus once the answer is there: a row that leaves takes it along. */
  const isLookedAt = useRef(false);

  useEffect(() => {
    if (opened) setCurrentId(opened);
  }, [opened]);
  useEffect(() => {
    if (isLookedAt.current && document.activeElement === document.body) focusRow(current);
    isLookedAt.current = false;
  }, [found]);
  const lookNextAt = (id: string | null): void => {
    isLookedAt.current = true;
    setCurrentId(id);
  };
  const open = (id: string | null): void => go("find", changed({ open: id }), true);
  const exclude = (gone: string[]): void => {
    const excluded = [...question.exclude, ...gone];
    const from = ids.findIndex((id) => gone.includes(id));
    const inTurn = [...ids.slice(Math.max(from, 0)), ...ids.slice(0, Math.max(from, 0)).reverse()];
    lookNextAt(inTurn.find((id) => !excluded.includes(id)) ?? null);
    const left = opened !== null && gone.includes(opened) ? null : opened;
    go("find", changed({ exclude: excluded.join(","), open: left }));
    setSelected(new Set());
    say(t("find.excluded", { n: gone.length }));
  };
  const undo = (): void => {
    const back = question.exclude.at(-1);
    if (back === undefined) return;
    lookNextAt(back);
    change({ exclude: question.exclude.slice(0, -1) });
  };
  const move = (step: number): void => {
    const row = Math.min(Math.max(current + step, 0), hits.length - 1);
    setCurrentId(ids[row] ?? null);
    focusRow(row);
  };
  useKeys({
    j: () => move(1),
    k: () => move(-1),
    e: () => {
      if (target) exclude([target]);
    },
    z: undo,
  });

  const chosen = ids.filter((id) => selected.has(id));
  return (
    <div class={opened ? "find with-panel" : "find"}>
      <div class="list">
        <h1 class="unseen">{t("find.title")}</h1>
        <Ask found={found} />
        {failure && <Refused failure={failure} again={again} />}
        {asked === null && <Empty title={t("find.start")} remedy={t("find.start.remedy")} />}
        {waiting && !found && <Loading />}
        {found && !failure && (
          <section aria-busy={waiting} class={waiting ? "stale" : ""}>
            <div class="toolbar">
              <span>{t("find.results", { n: number(hits.length) })}</span>
              <span class="quiet">{t("find.took", { ms: found.took_ms.toFixed(0) })}</span>
              <span class="spring" />
              <RatingSwitch rating={rating} />
              <Shelf question={question} found={found} chosen={chosen} exclude={exclude} />
            </div>
            {question.exclude.length > 0 && (
              <p class="notice">
                {t("find.excluded", { n: question.exclude.length })}{" "}
                <button type="button" class="plain" onClick={(event) => isFirst(event) && undo()}>
                  {t("find.exclude.undo")} <kbd>z</kbd>
                </button>
              </p>
            )}
            <Warnings found={found} />
            <RatingNotice rating={rating} current={target ?? undefined} />
            {hits.length ? (
              <Results
                hits={hits}
                current={currentId}
                setCurrent={setCurrentId}
                opened={opened}
                selected={selected}
                rating={rating}
                select={(ids, on) => {
                  const next = new Set(selected);
                  for (const id of ids) on ? next.add(id) : next.delete(id);
                  setSelected(next);
                }}
                open={(id) => open(id === opened ? null : id)}
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
          setCurrent={setCurrentId}
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
function Ask({ found }: { found: Found | null }) {
  const question = questionOf(place.value.params);
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
        <label class="choice">
          <input
            type="checkbox"
            checked={question.isWithoutCopies}
            onChange={(event) => change({ isWithoutCopies: event.currentTarget.checked })}
          />{" "}
          {t("find.copies.no")}
        </label>
        <label class="choice">
          <input
            type="checkbox"
            checked={question.isUnwritten}
            onChange={(event) => change({ isUnwritten: event.currentTarget.checked })}
          />{" "}
          {t("find.written.no")}
        </label>
        <label>
          {t("find.spread")}{" "}
          <select
            value={String(question.spread ?? "")}
            onChange={(event) => change({ spread: Number(event.currentTarget.value) || null })}
          >
            <option value="">{t("find.spread.any")}</option>
            {[...new Set([...SPREADS, ...(question.spread ? [question.spread] : [])])].map((n) => (
              <option key={n} value={String(n)}>
                {n}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Filters conditions={question.conditions} />
    </div>
  );
}

function Warnings({ found }: { found: Found }) {
  return (
    <>
      {warningsOf(found).map((warning) => (
        <p key={warning} class="notice">
          <bdi class="words">{warning}</bdi>
        </p>
      ))}
      {!found.complete && (
        <p class="notice">{t("find.incomplete", { why: found.incomplete_because ?? "" })}</p>
      )}
      {!found.explained && <p class="notice">{t("find.unexplained")}</p>}
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
