/** A graph on a canvas, which mouse and fingers move. */
import cytoscape, { type Core, type ElementDefinition } from "cytoscape";
import { extentOf, type Place, type Places } from "./places";
import { looksOn } from "./looks";

/** Where an element has this id, the library adds no style sheet, which the page's policy refuses. */
const STYLE_ID = "__________cytoscape_stylesheet";
const STEP = 1.3;
const NEAREST = 1.2;

export interface Hands {
  /** Somebody, or the line of an edge, was clicked. */
  member: (id: string) => void;
  edge: (line: string) => void;
  /** Somebody was clicked twice. */
  fold: (id: string) => void;
  /** What the mouse rests on; null: nothing. */
  over: (id: string | null, line: string | null) => void;
}

export class GraphDrawing {
  readonly #graph: Core;
  readonly #box: HTMLElement;
  #size: string;
  #places: Places = new Map();
  #chosen: { node: string | null; line: string | null } = { node: null, line: null };
  #naming = 0;
  #adding = 0;

  constructor(box: HTMLElement, hands: Hands) {
    if (!document.getElementById(STYLE_ID)) {
      document.head.append(Object.assign(document.createElement("meta"), { id: STYLE_ID }));
    }
    this.#box = box;
    this.#graph = cytoscape({
      container: box,
      style: looksOn(box),
      minZoom: 0.1,
      maxZoom: 3,
      autounselectify: true,
      boxSelectionEnabled: false,
    });
    this.#size = `${this.#graph.width()} ${this.#graph.height()}`;
    this.#listen(hands);
  }

  #listen(hands: Hands): void {
    const graph = this.#graph;
    graph.on("tap", "node", ({ target }) => hands.member(target.data("of")));
    graph.on("dbltap", "node", ({ target }) => hands.fold(target.data("of")));
    graph.on("tap", "edge", ({ target }) => hands.edge(target.id()));
    graph.on("mouseover", "node, edge", ({ target }) => {
      this.#box.style.cursor = "pointer";
      hands.over(target.data("of") ?? null, target.isEdge() ? target.id() : null);
    });
    graph.on("mouseout", "node, edge", () => {
      this.#box.style.cursor = "";
      hands.over(null, null);
    });
    graph.on("resize", () => {
      // It is told of changes of other attributes of the box as well, such as its cursor.
      const size = `${graph.width()} ${graph.height()}`;
      if (size !== this.#size) this.fit();
      this.#size = size;
    });
  }

  /** Draws these, each where `placesOf` has it; what was drawn before moves there. */
  show(elements: ElementDefinition[], placesOf: (aspect: number) => Places): void {
    const graph = this.#graph;
    const before = new Set(graph.elements().map((one) => one.id()));
    const isSame =
      before.size === elements.length && elements.every(({ data }) => before.has(data.id ?? ""));
    cancelAnimationFrame(this.#adding);
    this.#box.style.cursor = "";
    if (isSame) {
      graph.json({ elements });
      return;
    }
    this.#places = placesOf(graph.width() / graph.height());
    const placed = elements.map((one) => {
      const position = this.#places.get(one.data.id ?? "");
      return position && !before.has(one.data.id ?? "") ? { ...one, position } : one;
    });
    if (before.size) {
      graph.json({ elements: placed });
      // Not in a batch: boxes follow from where members are.
      graph.nodes(".member").positions((node) => this.#places.get(node.id()) as Place);
    } else {
      // The first frame has members, the second the lines: neither takes long.
      graph.add(placed.filter(({ data }) => !("source" in data)));
      this.#adding = requestAnimationFrame(() => {
        graph.add(placed.filter(({ data }) => "source" in data));
        this.#marked();
      });
    }
    this.fit();
  }

  /** Names by ids of nodes; those that become known between two frames are drawn at once. */
  name(names: ReadonlyMap<string, string>): void {
    cancelAnimationFrame(this.#naming);
    this.#naming = requestAnimationFrame(() =>
      this.#graph.batch(() => {
        for (const [id, name] of names) {
          const node = this.#graph.getElementById(id);
          if (node.data("label") !== name) node.data("label", name);
        }
      }),
    );
  }

  /** Who and which line is chosen; the view moves to whom it does not show. */
  mark(node: string | null, line: string | null): void {
    this.#chosen = { node, line };
    this.#marked();
    if (node === null) return;
    const current = this.#graph.getElementById(node);
    const { x1, x2, y1, y2 } = this.#graph.extent();
    if (current.empty()) return;
    const { x, y } = current.position();
    if (x < x1 || x > x2 || y < y1 || y > y2) this.#graph.center(current);
  }

  #marked(): void {
    const graph = this.#graph;
    const { node, line } = this.#chosen;
    graph.batch(() => {
      graph.elements(".current, .chosen, .near").removeClass("current chosen near");
      if (node !== null) {
        const current = graph.getElementById(node).addClass("current");
        current.connectedEdges().addClass("near");
      }
      if (line !== null) graph.getElementById(line).addClass("chosen");
    });
  }

  /** In the colours that the page has now. */
  recolour(): void {
    this.#graph.style(looksOn(this.#box));
  }

  /** Nearer, or further away where `step` is negative. */
  zoom(step: number): void {
    const graph = this.#graph;
    const middle = { x: graph.width() / 2, y: graph.height() / 2 };
    graph.zoom({ level: graph.zoom() * STEP ** step, renderedPosition: middle });
  }

  /** Shows all of it. */
  fit(): void {
    const graph = this.#graph;
    const { left, right, top, bottom } = extentOf(this.#places);
    const [width, height] = [graph.width(), graph.height()];
    const most = Math.min(width / (right - left), height / (bottom - top), NEAREST);
    const zoom = Math.max(most, graph.minZoom());
    const pan = {
      x: width / 2 - (zoom * (left + right)) / 2,
      y: height / 2 - (zoom * (top + bottom)) / 2,
    };
    graph.viewport({ zoom, pan });
  }

  /** One finger moves the page, two move the graph; a mouse (no finger) moves all of it. */
  touched(fingers: number): void {
    this.#graph.autoungrabify(fingers > 0).userPanningEnabled(fingers !== 1);
  }

  stop(): void {
    cancelAnimationFrame(this.#naming);
    cancelAnimationFrame(this.#adding);
    this.#graph.destroy();
  }
}
