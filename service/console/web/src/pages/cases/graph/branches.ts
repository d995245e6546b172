/** Members as branches: who was reached through whom, and what is drawn of a branch that is folded. */
import type { EdgeDefinition, ElementDefinition, NodeDefinition } from "cytoscape";
import type { Edge } from "../board";
import type { Member } from "../members";

const LEAST_WIDTH_PX = 1;
const MORE_WIDTH_PX = 3;

/** Somebody on the way to the members of a page. */
export interface Stop {
  id: string;
  /** Through whom it was reached; null of those that the expansion began with. */
  from: string | null;
  isSeed: boolean;
  /** In the table; null of a member of another page. */
  row: number | null;
  verdict: string | null;
  /** Whom it leads to, in the order of the table. */
  next: string[];
  /** Members of the page that were reached through it. */
  behind: number;
}

export type Branches = ReadonlyMap<string, Stop>;

/** Ids are chosen by others, and groups are named after members. */
export const nodeOf = (id: string): string => `member ${id}`;
const groupOf = (id: string): string => `branch ${id}`;

/** All stops; whoever leads to another comes before it, so that there is no circle. */
export function branchesOf(members: readonly Member[], seeds: readonly string[]): Branches {
  const stops = new Map<string, Stop>();
  const bySteps = members.map((member, row) => ({ member, row }));
  bySteps.sort((one, other) => one.member.path.length - other.member.path.length);
  for (const { member, row } of bySteps) {
    member.path.forEach((id, hop) => {
      if (stops.has(id)) return;
      const from = member.path[hop - 1] ?? null;
      const isSeed = seeds.includes(id);
      stops.set(id, { id, from, isSeed, row: null, verdict: null, next: [], behind: 0 });
      if (from !== null) stops.get(from)?.next.push(id);
    });
    const stop = stops.get(member.streamer_id);
    if (!stop) continue;
    stop.row = row;
    stop.verdict = member.verdict?.verdict ?? null;
    for (const above of leadingTo(stops, stop)) above.behind += 1;
  }
  return stops;
}

/** Through whom a stop was reached, the nearest first. */
function* leadingTo(branches: Branches, stop: Stop): Generator<Stop> {
  for (let at = stop.from; at !== null;) {
    const above = branches.get(at);
    if (!above) return;
    yield above;
    at = above.from;
  }
}

/** Who is drawn in place of somebody: the first on the way whose branch is folded. */
export function standingFor(branches: Branches, folded: ReadonlySet<string>, id: string): string {
  const stop = branches.get(id);
  if (!stop) return id;
  const hiding = [...leadingTo(branches, stop)].filter((above) => folded.has(above.id));
  return hiding.at(-1)?.id ?? id;
}

/** What is drawn, and of each line the surest edge, of how many. */
export interface Drawn {
  elements: ElementDefinition[];
  members: number;
  edges: ReadonlyMap<string, { edge: Edge; count: number }>;
}

export function drawnOf(
  branches: Branches,
  edges: readonly Edge[],
  folded: ReadonlySet<string>,
): Drawn {
  const shown = [...branches.values()].filter(
    (stop) => standingFor(branches, folded, stop.id) === stop.id,
  );
  const roots = shown.filter((stop) => stop.from === null);
  // A box around everybody says nothing.
  const hasBox = (stop: Stop): boolean =>
    stop.next.length > 0 && !folded.has(stop.id) && (stop.from !== null || roots.length > 1);
  const inside = (...ids: (string | null)[]): { parent?: string } => {
    const stops = ids.map((id) => (id === null ? undefined : branches.get(id)));
    const box = stops.find((stop) => stop && hasBox(stop));
    return box ? { parent: groupOf(box.id) } : {};
  };
  const boxes: NodeDefinition[] = shown.filter(hasBox).map((stop) => ({
    data: { id: groupOf(stop.id), of: stop.id, ...inside(stop.from) },
    classes: "branch",
  }));
  const nodes: NodeDefinition[] = shown.map((stop) => ({
    data: {
      id: nodeOf(stop.id),
      of: stop.id,
      label: "",
      ...inside(stop.id, stop.from),
    },
    classes: classesOf(stop, folded.has(stop.id)),
  }));
  const surest = new Map<string, { edge: Edge; ends: [string, string]; count: number }>();
  for (const edge of edges) {
    const ends = endsOf(branches, folded, edge);
    if (ends[0] === ends[1] || !ends.every((id) => branches.has(id))) continue;
    const id = lineOf(branches, folded, edge);
    const known = surest.get(id);
    const isSurer = !known || edge.probability > known.edge.probability;
    surest.set(id, {
      edge: isSurer ? edge : known.edge,
      ends,
      count: (known?.count ?? 0) + 1,
    });
  }
  const lines: EdgeDefinition[] = [...surest].map(([id, { edge, ends, count }]) => ({
    data: {
      id,
      source: nodeOf(ends[0]),
      target: nodeOf(ends[1]),
      width: LEAST_WIDTH_PX + MORE_WIDTH_PX * edge.probability,
    },
    classes: [isWay(branches, ends) ? "way" : "", count > 1 ? "several" : ""].join(" "),
  }));
  return {
    elements: [...boxes, ...nodes, ...lines],
    members: shown.length,
    edges: surest,
  };
}

function endsOf(branches: Branches, folded: ReadonlySet<string>, { a, b }: Edge): [string, string] {
  const [one, other] = [standingFor(branches, folded, a), standingFor(branches, folded, b)];
  return one < other ? [one, other] : [other, one];
}

/** The line that an edge is drawn as. */
export function lineOf(branches: Branches, folded: ReadonlySet<string>, edge: Edge): string {
  return `edge ${endsOf(branches, folded, edge).join(" ")}`;
}

/** Whether the expansion reached one of them through the other. */
function isWay(branches: Branches, [a, b]: [string, string]): boolean {
  return branches.get(a)?.from === b || branches.get(b)?.from === a;
}

function classesOf(stop: Stop, isFolded: boolean): string {
  const classes = [
    "member",
    stop.isSeed && "seed",
    stop.row === null && "elsewhere",
    stop.verdict,
    isFolded && "folded",
  ];
  return classes.filter(Boolean).join(" ");
}
