/** Where members are drawn: each branch around whom it was reached through, the surest nearest. */
import { nodeOf, type Branches } from "./branches";

export interface Place {
  x: number;
  y: number;
}
export type Places = ReadonlyMap<string, Place>;
interface Size {
  width: number;
  height: number;
}
/** Places of nodes in a box, from its middle. */
interface Box extends Size {
  places: Map<string, Place>;
}

/** Of a member and the name below it. */
const TILE: Size = { width: 128, height: 62 };
const NAME_BELOW_PX = 14;
const GAP_PX = 6;
const FRAME_PX = 12;
const STEP_PX = 18;
const ASPECT_INSIDE = 1.4;

/**
 * @param aspect width of the whole, by its height
 */
export function placesOf(branches: Branches, folded: ReadonlySet<string>, aspect: number): Places {
  const boxOf = (id: string, wide: number): Box => {
    const own = { ...TILE, places: new Map([[nodeOf(id), { x: 0, y: -NAME_BELOW_PX }]]) };
    const next = folded.has(id) ? [] : (branches.get(id)?.next ?? []);
    if (!next.length) return own;
    return around([own, ...next.map((one) => boxOf(one, ASPECT_INSIDE))], wide);
  };
  const roots = [...branches.values()].filter((stop) => stop.from === null);
  const [only] = roots;
  if (only && roots.length === 1) return boxOf(only.id, aspect).places;
  return around(
    roots.map((root) => boxOf(root.id, ASPECT_INSIDE)),
    aspect,
  ).places;
}

/** Of all that is drawn, with names and frames. */
export function extentOf(places: Places): Record<"left" | "right" | "top" | "bottom", number> {
  const [xs, ys] = [[...places.values()].map(({ x }) => x), [...places.values()].map(({ y }) => y)];
  return {
    left: Math.min(...xs) - TILE.width / 2 - FRAME_PX,
    right: Math.max(...xs) + TILE.width / 2 + FRAME_PX,
    top: Math.min(...ys) - TILE.height / 2 - FRAME_PX + NAME_BELOW_PX,
    bottom: Math.max(...ys) + TILE.height / 2 + FRAME_PX + NAME_BELOW_PX,
  };
}

/** The first in the middle, and each other one as near to it as there is room. */
function around(boxes: readonly Box[], aspect: number): Box {
  const taken: (Place & Size)[] = [];
  // Where there was no room for one of this size, there is none for the next.
  const full = new Map<string, number>();
  for (const { width, height } of boxes) {
    const size = `${width} ${height}`;
    for (const { ring, ...place } of outwards(aspect, full.get(size) ?? 0)) {
      const one = { ...place, width, height };
      if (taken.some((other) => overlap(one, other))) continue;
      taken.push(one);
      full.set(size, ring);
      break;
    }
  }
  const left = Math.min(...taken.map((one) => one.x - one.width / 2));
  const right = Math.max(...taken.map((one) => one.x + one.width / 2));
  const top = Math.min(...taken.map((one) => one.y - one.height / 2));
  const bottom = Math.max(...taken.map((one) => one.y + one.height / 2));
  const places = new Map<string, Place>();
  boxes.forEach((box, i) => {
    const at = taken[i] as Place;
    for (const [id, { x, y }] of box.places) {
      places.set(id, { x: at.x + x - (left + right) / 2, y: at.y + y - (top + bottom) / 2 });
    }
  });
  const frame = 2 * FRAME_PX;
  return { width: right - left + frame, height: bottom - top + frame, places };
}

function overlap(one: Place & Size, other: Place & Size): boolean {
  return (
    Math.abs(one.x - other.x) < (one.width + other.width) / 2 + GAP_PX &&
    Math.abs(one.y - other.y) < (one.height + other.height) / 2 + GAP_PX
  );
}

/** Places on ellipses around the middle, without end. */
function* outwards(aspect: number, from: number): Generator<Place & { ring: number }> {
  for (let ring = from; ; ring += 1) {
    const count = Math.max(1, Math.ceil(2 * Math.PI * ring));
    const radius = ring * STEP_PX;
    for (let i = 0; i < count; i += 1) {
      const angle = (2 * Math.PI * i) / count;
      yield { ring, x: aspect * radius * Math.cos(angle), y: radius * Math.sin(angle) };
    }
  }
}
