/** Members in circles by their hops; the tables beside it say the same. */
import { t } from "../../i18n";
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
  current: number;
  choose: (edge: Edge) => void;
}) {
  const { members, edges } = props;
  const points = placed(members);
  const hasLabels = members.length <= MOST_LABELS;
  return (
    <svg
      class="graph"
      viewBox={`0 0 ${SIZE} ${SIZE}`}
      role="img"
      aria-label={t("case.graph", { members: members.length, edges: edges.length })}
    >
      {edges.map((edge) => {
        const [from, to] = [points.get(edge.a), points.get(edge.b)];
        if (!from || !to) return null;
        return (
          <line
            key={`${edge.a} ${edge.b}`}
            x1={from.x}
            y1={from.y}
            x2={to.x}
            y2={to.y}
            stroke-width={1 + 3 * edge.probability}
            onClick={() => props.choose(edge)}
          />
        );
      })}
      {members.map((member, row) => {
        const { x, y } = points.get(member.streamer_id)!;
        const classes = [
          "node",
          member.hop === 0 && "seed",
          member.verdict?.verdict,
          row === props.current && "current",
        ];
        return (
          <g key={member.streamer_id} class={classes.filter(Boolean).join(" ")}>
            <circle cx={x} cy={y} r={member.hop === 0 ? 11 : 8} />
            {hasLabels && (
              <text x={x} y={y + 22} text-anchor="middle">
                {member.streamer_id.slice(0, LETTERS)}
              </text>
            )}
          </g>
        );
      })}
    </svg>
  );
}
