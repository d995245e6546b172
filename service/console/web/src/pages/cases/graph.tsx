/** Members in circles by their hops; the tables beside it say the same. */
import { useState } from "preact/hooks";
import { contentOf, streamer } from "../../api/profiles";
import { number, t } from "../../i18n";
import { useKeys } from "../../state/keyboard";
import type { Edge } from "./board";
import type { Member } from "./members";

const WIDTH = 960;
const HEIGHT = 600;
const MARGIN = 50;
const LETTERS = 16;
const MOST_LABELS = 40;

interface Point {
  x: number;
  y: number;
}

/** Each ring holds one hop; members follow the order of the table around it. */
function placed(members: readonly Member[]): Map<string, Point> {
  const rings = new Map<number, Member[]>();
  for (const member of members) {
    rings.set(member.hop, [...(rings.get(member.hop) ?? []), member]);
  }
  const outermost = Math.max(...rings.keys(), 1);
  const points = new Map<string, Point>();
  for (const [hop, ring] of rings) {
    const inner = ring.length > 1 ? 0.25 : 0;
    const share = hop === 0 ? inner : 0.35 + (0.65 * hop) / outermost;
    ring.forEach((member, i) => {
      // Two members are not opposite each other: the line between them would hide behind the seed.
      const angle = (2 * Math.PI * (i + hop / 3)) / Math.max(ring.length, 3);
      const x = WIDTH / 2 + share * (WIDTH / 2 - 2 * MARGIN) * Math.cos(angle);
      const y = HEIGHT / 2 + share * (HEIGHT / 2 - MARGIN) * Math.sin(angle);
      points.set(member.streamer_id, { x, y });
    });
  }
  return points;
}

/** Who was reached through a member. */
function behind(members: readonly Member[], id: string): Member[] {
  return members.filter((other) => other.path.slice(0, -1).includes(id));
}

export function Graph(props: {
  members: Member[];
  edges: Edge[];
  /** Members of the whole case: they come in pages, and those of one page are drawn. */
  total: number;
  current: number;
  choose: (edge: Edge) => void;
  chooseMember: (row: number) => void;
}) {
  const furthest = Math.max(...props.members.map((member) => member.hop));
  const [most, setMost] = useState<number | null>(null);
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
  const hidden = new Set([...folded].flatMap((id) => behind(props.members, id)));
  const shown = props.members.filter(
    (member) => (most === null || member.hop <= most) && !hidden.has(member),
  );
  const current = props.members[props.current];
  const isFolded = current !== undefined && folded.has(current.streamer_id);
  const count = current ? behind(props.members, current.streamer_id).length : 0;
  const fold = (): void => {
    if (!current || !count) return;
    const next = new Set(folded);
    isFolded ? next.delete(current.streamer_id) : next.add(current.streamer_id);
    setFolded(next);
  };
  useKeys({ c: fold });
  const here = new Set(props.members.map((member) => member.streamer_id));
  const leading = props.edges.filter((edge) => !here.has(edge.a) || !here.has(edge.b));
  return (
    <>
      {props.members.length < props.total && (
        <p class="notice">
          {t("case.graph.part", {
            n: number(props.members.length),
            all: number(props.total),
            edges: number(leading.length),
          })}
        </p>
      )}
      {furthest > 1 && (
        <p class="actions">
          <label>
            {t("case.hops")}{" "}
            <select
              value={String(most ?? furthest)}
              onChange={(event) => setMost(Number(event.currentTarget.value))}
            >
              {Array.from({ length: furthest }, (_, i) => (
                <option key={i} value={String(i + 1)}>
                  {i + 1}
                </option>
              ))}
            </select>
          </label>
          <button type="button" aria-pressed={isFolded} aria-disabled={!count} onClick={fold}>
            {t("case.fold", { n: number(count), id: current?.streamer_id ?? "" })} <kbd>c</kbd>
          </button>
        </p>
      )}
      <Drawing {...props} shown={shown} folded={folded} />
    </>
  );
}

/** Marks that pile up are cut with what they are on. */
function labelOf({ streamer_id: id }: Member): string {
  const letters = [...(contentOf(streamer(id).value)?.name || id)];
  return letters.length > LETTERS ? `${letters.slice(0, LETTERS - 1).join("")}…` : letters.join("");
}

function Drawing(
  props: Parameters<typeof Graph>[0] & { shown: Member[]; folded: ReadonlySet<string> },
) {
  const { members, edges, shown, folded } = props;
  const points = placed(shown);
  const hasLabels = shown.length <= MOST_LABELS;
  const lines = edges.flatMap((edge) => {
    const [from, to] = [points.get(edge.a), points.get(edge.b)];
    return from && to ? [{ edge, from, to }] : [];
  });
  return (
    <svg
      class="graph"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={t("case.graph", { members: shown.length, edges: lines.length })}
    >
      {lines.map(({ edge, from, to }) => (
        <line
          key={`${edge.a} ${edge.b}`}
          x1={from.x}
          y1={from.y}
          x2={to.x}
          y2={to.y}
          stroke-width={1 + 3 * edge.probability}
          onClick={() => props.choose(edge)}
        />
      ))}
      {members.map((member, row) => {
        const point = points.get(member.streamer_id);
        if (!point) return null;
        const classes = [
          "node",
          member.hop === 0 && "seed",
          member.verdict?.verdict,
          row === props.current && "current",
        ];
        return (
          <g
            key={member.streamer_id}
            class={classes.filter(Boolean).join(" ")}
            onClick={() => props.chooseMember(row)}
          >
            <title>{member.streamer_id}</title>
            <circle cx={point.x} cy={point.y} r={member.hop === 0 ? 13 : 10} />
            {folded.has(member.streamer_id) && (
              <text class="folded" x={point.x + 16} y={point.y - 8}>
                +{number(behind(members, member.streamer_id).length)}
              </text>
            )}
            {hasLabels && (
              <text x={point.x} y={point.y + 30} text-anchor="middle">
                {labelOf(member)}
              </text>
            )}
          </g>
        );
      })}
    </svg>
  );
}
