/** The map itself: drag to move, wheel to zoom, a line around streamers to choose them. */
import { useEffect, useRef, useState } from "preact/hooks";
import { api, ask, type Schemas } from "../../api/client";
import { t } from "../../i18n";
import { Words } from "../../parts/words";
import { Drawing } from "./gl";
import { nearest, type Cloud, type Place } from "./points";
import { moved, pixelOf, placeAt, within, zoomed, type Size, type View } from "./view";

const REACH_PX = 8;
const REST_MS = 80;
const MOST_NAMES = 5;
const MOST_CORNERS = 200;
const LEAST_PX = 3;

interface Hover {
  at: Place;
  found: Schemas["SelectedOut"] | null;
}

export function MapCanvas(props: {
  cloud: Cloud | null;
  view: View;
  size: Size;
  only: number;
  marked: readonly Place[];
  isLasso: boolean;
  setView: (view: View) => void;
  setSize: (size: Size) => void;
  choose: (corners: Place[]) => void;
}) {
  const { cloud, view, size, marked } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const drawing = useRef<Drawing | null>(null);
  const [can, setCan] = useState(true);
  const [line, setLine] = useState<Place[]>([]);
  const [hover, setHover] = useState<Hover | null>(null);
  const latest = useRef(props);
  latest.current = props;

  useEffect(() => {
    const target = box.current;
    if (!target || !canvas.current) return;
    drawing.current = Drawing.on(canvas.current);
    setCan(drawing.current !== null);
    if (drawing.current) drawing.current.onComplete = () => performance.mark("map.complete");
    const resize = (): void => {
      const found = { width: target.clientWidth, height: target.clientHeight };
      drawing.current?.resize(found);
      latest.current.setSize(found);
    };
    const observer = new ResizeObserver(resize);
    observer.observe(target);
    const forget = followRatio(resize);
    const onWheel = (event: WheelEvent): void => {
      event.preventDefault(); // which a passive listener could not
      const { left, top } = target.getBoundingClientRect();
      const { view, size, setView } = latest.current;
      const factor = Math.exp(-event.deltaY / 400);
      setView(zoomed(view, size, factor, event.clientX - left, event.clientY - top));
    };
    target.addEventListener("wheel", onWheel, { passive: false });
    return () => {
      observer.disconnect();
      forget();
      target.removeEventListener("wheel", onWheel);
      drawing.current?.stop();
    };
  }, []);
  const { x, y, scale } = view;
  useEffect(() => drawing.current?.look({ x, y, scale }, props.only), [x, y, scale, props.only]);
  const loaded = cloud?.loaded ?? 0;
  useEffect(() => {
    if (!cloud || !loaded) return;
    drawing.current?.show(cloud);
    requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("map.painted")));
  }, [cloud, loaded]);

  const pointer = usePointer(box, latest, setLine, setHover);
  return (
    <div class={`map-box${props.isLasso ? " lasso" : ""}`} ref={box} {...pointer}>
      <canvas ref={canvas} role="img" aria-label={t("map.canvas", { n: cloud?.count ?? 0 })} />
      <svg class="map-marks" aria-hidden="true">
        {marked.map((at) => {
          const { left, top } = pixelOf(view, size, at);
          return <circle key={`${at.x} ${at.y}`} cx={left} cy={top} r={6} />;
        })}
        {line.length > 1 && <polygon points={line.map(({ x, y }) => `${x},${y}`).join(" ")} />}
      </svg>
      {hover && <Tip hover={hover} view={view} size={size} />}
      {!can && <p class="notice">{t("map.no.webgl")}</p>}
    </div>
  );
}

/** Calls when a CSS pixel has another number of pixels, as on another screen; ends that. */
function followRatio(changed: () => void): () => void {
  let query: MediaQueryList;
  const follow = (): void => {
    query = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
    query.addEventListener("change", onChange, { once: true });
  };
  const onChange = (): void => {
    changed();
    follow();
  };
  follow();
  return () => query.removeEventListener("change", onChange);
}

type Props = Parameters<typeof MapCanvas>[0];

