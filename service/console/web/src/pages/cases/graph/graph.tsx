/** A case's members and edges as a graph of branches; the tables beside it say the same. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { contentOf, streamer } from "../../../api/profiles";
import { number, t } from "../../../i18n";
import { useKeys } from "../../../state/keyboard";
import { theme } from "../../../state/preferences";
import type { Edge } from "../board";
import type { Member } from "../members";
import {
  branchesOf,
  drawnOf,
  lineOf,
  nodeOf,
  standingFor,
  type Branches,
  type Stop,
} from "./branches";
import { GraphDrawing } from "./drawing";
import { Legend, Resting, type Rest } from "./legend";
import { placesOf } from "./places";

const LETTERS = 16;
/** A letter with all its marks may be as long as a name. */
const MOST_READ = 200;
const DARK = "(prefers-color-scheme: dark)";

/** Of a page with more, branches are folded at first: names of so many can be read. */
const MOST_UNFOLDED = 60;

interface Folding {
  /** null: as the size of the page has it. */
  all: boolean | null;
  except: ReadonlySet<string>;
}

function isBranch(stop: Stop): boolean {
  return stop.behind > 0 && !stop.isSeed;
}

function foldedOf(branches: Branches, { all, except }: Folding): ReadonlySet<string> {
  const isFolded = all ?? branches.size > MOST_UNFOLDED;
  const stops = [...branches.values()].filter(
    (stop) => (isFolded && isBranch(stop)) !== except.has(stop.id),
  );
  return new Set(stops.map((stop) => stop.id));
}

const UNSEEN = /[\s\p{C}\p{M}\u115F\u1160\u3164\uFFA0]/gu;
const segmenter = new Intl.Segmenter();

/** A line of at most so many letters: marks that pile up are cut with what they are on. */
function short(text: string): string {
  const start = text.replace(/\s+/g, " ").slice(0, MOST_READ);
  const letters = Array.from(segmenter.segment(start), ({ segment }) => segment);
  return letters.length > LETTERS ? `${letters.slice(0, LETTERS - 1).join("")}…` : start;
}

/** Names by ids; the id where a name shows nothing, or is the one of somebody else as well. */
function namesOf(ids: readonly string[]): Map<string, string> {
  const names = new Map(ids.map((id) => [id, contentOf(streamer(id).value)?.name ?? ""]));
  const counts = new Map<string, number>();
  for (const [id, name] of names) {
    const shown = name.replace(UNSEEN, "") ? short(name) : id;
    names.set(id, shown);
    counts.set(shown, (counts.get(shown) ?? 0) + 1);
  }
  for (const [id, name] of names) if ((counts.get(name) ?? 0) > 1) names.set(id, short(id));
  return names;
}

