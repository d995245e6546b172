/**
 * Draws the points by WebGL2, some of them in each frame.
 *
 * Points come in an order that is spread over the whole map: while the view moves each frame has
 * the first ones, and when it rests the others are added, frame by frame.
 */
import { OTHERS, PALETTE, partsOf } from "./palette";
import { STEPS, type Cloud } from "./points";
import type { Size, View } from "./view";

/** A software renderer draws so many in a fraction of a frame. */
const PER_FRAME = 50_000;
const VERTICES = `#version 300 es
in float x;
in float y;
in float code;
uniform vec2 scale;
uniform vec2 offset;
uniform float size;
uniform float only;
uniform vec3 palette[${PALETTE.length + 1}];
flat out vec4 colour;
void main() {
  gl_Position = vec4(vec2(x, y) * scale + offset, 0.0, 1.0);
  bool isShown = only < 0.0 || only == code;
  gl_PointSize = isShown ? size : max(1.0, size * 0.6);
  int place = code == 0.0 ? 0 : 1 + int(mod(code - 1.0, ${PALETTE.length}.0));
  colour = isShown ? vec4(palette[place], 0.85) : vec4(palette[0], 0.18);
}`;
const FRAGMENTS = `#version 300 es
precision mediump float;
flat in vec4 colour;
out vec4 shown;
void main() {
  shown = vec4(colour.rgb * colour.a, colour.a);
}`;

function compiled(gl: WebGL2RenderingContext, kind: number, source: string): WebGLShader {
  const shader = gl.createShader(kind);
  if (!shader) throw new Error("no shader can be made");
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) {
    throw new Error(gl.getShaderInfoLog(shader) ?? "a shader can't be compiled");
  }
  return shader;
}

export class Drawing {
  /** Called after a frame in which all points that are here were drawn. */
  onComplete: () => void = () => undefined;
  private readonly gl: WebGL2RenderingContext;
  private readonly canvas: HTMLCanvasElement;
  private buffers: Record<"x" | "y" | "code", WebGLBuffer> | null = null;
  private at: Record<string, WebGLUniformLocation | null> = {};
  private cloud: Cloud | null = null;
  private view: View = { x: 0, y: 0, scale: 1 };
  /** Pixels of the canvas for a CSS pixel. */
  private ratio = 1;
  private only = -1;
  private sent = 0;
  private drawn = -1;
  private frame = 0;

  private constructor(canvas: HTMLCanvasElement, gl: WebGL2RenderingContext) {
    this.canvas = canvas;
    this.gl = gl;
    this.prepare();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.prepare();
      const { cloud } = this;
      this.cloud = null;
      if (cloud) this.show(cloud);
    });
  }

  /** null: this browser has no WebGL2. */
  static on(canvas: HTMLCanvasElement): Drawing | null {
    const gl = canvas.getContext("webgl2", {
      antialias: false,
      depth: false,
      preserveDrawingBuffer: true,
    });
    return gl && new Drawing(canvas, gl);
  }

  /** Shows a cloud, or more of the one that is shown. */
  show(cloud: Cloud): void {
    const { gl } = this;
    if (cloud !== this.cloud) {
      this.cloud = cloud;
      this.sent = 0;
      this.drawn = -1;
      for (const [name, bytes] of [
        ["x", cloud.xs.byteLength],
        ["y", cloud.ys.byteLength],
        ["code", cloud.codes.byteLength],
      ] as const) {
        this.bind(name);
        gl.bufferData(gl.ARRAY_BUFFER, bytes, gl.STATIC_DRAW);
      }
    }
    for (const [name, array] of [
      ["x", cloud.xs],
      ["y", cloud.ys],
      ["code", cloud.codes],
    ] as const) {
      this.bind(name);
      const more = array.subarray(this.sent, cloud.loaded);
      gl.bufferSubData(gl.ARRAY_BUFFER, this.sent * array.BYTES_PER_ELEMENT, more);
    }
    this.sent = cloud.loaded;
    this.soon();
  }

  look(view: View, only = this.only): void {
    this.view = view;
    this.only = only;
    this.drawn = -1;
    this.soon();
  }

  resize(size: Size): void {
    const ratio = Math.min(devicePixelRatio, 2);
    this.ratio = ratio;
    this.canvas.width = Math.max(1, Math.round(size.width * ratio));
    this.canvas.height = Math.max(1, Math.round(size.height * ratio));
    this.drawn = -1;
    this.soon();
  }

  stop(): void {
    cancelAnimationFrame(this.frame);
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  private prepare(): void {
    const { gl } = this;
    const program = gl.createProgram();
    gl.attachShader(program, compiled(gl, gl.VERTEX_SHADER, VERTICES));
    gl.attachShader(program, compiled(gl, gl.FRAGMENT_SHADER, FRAGMENTS));
    gl.linkProgram(program);
    gl.useProgram(program);
    for (const name of ["scale", "offset", "size", "only", "palette"]) {
      this.at[name] = gl.getUniformLocation(program, name);
    }
    this.buffers = { x: gl.createBuffer(), y: gl.createBuffer(), code: gl.createBuffer() };
    for (const [name, kind] of [
      ["x", gl.UNSIGNED_SHORT],
      ["y", gl.UNSIGNED_SHORT],
      ["code", gl.UNSIGNED_BYTE],
    ] as const) {
      const place = gl.getAttribLocation(program, name);
      this.bind(name);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, 1, kind, false, 0, 0);
    }
    gl.uniform3fv(this.at["palette"]!, [OTHERS, ...PALETTE].flatMap(partsOf));
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.clearColor(0, 0, 0, 0);
    this.drawn = -1;
  }

  private bind(name: "x" | "y" | "code"): void {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.buffers![name]);
  }

  private soon(): void {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    this.frame = 0;
    const { gl, canvas, cloud, view, ratio } = this;
    if (!cloud || gl.isContextLost()) return;
    const [width, height] = [canvas.width / ratio, canvas.height / ratio];
    if (this.drawn < 0) {
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clear(gl.COLOR_BUFFER_BIT);
      const [right, up] = [(2 * view.scale) / width, (2 * view.scale) / height];
      gl.uniform2f(this.at["scale"]!, right, up);
      gl.uniform2f(this.at["offset"]!, -view.x * right, -view.y * up);
      gl.uniform1f(this.at["size"]!, ratio * sizeOf(cloud.count, view.scale));
      gl.uniform1f(this.at["only"]!, this.only);
      this.drawn = 0;
    }
    const more = Math.min(cloud.loaded - this.drawn, PER_FRAME);
    if (more > 0) gl.drawArrays(gl.POINTS, this.drawn, more);
    this.drawn += more;
    if (this.drawn < cloud.loaded) this.soon();
    else if (cloud.loaded === cloud.count) this.onComplete();
  }
}

/** CSS pixels of a point: few ones are larger, and so are those that are looked at closely. */
function sizeOf(count: number, scale: number): number {
  const apart = (STEPS * scale) / Math.sqrt(Math.max(count, 1));
  return Math.min(Math.max(apart / 2, 1), 7);
}