/** Handlers of the mouse or a finger: one at a time moves the map, or draws the line. */
function usePointer(
  box: { current: HTMLDivElement | null },
  latest: { current: Props },
  setLine: (line: Place[]) => void,
  setHover: (hover: Hover | null) => void,
) {
  const held = useRef<{ id: number; left: number; top: number; line: Place[] | null } | null>(null);
  const resting = useRef<{ timer: number; abort: AbortController } | null>(null);
  const at = (event: PointerEvent): { left: number; top: number } => {
    const { left, top } = box.current!.getBoundingClientRect();
    return { left: event.clientX - left, top: event.clientY - top };
  };
  const rest = (): void => {
    if (resting.current) {
      clearTimeout(resting.current.timer);
      resting.current.abort.abort();
    }
    resting.current = null;
  };
  useEffect(() => rest, []);
  const look = (left: number, top: number, signal: AbortSignal): void => {
    const { cloud, view, size } = latest.current;
    const found = cloud && nearest(cloud, placeAt(view, size, left, top), REACH_PX / view.scale);
    if (!cloud || !found) return;
    setHover({ at: found, found: null });
    const body = { near: { ...found, radius: 0 }, limit: MOST_NAMES, layout_id: cloud.layoutId };
    ask(api.POST("/v1/layouts/current:select", { body: body as never, signal })).then(
      (known) => setHover({ at: found, found: known }),
      () => undefined, // a hint, which may be missing
    );
  };
  return {
    onPointerDown: (event: PointerEvent) => {
      if (event.button !== 0 || held.current) return;
      box.current!.setPointerCapture(event.pointerId);
      rest();
      setHover(null);
      const place = at(event);
      const isLine = latest.current.isLasso || event.shiftKey;
      const line = isLine ? [{ x: place.left, y: place.top }] : null;
      held.current = { id: event.pointerId, ...place, line };
    },
    onPointerMove: (event: PointerEvent) => {
      const { left, top } = at(event);
      const now = held.current;
      if (!now) {
        rest();
        setHover(null);
        if (event.pointerType !== "mouse") return;
        const abort = new AbortController();
        const timer = setTimeout(() => look(left, top, abort.signal), REST_MS);
        resting.current = { timer: timer as unknown as number, abort };
      } else if (event.pointerId !== now.id) {
        return;
      } else if (now.line) {
        const last = now.line.at(-1)!;
        if (Math.hypot(left - last.x, top - last.y) < LEAST_PX) return;
        now.line = [...now.line, { x: left, y: top }];
        setLine(now.line);
      } else {
        const { view, setView } = latest.current;
        setView(moved(view, left - now.left, top - now.top));
        held.current = { ...now, left, top };
      }
    },
    onPointerUp: (event: PointerEvent) => {
      const now = held.current;
      if (event.pointerId !== now?.id) return;
      held.current = null;
      setLine([]);
      if (now.line && now.line.length > 2) {
        const { view, size, choose } = latest.current;
        const every = Math.ceil(now.line.length / MOST_CORNERS);
        const corners = now.line.filter((_, i) => i % every === 0);
        choose(corners.map(({ x, y }) => within(placeAt(view, size, x, y))));
      }
    },
    onPointerCancel: () => {
      held.current = null;
      setLine([]);
    },
    onPointerLeave: () => {
      rest();
      setHover(null);
    },
  };
}

function Tip({ hover, view, size }: { hover: Hover; view: View; size: Size }) {
  const { left, top } = pixelOf(view, size, hover.at);
  const isRight = left > size.width / 2;
  const place = isRight ? { right: size.width - left + 10, top } : { left: left + 10, top };
  if (!hover.found) return null;
  const { streamers, count } = hover.found;
  return (
    <ul class="map-tip" style={place}>
      {streamers.map((one) => (
        <li key={one.streamer_id}>
          <Words value={one.name || one.streamer_id} />{" "}
          {one.category && (
            <span class="quiet">
              <Words value={one.category} />
            </span>
          )}
        </li>
      ))}
      {count > streamers.length && <li class="quiet">+{count - streamers.length}</li>}
    </ul>
  );
}
