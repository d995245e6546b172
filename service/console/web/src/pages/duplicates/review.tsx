/** One group: its pairs two columns at a time, judged by keys. */
import { useRef, useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask } from "../../api/client";
import { named, number, t, type Text } from "../../i18n";
import { isRated, RatingChoice, RatingNotice, RatingSwitch } from "../../rating/shown";
import { NextPage } from "../../parts/next_page";
import { Empty, Loading, Problem } from "../../parts/states";
import { marksOf, Verdict as Found, Waterfall } from "../../parts/waterfall";
import { Words } from "../../parts/words";
import { useActing } from "../../state/acting";
import { useKeys } from "../../state/keyboard";
import { hrefOf } from "../../state/location";
import { useRating } from "../../rating/given";
import { say } from "../../state/saying";
import { Side } from "../compare/page";
import {
  judge,
  judgementOf,
  nameOf,
  review,
  takeBack,
  type Edge,
  type Given,
  type Group,
  type Verdict,
} from "./pairs";

const VERDICTS: [Verdict, string, Text][] = [
  ["same", "x", "dup.same"],
  ["different", "n", "dup.different"],
  ["unsure", "u", "dup.unsure"],
];

interface Step {
  pair: Edge;
  before: Given["before"];
  /** Whether `before` is of another person. */
  isReplaced: boolean;
}

/** `cursor`: of the members whose pairs are shown. */
export function Review({ groupId, cursor }: { groupId: string; cursor: string | null }) {
  const { value, failure, again } = useAsked(`${groupId} ${cursor}`, (signal) =>
    review(groupId, cursor, signal),
  );
  const [given, setGiven] = useState<ReadonlyMap<string, Verdict | null>>(new Map());
  const [steps, setSteps] = useState<Step[]>([]);
  const [chosen, setChosen] = useState<number | null>(null);
  const [notices, setNotices] = useState<string[]>([]);
  /** When this page judged a pair last: what was judged later is another person's. */
  const own = useRef(new Map<string, number>());
  const { act, wrong, acting, press } = useActing();

  const pairs = value?.pairs ?? [];
  const verdictOf = (pair: Edge): Verdict | undefined => {
    const now = given.get(nameOf(pair));
    return now === null ? undefined : (now ?? value?.judged.get(nameOf(pair)));
  };
  const next = pairs.findIndex((pair) => !verdictOf(pair));
  const at = chosen ?? next;
  const pair = pairs[at];
  const rating = useRating(pair ? { positive: [pair.a] } : null, pair ? [pair.b] : []);

  const give = (verdict: Verdict): Promise<void> =>
    act(async () => {
      if (!pair) return;
      const name = nameOf(pair);
      const { at, before, overrules } = await judge(pair, verdict);
      const others = overrules.map((other) => `${other.a} – ${other.b}`).join(", ");
      const isReplaced = before !== null && before.at !== own.current.get(name);
      setNotices([
        ...(isReplaced ? [t("dup.replaces", replaced(before))] : []),
        ...(others ? [t("dup.overrules", { pairs: others })] : []),
      ]);
      own.current.set(name, at);
      setGiven((all) => new Map(all).set(name, verdict));
      setSteps((all) => [...all, { pair, before, isReplaced }]);
      setChosen(null);
      say(t("dup.judged", { a: pair.a, b: pair.b, verdict: t(`dup.${verdict}`) }));
    });
  const undo = (): Promise<void> =>
    act(async () => {
      const last = steps.at(-1);
      if (!last) return;
      const name = nameOf(last.pair);
      const now = await judgementOf(last.pair);
      const isOwn = now !== null && now.at === own.current.get(name);
      const left = isOwn ? await takeBack(last.pair, last.before) : now;
      if (left) own.current.set(name, isOwn && !last.isReplaced ? left.at : NaN);
      setGiven((all) => new Map(all).set(name, left?.verdict ?? null));
      setSteps((all) => all.slice(0, -1));
      setChosen(pairs.indexOf(last.pair));
      setNotices(
        isOwn ? [] : [t(now ? "dup.judgedOver" : "dup.goneOver", now ? replaced(now) : {})],
      );
      if (isOwn) say(t("dup.takenBack", { a: last.pair.a, b: last.pair.b }));
    });
  const move = (step: number): void => {
    if (pairs.length) setChosen((Math.max(at, 0) + step + pairs.length) % pairs.length);
  };
  useKeys({
    x: () => void give("same"),
    n: () => void give("different"),
    u: () => void give("unsure"),
    z: () => void undo(),
    j: () => move(1),
    k: () => move(-1),
  });

  if (failure) return <Problem failure={failure} again={again} />;
  if (!value) return <Loading />;
  if (value.group.state !== "live") return <Gone group={value.group} />;
  return (
    <>
      <div class="toolbar judging">
        <span>{t("dup.members", { n: number(value.group.size) })}</span>
        {pair && <span class="quiet">{t("dup.progress", { n: at + 1, all: pairs.length })}</span>}
        <span class="spring" />
        {pair &&
          VERDICTS.map(([verdict, key, text]) => (
            <button
              key={verdict}
              {...press(() => give(verdict))}
              class={`verdict-button ${verdict}`}
              aria-pressed={verdictOf(pair) === verdict}
            >
              {t(text)} <kbd>{key}</kbd>
            </button>
          ))}
        {pair && <RatingSwitch rating={rating} />}
        {pair && (
          <button type="button" class="plain" onClick={() => move(1)}>
            {t("dup.skip")} <kbd>j</kbd>
          </button>
        )}
        <button {...press(undo)} class="plain" aria-disabled={!steps.length || acting}>
          {t("dup.undo")} <kbd>z</kbd>
        </button>
      </div>
      {wrong && <Problem failure={wrong} />}
      {notices.map((notice) => (
        <p key={notice} class="notice" role="status">
          <Words value={notice} />
        </p>
      ))}
      {pair && <RatingNotice rating={rating} current={pair.b} />}
      {pair && isRated(rating) && (
        <p>
          {t("rate.pair", { a: pair.a, b: pair.b })} <RatingChoice rating={rating} id={pair.b} />
        </p>
      )}
      {pair ? (
        <Pair key={nameOf(pair)} pair={pair} isJudged={verdictOf(pair) !== undefined} />
      ) : (
        <Empty title={t("dup.done")} remedy={t("dup.done.remedy")} />
      )}
      <NextPage next={value.group.next_cursor} name="members" />
    </>
  );
}

