/** What a canvas shows of the map: the place in its middle, and how large a step is. */
import { STEPS, type Place } from "./points";

export interface View extends Place {
  /** CSS pixels for each step. */
  scale: number;
}

export interface Size {
  width: number;
  height: number;
}

const CLOSEST = 4;

export function fitting(size: Size): View {
  return { x: STEPS / 2, y: STEPS / 2, scale: Math.min(size.width, size.height) / STEPS || 1e-3 };
}

export function placeAt(view: View, size: Size, left: number, top: number): Place {
  return {
    x: view.x + (left - size.width / 2) / view.scale,
    y: view.y - (top - size.height / 2) / view.scale,
  };
}

export function pixelOf(view: View, size: Size, at: Place): { left: number; top: number } {
  return {
    left: size.width / 2 + (at.x - view.x) * view.scale,
    top: size.height / 2 - (at.y - view.y) * view.scale,
  };
}

/** The nearest place on the map. */
export function within({ x, y }: Place): Place {
  const kept = (value: number): number => Math.min(Math.max(value, 0), STEPS);
  return { x: kept(x), y: kept(y) };
}

/** Moved by pixels; the middle stays on the map. */
export function moved(view: View, right: number, down: number): View {
  const at = { x: view.x - right / view.scale, y: view.y + down / view.scale };
  return { ...view, ...within(at) };
}

/** Larger by a factor; the place below a pixel stays there. */
export function zoomed(view: View, size: Size, factor: number, left: number, top: number): View {
  const least = fitting(size).scale / 2;
  const scale = Math.min(Math.max(view.scale * factor, least), CLOSEST);
  const at = placeAt(view, size, left, top);
  return {
    x: at.x - (left - size.width / 2) / scale,
    y: at.y + (top - size.height / 2) / scale,
    scale,
  };
}

/** The corners of what is shown, on the map. */
export function cornersOf(view: View, size: Size): Place[] {
  const { width, height } = size;
  return [
    placeAt(view, size, 0, 0),
    placeAt(view, size, width, 0),
    placeAt(view, size, width, height),
    placeAt(view, size, 0, height),
  ].map(within);
}
