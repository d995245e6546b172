/** The points of the map, as they come: any part from the beginning is spread over all of it. */
import { api, ask, reach } from "../../api/client";

export const STEPS = 65534;

/** A value of the field that colours tell, or a range of numbers. */
export interface ValueClass {
  value?: string | number | boolean;
  gte?: number;
  lte?: number;
  count: number;
}

interface Head {
  layout_id: string;
  count: number;
  block: number;
  waiting: number;
  classes: ValueClass[];
}

/** What is here so far: the first `loaded` of `count` points. */
export interface Cloud {
  layoutId: string;
  count: number;
  waiting: number;
  classes: ValueClass[];
  loaded: number;
  xs: Uint16Array;
  ys: Uint16Array;
  codes: Uint8Array;
}

export interface Place {
  x: number;
  y: number;
}

/** Bytes of a stream, as many at a time as are asked for. */
class Source {
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  private parts: Uint8Array[] = [];
  private size = 0;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.reader = stream.getReader();
  }

  async take(size: number): Promise<Uint8Array<ArrayBuffer>> {
    while (this.size < size) {
      const { value, done } = await reach(this.reader.read());
      if (done) throw new Error("the map ended before all of it was here");
      this.parts.push(value);
      this.size += value.length;
    }
    const taken = new Uint8Array(size);
    let filled = 0;
    while (filled < size) {
      const first = this.parts[0] as Uint8Array;
      const some = first.subarray(0, size - filled);
      taken.set(some, filled);
      filled += some.length;
      if (some.length === first.length) this.parts.shift();
      else this.parts[0] = first.subarray(some.length);
    }
    this.size -= size;
    return taken;
  }
}

/** Reads the map; `told` is called whenever more of it is here, with the same cloud. */
export async function readCloud(
  colour: string | null,
  signal: AbortSignal,
  told: (cloud: Cloud) => void,
): Promise<Cloud> {
  const params = { query: colour ? { colour } : {} };
  const asked = api.GET("/v1/layouts/current/points", { params, parseAs: "stream", signal });
  const source = new Source((await ask(asked as Promise<never>)) as ReadableStream<Uint8Array>);
  const begin = new DataView((await source.take(8)).buffer);
  if (begin.getUint32(0, false) !== 0x53534d31) throw new Error("that is no map");
  const text = await source.take(begin.getUint32(4, true));
  const head = JSON.parse(new TextDecoder().decode(text)) as Head;
  const cloud: Cloud = {
    layoutId: head.layout_id,
    count: head.count,
    waiting: head.waiting,
    classes: head.classes,
    loaded: 0,
    xs: new Uint16Array(head.count),
    ys: new Uint16Array(head.count),
    codes: new Uint8Array(head.count),
  };
  while (cloud.loaded < cloud.count) {
    const size = Math.min(head.block, cloud.count - cloud.loaded);
    const block = await source.take(5 * size);
    cloud.xs.set(new Uint16Array(block.buffer, 0, size), cloud.loaded);
    cloud.ys.set(new Uint16Array(block.buffer, 2 * size, size), cloud.loaded);
    cloud.codes.set(block.subarray(4 * size), cloud.loaded);
    cloud.loaded += size;
    told(cloud);
  }
  return cloud;
}

/** The point nearest to a place, if it is within `radius` steps. */
export function nearest(cloud: Cloud, at: Place, radius: number): Place | null {
  const { xs, ys } = cloud;
  let least = radius * radius;
  let found = -1;
  for (let i = 0; i < cloud.loaded; i += 1) {
    const x = xs[i]! - at.x;
    const y = ys[i]! - at.y;
    const square = x * x + y * y;
    if (square <= least) {
      least = square;
      found = i;
    }
  }
  return found < 0 ? null : { x: xs[found]!, y: ys[found]! };
}