function replaced({ verdict, note, key_name }: NonNullable<Given["before"]>) {
  return { verdict: t(`dup.${verdict}`), name: key_name, note: note && ` (${note})` };
}

function Pair({ pair, isJudged }: { pair: Edge; isJudged: boolean }) {
  const { a, b } = pair;
  const { value, failure, again } = useAsked(nameOf(pair), (signal) => {
    const body = { a: { streamer_id: a }, b: { streamer_id: b }, without: [] };
    return ask(api.POST("/v1/compare", { body, signal }));
  });
  const marks = marksOf(value);
  const why = t(pair.bridge ? "dup.because.bridge" : "dup.because.weak");
  return (
    <>
      <p class="quiet">
        {named("compare", pair.kind)} · {t("dup.weight", { weight: pair.weight.toFixed(1) })}
        {!isJudged && ` · ${t("dup.because", { why })}`}
      </p>
      {value && <Found found={value} />}
      <div class="two">
        <Side id={a} marked={marks.a} />
        <Side id={b} marked={marks.b} />
      </div>
      {failure && <Problem failure={failure} again={again} />}
      {value && (
        <details open>
          <summary>{t("compare.waterfall")}</summary>
          <Waterfall found={value} />
        </details>
      )}
    </>
  );
}

function Gone({ group }: { group: Group }) {
  return (
    <Empty title={t("dup.gone", { state: named("dup.state", group.state) })}>
      {group.successors.length ? (
        <p>
          {t("dup.gone.remedy", { groups: "" })}
          {group.successors.map((id) => (
            <a key={id} href={hrefOf("duplicates", new URLSearchParams({ group: id }))}>
              {id}{" "}
            </a>
          ))}
        </p>
      ) : (
        <p>{t("dup.gone.nobody")}</p>
      )}
    </Empty>
  );
}
