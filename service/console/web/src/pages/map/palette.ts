/** Colours of classes; further classes begin again. */
export const PALETTE = [
  "#1f77b4",
  "#e6550d",
  "#2ca02c",
  "#d62728",
  "#9467bd",
  "#8c564b",
  "#e377c2",
  "#bcbd22",
  "#17becf",
  "#b8860b",
  "#4c9a7d",
  "#6b5bd6",
] as const;
export const OTHERS = "#8d97a1";

export function colourOf(code: number): string {
  return code === 0 ? OTHERS : (PALETTE[(code - 1) % PALETTE.length] as string);
}

/** Red, green and blue from 0 to 1. */
export function partsOf(colour: string): [number, number, number] {
  const number = Number.parseInt(colour.slice(1), 16);
  return [(number >> 16) / 255, ((number >> 8) & 255) / 255, (number & 255) / 255];
}
