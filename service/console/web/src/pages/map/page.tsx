/** Map: all streamers in two dimensions, similar ones beside each other. */
import { useEffect, useState } from "preact/hooks";
import { useAsked } from "../../api/asked";
import { api, ask, Failure } from "../../api/client";
import { number, t } from "../../i18n";
import { Loading, Problem } from "../../parts/states";
import { useKeys } from "../../state/keyboard";
import { changed, go, place } from "../../state/location";
import { signIns } from "../../state/session";
import { Seeds } from "../find/seeds";
import { MapCanvas } from "./canvas";
import { Chosen, MOST_CHOSEN, type Selected } from "./chosen";
import { LayoutState } from "./layout";
import { Legend } from "./legend";
import { readCloud, type Cloud, type Place } from "./points";
import { cornersOf, fitting, moved, zoomed, type Size, type View } from "./view";

const STEP_PX = 80;
const ZOOM = 1.5;
const AROUND = 800;
const AROUND_PX = 120;

export default function MapPage() {
  const { value, failure, again, renew } = useAsked("layouts", (signal) =>
    ask(api.GET("/v1/layouts", { signal })),
  );
  const [round, setRound] = useState(0);
  const drawAnew = async (): Promise<void> => {
    await renew();
    setRound((n) => n + 1);
  };
  return (
    <div class="map">
      <h1 class="unseen">{t("map.title")}</h1>
      {failure && <Problem failure={failure} again={again} />}
      {!value && !failure && <Loading />}
      {value && <LayoutState state={value} done={again} />}
      {value?.current && value.served && (
        <Shown key={`${value.served} ${round}`} drawAnew={() => void drawAnew()} />
      )}
    </div>
  );
}

/** The cloud, which grows as it comes; `loaded` tells that it did. */
function useCloud(colour: string | null) {
  const [cloud, setCloud] = useState<Cloud | null>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  const [, setLoaded] = useState(0);
  const [round, setRound] = useState(0);
  const who = signIns.value;
  useEffect(() => {
    const abort = new AbortController();
    setFailure(null);
    readCloud(colour, abort.signal, (coming) => {
      setCloud(coming);
      setLoaded(coming.loaded);
    }).catch((error: unknown) => {
      if (abort.signal.aborted) return;
      const found = Failure.of(error);
      if (found.status === 403) setCloud(null); // another key may have been told that
      setFailure(found);
    });
    return () => abort.abort();
  }, [colour, round, who]);
  return { cloud, failure, again: () => setRound((n) => n + 1) };
}

/** A line around streamers, and the layout that was drawn then. */
interface Line {
  corners: Place[];
  layoutId: string | null;
}

