/** Colours and shapes of a graph, from those of the page. */
import type { StylesheetJson } from "cytoscape";

const NAMES = ["text", "raised", "ground", "line", "edge", "accent", "wash"] as const;
const MEANINGS = ["for", "against", "bad", "good"] as const;
type Colour = (typeof NAMES)[number] | (typeof MEANINGS)[number];

/** A canvas knows no variables of style sheets: the element says what they are at present. */
function coloursOf(element: HTMLElement): Record<Colour, string> {
  const before = element.style.color;
  const found = [...NAMES, ...MEANINGS].map((name) => {
    element.style.color = `var(--${name})`;
    return [name, getComputedStyle(element).color] as const;
  });
  element.style.color = before;
  return Object.fromEntries(found) as Record<Colour, string>;
}

export function looksOn(element: HTMLElement): StylesheetJson {
  const colour = coloursOf(element);
  const font = getComputedStyle(element).fontFamily;
  return [
    {
      selector: "node.member",
      style: {
        width: 22,
        height: 22,
        "background-color": colour.for,
        "border-width": 2,
        "border-color": colour.for,
        label: "data(label)",
        color: colour.text,
        "font-family": font,
        "font-size": 13,
        "min-zoomed-font-size": 8,
        "text-valign": "bottom",
        "text-margin-y": 4,
        "text-wrap": "ellipsis",
        "text-max-width": "124px",
        "text-outline-width": 2.5,
        "text-outline-color": colour.raised,
        "text-events": "yes",
      },
    },
    {
      selector: "node.seed",
      style: {
        shape: "diamond",
        width: 30,
        height: 30,
        "background-color": colour.against,
        "border-color": colour.against,
      },
    },
    {
      selector: "node.elsewhere",
      style: {
        "background-color": colour.raised,
        "border-color": colour.edge,
        "border-style": "dotted",
      },
    },
    {
      selector: "node.confirmed",
      style: { "background-color": colour.bad, "border-color": colour.bad },
    },
    {
      selector: "node.cleared",
      style: { "background-color": colour.raised, "border-color": colour.good, "border-width": 3 },
    },
    {
      selector: "node.unsure",
      style: {
        "background-color": colour.raised,
        "border-color": colour.for,
        "border-style": "dashed",
        "border-width": 3,
      },
    },
    {
      selector: "node.folded",
      style: { "border-style": "double", "border-width": 6, width: 30, height: 30 },
    },
    {
      selector: "node.current",
      style: {
        "outline-color": colour.text,
        "outline-width": 3,
        "outline-offset": 3,
        "font-weight": "bold",
        "min-zoomed-font-size": 0,
        "z-index": 2,
      },
    },
    {
      selector: "node.branch",
      style: {
        shape: "round-rectangle",
        "background-color": colour.wash,
        "background-opacity": 0.7,
        "border-color": colour.edge,
        "border-opacity": 0.5,
        "border-width": 1,
        padding: "10px",
      },
    },
    {
      selector: "edge",
      style: {
        width: "data(width)",
        "line-color": colour.edge,
        "line-opacity": 0.35,
        "curve-style": "straight",
      },
    },
    { selector: "edge.way", style: { "line-opacity": 0.9 } },
    { selector: "edge.several", style: { "line-style": "dashed" } },
    { selector: "edge.near", style: { "line-color": colour.accent, "line-opacity": 1 } },
    {
      selector: "edge.chosen",
      style: { "line-color": colour.against, "line-opacity": 1, width: 6, "z-index": 1 },
    },
    { selector: ":active", style: { "overlay-opacity": 0.1 } },
  ];
}
