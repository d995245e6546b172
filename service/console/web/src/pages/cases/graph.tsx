/** Members in circles by their hops; the tables beside it say the same. */
import { useState } from "preact/hooks";
import { number, t } from "../../i18n";
import type { Edge } from "./board";
import type { Member } from "./members";

const SIZE = 640;
const MARGIN = 40;
const LETTERS = 14;
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
    const radius = (SIZE / 2 - MARGIN) * (hop === 0 ? inner : 0.35 + (0.65 * hop) / outermost);
    ring.forEach((member, i) => {
      // Two members are not opposite each other: the line between them would hide behind the seed.
      const angle = (2 * Math.PI * (i + hop / 3)) / Math.max(ring.length, 3);
      const x = SIZE / 2 + radius * Math.cos(angle);
      points.set(member.streamer_id, { x, y: SIZE / 2 + radius * Math.sin(angle) });
    });
  }
  return points;
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
  const shown = props.members.filter((member) => most === null || member.hop <= most);
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
      )}
      <Drawing {...props} shown={shown} />
    </>
  );
}

function Drawing(props: Parameters<typeof Graph>[0] & { shown: Member[] }) {
  const { members, edges, shown } = props;
  const points = placed(shown);
  const hasLabels = shown.length <= MOST_LABELS;
  const lines = edges.flatMap((edge) => {
    const [from, to] = [points.get(edge.a), points.get(edge.b)];
    return from && to ? [{ edge, from, to }] : [];
  });
  return (
    <svg
      class="graph"
      viewBox={`0 0 ${SIZE} ${SIZE}`}
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
            <circle cx={point.x} cy={point.y} r={member.hop === 0 ? 11 : 8} />
            {hasLabels && (
              <text x={point.x} y={point.y + 22} text-anchor="middle">
                {member.streamer_id.slice(0, LETTERS)}
              </text>
            )}
          </g>
        );
      })}
    </svg>
  );
}