function Shown({ drawAnew }: { drawAnew: () => void }) {
  const { params } = place.value;
  const colour = params.get("colour");
  const at = params.get("at");
  const { cloud, failure, again } = useCloud(colour);
  const [size, setSize] = useState<Size>({ width: 0, height: 0 });
  const [view, setView] = useState<View | null>(null);
  const [only, setOnly] = useState(-1);
  const [isLasso, setLasso] = useState(false);
  const [line, setLine] = useState<Line | null>(null);
  const layoutId = cloud?.layoutId ?? null;
  // On another layout others are within it.
  const asked = line && (line.layoutId ?? layoutId) === layoutId ? line.corners : null;
  const shown = view ?? fitting(size);
  const known = useFields();
  const { question, ...selected } = useSelected(at, asked, layoutId);

  const answered = selected.failure ? null : selected.value;
  const { again: selectAgain } = selected;
  // Colours may come with another layout, on which the answer has to be asked for again.
  const isOld = answered !== null && answered.drawn !== null && answered.drawn !== layoutId;
  useEffect(() => {
    if (isOld && layoutId !== null) selectAgain();
  }, [isOld, layoutId, selectAgain]);
  const isOther =
    answered !== null && layoutId !== null && !isOld && answered.layout_id !== layoutId;
  const isGone = isOther || selected.failure?.code === "layout_not_found";
  const found = isGone || isOld || answered?.question !== question ? null : answered;
  const isAwaited = question !== null && !selected.failure && !isGone && (!isOld || !!layoutId);
  useEffect(() => {
    if (!found || asked || selected.waiting) return;
    setView((before) => ({
      x: found.x,
      y: found.y,
      scale: Math.max(before?.scale ?? 0, AROUND_PX / AROUND),
    }));
  }, [found, asked, selected.waiting]);
  useEffect(() => setOnly(-1), [colour]);
  const zoom = (factor: number): void =>
    setView(zoomed(shown, size, factor, size.width / 2, size.height / 2));
  const choose = (corners: Place[]): void => setLine({ corners, layoutId });
  const list = (): void => choose(cornersOf(shown, size));
  useKeys({
    "/": () => document.getElementById("at")?.focus(),
    l: list,
    "+": () => zoom(ZOOM),
    "-": () => zoom(1 / ZOOM),
    "0": () => setView(null),
    ArrowLeft: () => setView(moved(shown, STEP_PX, 0)),
    ArrowRight: () => setView(moved(shown, -STEP_PX, 0)),
    ArrowUp: () => setView(moved(shown, 0, STEP_PX)),
    ArrowDown: () => setView(moved(shown, 0, -STEP_PX)),
  });
  const marked: Place[] = found ? (asked ? found.streamers.slice(0, 200) : [found]) : [];
  return (
    <>
      {failure && <Problem failure={failure} again={again} />}
      <div class="map-ask">
        <Seeds
          name="at"
          label={t("map.at")}
          hint={t("find.like.hint")}
          ids={at ? [at] : []}
          set={(ids) => {
            setLine(null);
            go("map", changed({ at: ids.at(-1) ?? null }));
          }}
        />
        <Legend
          cloud={cloud}
          colour={colour}
          fields={known}
          only={only}
          setColour={(field) => go("map", changed({ colour: field }), true)}
          setOnly={setOnly}
        />
      </div>
      <div class="toolbar" role="toolbar" aria-label={t("map.tools")}>
        <button type="button" aria-pressed={isLasso} onClick={() => setLasso(!isLasso)}>
          {t("map.lasso")}
        </button>
        <button type="button" onClick={list}>
          {t("map.list")} <kbd>l</kbd>
        </button>
        <button type="button" aria-label={t("map.closer")} onClick={() => zoom(ZOOM)}>
          +
        </button>
        <button type="button" aria-label={t("map.farther")} onClick={() => zoom(1 / ZOOM)}>
          −
        </button>
        <button type="button" onClick={() => setView(null)}>
          {t("map.whole")} <kbd>0</kbd>
        </button>
        <span class="spring" />
        <span class="quiet">{cloud && t("map.count", { n: number(cloud.count) })}</span>
        {cloud && cloud.waiting > 0 && (
          <span class="quiet">{t("map.waiting", { n: number(cloud.waiting) })}</span>
        )}
      </div>
      <div class={isAwaited ? "map-both" : ""}>
        <MapCanvas
          cloud={cloud}
          view={shown}
          size={size}
          only={only}
          marked={marked}
          isLasso={isLasso}
          setView={setView}
          setSize={setSize}
          choose={(corners) => {
            setLasso(false);
            choose(corners);
          }}
        />
        {selected.failure && !isGone && (
          <Problem failure={selected.failure} again={selected.again} />
        )}
        {isGone && (
          <p class="notice" role="alert">
            {t("map.gone")}{" "}
            <button type="button" onClick={drawAnew}>
              {t("map.gone.show")}
            </button>
          </p>
        )}
        {isAwaited && (
          <Chosen
            found={found}
            title={asked ? t("map.chosen") : t("map.around", { id: at ?? "" })}
            look={(where) => setView({ ...shown, x: where.x, y: where.y })}
            close={() => {
              setLine(null);
              if (at) go("map", changed({ at: null }), true);
            }}
          />
        )}
      </div>
    </>
  );
}

/** Who was chosen, what was asked, and the layout that was drawn then; null: none yet. */
type SelectedThen = Selected & { drawn: string | null; question: string | null };

/** Who is in a part of the map as it is drawn, or around a streamer. */
function useSelected(at: string | null, corners: Place[] | null, layoutId: string | null) {
  const body = corners
    ? {
        polygon: corners.map(({ x, y }) => [x, y]),
        limit: MOST_CHOSEN,
        ...(layoutId !== null && { layout_id: layoutId }),
      }
    : at && { streamer_id: at, radius: AROUND, limit: 100 };
  const question = body ? JSON.stringify(body) : null;
  const selected = useAsked<SelectedThen>(question, async (signal) => {
    const asked = api.POST("/v1/layouts/current:select", { body: body as never, signal });
    return { ...(await ask(asked)), drawn: layoutId, question };
  });
  return { ...selected, question };
}

/** Fields of which colours can be made, as far as this key may see them. */
function useFields(): string[] {
  const { value } = useAsked("fields", (signal) =>
    ask(api.POST("/v1/streamers:facets", { body: { fields: ["category"], most: 1 }, signal })),
  );
  return value?.known_fields ?? [];
}
