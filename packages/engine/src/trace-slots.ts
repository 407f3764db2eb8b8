import type { SlotVector } from '@sotto/he/scheme';
import {
  attentionWidthOf,
  headDimOf,
  kvDimOf,
  type LlamaModel,
  meanSquare,
  rmsNorm,
  ropeAngle,
} from '@sotto/model';
import type { AnyLayerCalibration } from './calibration.js';
import type { Layout } from './layout.js';
import type { Degrees, LayerPolynomials, NormPolynomial, PolynomialErrors } from './polynomials.js';
import type { PublicContext } from './public-context.js';

/** What a step of a layer should give, computed in float64 from the decrypted values that went into it. */
export interface Ideal {
  /** Slots that are compared; those of the rows in use. */
  readonly slots: Int32Array;
  readonly re: Float64Array;
  /** Null where only real parts are compared. */
  readonly im: Float64Array | null;
  /** Error that the step's polynomials may have at each slot. */
  readonly allowed: Float64Array;
  /** How far the argument of the step's polynomials goes, 1 being the end of the window; 0 without a polynomial. */
  readonly window: number;
  /** Beyond this argument the polynomial grows out of hand. */
  readonly windowLimit: number;
}

/** The place of a block in its conversation. */
export interface IdealPlace {
  readonly start: number;
  readonly rows: number;
  /** Number of the first row's key. */
  readonly firstColumn: number;
  readonly context: PublicContext;
}

/** Keys (after RoPE) and values of the private rows of one layer so far. */
export interface IdealRows {
  readonly keys: Float64Array[];
  readonly values: Float64Array[];
}

export interface IdealScope {
  readonly model: LlamaModel;
  readonly layout: Layout;
  readonly index: number;
  readonly calibration: AnyLayerCalibration;
  readonly polynomials: LayerPolynomials;
  readonly degrees: Degrees;
  readonly place: IdealPlace;
  /** The layer's rows; what attention asks first appends to them. */
  readonly past: IdealRows;
  readonly nextStreamScale: number;
}

/** A polynomial of this degree has at most 1.6 times its size so far beyond its window. */
export const limitOf = (coefficients: readonly number[]): number => 1 + 0.5 / (coefficients.length - 1) ** 2;

export class Builder {
  readonly #slots: number[] = [];
  readonly #re: number[] = [];
  readonly #im: number[] = [];
  readonly #allowed: number[] = [];
  window = 0;

  add(slot: number, re: number, allowed = 0, im = 0): void {
    this.#slots.push(slot);
    this.#re.push(re);
    this.#im.push(im);
    this.#allowed.push(allowed);
  }

  /** An argument of a polynomial; `oneSided` where only its upper end is dangerous. */
  reach(argument: number, oneSided = false): void {
    const distance = oneSided ? argument : Math.abs(argument);
    this.window = Math.max(this.window, Number.isNaN(distance) ? Number.POSITIVE_INFINITY : distance);
  }

  finish(complex = false, windowLimit = 1): Ideal {
    return {
      slots: Int32Array.from(this.#slots),
      re: Float64Array.from(this.#re),
      im: complex ? Float64Array.from(this.#im) : null,
      allowed: Float64Array.from(this.#allowed),
      window: this.window,
      windowLimit,
    };
  }
}

export const at = (values: Float64Array, slot: number): number => values[slot & (values.length - 1)]!;

export function product(w: Float32Array, x: Float64Array, outputs: number): Float64Array {
  const out = new Float64Array(outputs);
  for (let i = 0; i < outputs; i++) {
    let sum = 0;
    for (let j = 0; j < x.length; j++) sum += w[i * x.length + j]! * x[j]!;
    out[i] = sum;
  }
  return out;
}

function rotated(x: Float64Array, position: number, headDim: number, base: number): Float64Array {
  const out = new Float64Array(x.length);
  for (let i = 0; i < x.length; i += 2) {
    const angle = ropeAngle(position, (i % headDim) / 2, headDim, base);
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    out[i] = x[i]! * cos - x[i + 1]! * sin;
    out[i + 1] = x[i]! * sin + x[i + 1]! * cos;
  }
  return out;
}

/** Rows of the residual stream from slots. */
export function streamRows(s: IdealScope, values: SlotVector, streamScale: number): Float64Array[] {
  const { layout, model, place } = s;
  return Array.from({ length: place.rows }, (_, row) =>
    Float64Array.from(
      { length: model.config.dim },
      (_, f) => at(values.re, f * layout.blockRows + row) / streamScale,
    ),
  );
}

/** Slots of rows of the residual stream, in every repetition. */
export function addStream(
  b: Builder,
  s: IdealScope,
  rows: readonly Float64Array[],
  allowed: readonly Float64Array[] | null,
  streamScale: number,
): void {
  const { layout, model } = s;
  for (let feature = 0; feature < layout.features; feature++) {
    const f = feature % layout.width;
    rows.forEach((row, r) => {
      const inside = f < model.config.dim;
      const slot = feature * layout.blockRows + r;
      const error = inside && allowed ? allowed[r]![f]! * streamScale : 0;
      b.add(slot, inside ? row[f]! * streamScale : 0, error);
    });
  }
}

/** The residual stream of the clear model, as a step should show it. */
export function idealStream(s: IdealScope, rows: readonly Float64Array[], streamScale: number): Ideal {
  const b = new Builder();
  addStream(b, s, rows, null, streamScale);
  return b.finish();
}

/** Argument of the polynomial of a norm. */
export function normArgument(norm: NormPolynomial, x: Float64Array): number {
  return meanSquare(x) * x.length * norm.streamScale ** 2 + norm.offset;
}

/** Worst error of one of the layer's polynomials; 0 where there is none. */
export const errorOf = (s: IdealScope, name: keyof PolynomialErrors): number =>
  s.polynomials.errors[name] ?? 0;

/** Normalised rows in front of attention, and their queries; appends their keys and values to the layer's. */
export function attentionRows(
  s: IdealScope,
  xs: readonly Float64Array[],
  b: Builder,
): { normalised: Float64Array[]; queries: Float64Array[] } {
  const { model, place, index, past } = s;
  const { config } = model;
  const w = model.layers[index]!;
  const headDim = headDimOf(config);
  const normalised = xs.map((x) => rmsNorm(x, w.attentionNorm, config.normEps));
  const queries = normalised.map((x, r) => {
    b.reach(normArgument(s.polynomials.attentionNorm, xs[r]!));
    const position = place.start + r;
    past.keys.push(rotated(product(w.wk, x, kvDimOf(config)), position, headDim, config.ropeBase));
    past.values.push(product(w.wv, x, kvDimOf(config)));
    return rotated(product(w.wq, x, attentionWidthOf(config)), position, headDim, config.ropeBase);
  });
  return { normalised, queries };
}