export default function Graph(props: {
  members: Member[];
  seeds: string[];
  edges: Edge[];
  /** Members of the whole case: they come in pages, and those of one page are drawn. */
  total: number;
  current: number;
  chosen: Edge | null;
  choose: (edge: Edge) => void;
  chooseMember: (row: number) => void;
}) {
  const { members, seeds, edges, chosen } = props;
  const box = useRef<HTMLDivElement>(null);
  const drawing = useRef<GraphDrawing | null>(null);
  const [folding, setFolding] = useState<Folding>({ all: null, except: new Set() });
  const [rest, setRest] = useState<Rest>({ id: null, line: null });
  const branches = useMemo(() => branchesOf(members, seeds), [members, seeds]);
  const folded = useMemo(() => foldedOf(branches, folding), [branches, folding]);
  const drawn = useMemo(() => drawnOf(branches, edges, folded), [branches, edges, folded]);
  const fold = (stop: Stop | undefined): void => {
    if (!stop?.behind) return;
    const except = new Set(folding.except);
    if (!except.delete(stop.id)) except.add(stop.id);
    setFolding({ ...folding, except });
  };
  const latest = useRef({ branches, drawn, fold, props });
  latest.current = { branches, drawn, fold, props };

  useEffect(() => {
    if (!box.current) return;
    const made = new GraphDrawing(box.current, {
      member: (id) => {
        const row = latest.current.branches.get(id)?.row ?? null;
        if (row !== null) latest.current.props.chooseMember(row);
      },
      fold: (id) => latest.current.fold(latest.current.branches.get(id)),
      edge: (line) => {
        const found = latest.current.drawn.edges.get(line);
        if (found) latest.current.props.choose(found.edge);
      },
      over: (id, line) => setRest({ id, line }),
    });
    drawing.current = made;
    const dark = matchMedia(DARK);
    const recolour = (): void => made.recolour();
    dark.addEventListener("change", recolour);
    return () => {
      dark.removeEventListener("change", recolour);
      made.stop();
    };
  }, []);
  useEffect(() => {
    drawing.current?.show(drawn.elements, (aspect) => placesOf(branches, folded, aspect));
    setRest({ id: null, line: null }); // it may not be drawn any more
  }, [drawn]);
  useEffect(() => drawing.current?.recolour(), [theme.value]);

  const stops = drawn.elements.flatMap(({ data }) => {
    const stop = branches.get(data["of"]);
    return stop && data.id === nodeOf(stop.id) ? [stop] : [];
  });
  const names = namesOf(stops.map((stop) => stop.id));
  const labels = new Map<string, string>();
  for (const { id, behind } of stops) {
    const count = folded.has(id) ? ` +${number(behind)}` : "";
    labels.set(nodeOf(id), (names.get(id) ?? id) + count);
  }
  const told = [...labels].join();
  useEffect(() => drawing.current?.name(labels), [drawn, told]);

  const current = branches.get(members[props.current]?.streamer_id ?? "");
  const standing = current && nodeOf(standingFor(branches, folded, current.id));
  const line = chosen && lineOf(branches, folded, chosen);
  useEffect(() => drawing.current?.mark(standing ?? null, line), [drawn, standing, line]);

  const zoom = (step: number): void => drawing.current?.zoom(step);
  const fit = (): void => drawing.current?.fit();
  useKeys({
    c: () => fold(current),
    "+": () => zoom(1),
    "-": () => zoom(-1),
    f: fit,
  });
  const leading = [...branches.values()].filter(isBranch);
  const isFolded = current !== undefined && folded.has(current.id);
  const here = new Set(members.map((member) => member.streamer_id));
  const away = edges.filter((edge) => !here.has(edge.a) || !here.has(edge.b));
  return (
    <>
      {members.length < props.total && (
        <p class="notice">
          {t(away.length ? "case.graph.part" : "case.graph.first", {
            n: number(members.length),
            all: number(props.total),
            edges: number(away.length),
          })}
        </p>
      )}
      <p class="actions">
        <button
          type="button"
          aria-pressed={isFolded}
          aria-disabled={!current?.behind}
          onClick={() => fold(current)}
        >
          {t("case.fold", { n: number(current?.behind ?? 0), id: current?.id ?? "" })} <kbd>c</kbd>
        </button>
        {leading.length > 1 && (
          <>
            <button type="button" onClick={() => setFolding({ all: true, except: new Set() })}>
              {t("case.fold.all")}
            </button>
            <button type="button" onClick={() => setFolding({ all: false, except: new Set() })}>
              {t("case.unfold.all")}
            </button>
          </>
        )}
        <span class="spring" />
        <span class="choices">
          <button type="button" aria-label={t("case.graph.nearer")} onClick={() => zoom(1)}>
            <kbd>+</kbd>
          </button>
          <button type="button" aria-label={t("case.graph.further")} onClick={() => zoom(-1)}>
            <kbd>-</kbd>
          </button>
          <button type="button" onClick={fit}>
            {t("case.graph.fit")} <kbd>f</kbd>
          </button>
        </span>
      </p>
      <div
        class="graph-frame"
        onWheelCapture={(event) => {
          // The wheel moves the page, unless it is meant to zoom.
          if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
        }}
        onTouchStartCapture={(event) => drawing.current?.touched(event.touches.length)}
        onTouchMoveCapture={(event) => {
          // The library would keep the page from moving, wherever a node or a line is touched.
          if (event.touches.length === 1) event.stopPropagation();
        }}
        onPointerDownCapture={(event) => {
          if (event.pointerType === "mouse") drawing.current?.touched(0);
        }}
      >
        <div
          ref={box}
          class="graph"
          role="img"
          aria-label={t("case.graph", { members: drawn.members, edges: drawn.edges.size })}
        />
        <p class="graph-rest">
          <Resting at={rest} branches={branches} drawn={drawn} members={members} />
        </p>
      </div>
      <Legend hasOthers={members.length < props.total} hasFolded={folded.size > 0} />
    </>
  );
}
