import type { SlotVector } from '@sotto/he/scheme';
import { forwardRows, type KvCache, type LlamaModel } from '@sotto/model';
import type { Calibration } from './calibration.js';
import type { Conversation, TransformerOptions } from './execute.js';
import type { Plan } from './plan.js';
import type { CutName } from './schedule.js';
import {
  idealEnd,
  idealExponential,
  idealGate,
  idealMiddle,
  idealNormalised,
  idealRoot,
  idealScore,
  idealSilu,
  idealWeights,
} from './trace-ideal.js';
import { idealBilinear, idealFromHeads, idealHeads } from './trace-kernel.js';
import {
  type Ideal,
  type IdealPlace,
  type IdealRows,
  type IdealScope,
  idealStream,
  streamRows,
} from './trace-slots.js';

/** One step of a traced pass beside what it should have given. */
export interface TracedStep {
  readonly block: number;
  readonly layer: number;
  /** A state of the layer (see `cutNames`), `end`, or `refresh` and a state. */
  readonly name: string;
  readonly level: number;
  /** Largest magnitude that the step should have given; bits are relative to it. */
  readonly magnitude: number;
  /** Error of every compared slot: real parts, then imaginary ones where they count. */
  readonly errors: Float64Array;
  /** Root mean square error that the step's polynomials may have. */
  readonly allowed: number;
  readonly window: number;
  readonly windowLimit: number;
  /** Bits in which the residual stream agrees with the clear model's; null at other steps. */
  readonly modelBits: number | null;
}

export interface TraceOptions<C> {
  readonly model: LlamaModel;
  readonly calibration: Calibration;
  readonly plan: Plan;
  /** The slots of a state; on an encrypted scheme whoever owns the secret gives this. */
  readonly read: (value: C) => SlotVector;
}

const rms = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  return Math.sqrt(sum / Math.max(1, values.length));
};

/** -log2 of an error relative to a magnitude, at most the bits of a double. */
export function bitsOf(error: number, magnitude: number): number {
  if (!(error <= Number.MAX_VALUE)) return Number.NEGATIVE_INFINITY;
  return Math.min(52, -Math.log2(error / magnitude));
}

/** Up, from a state with half of gate + i up. */
const upOf = (halves: SlotVector): Float64Array => halves.im!.map((v) => 2 * v);

/**
 * Compares every state of a pass with what it should be: the exact function, in float64 and row by row, of the decrypted states
 * that it was computed from. So each step's error is its own: noise and approximation do not add up, and a fault shows in the step
 * that makes it.
 *
 * Give {@link observe} to a transformer as its trace, and call {@link begin} before each block.
 */
export class PrecisionTrace<C> {
  readonly steps: TracedStep[] = [];
  readonly #options: TraceOptions<C>;
  #block = -1;
  #place: IdealPlace | null = null;
  readonly #past: IdealRows[];
  #clearRows: Map<string, Float64Array[]> = new Map();
  #clearCache: KvCache | null = null;
  /** The latest reading of each state of the layer, and its residual streams. */
  #states = new Map<string, SlotVector>();
  #x: Float64Array[] = [];
  #middle: Float64Array[] = [];

  constructor(options: TraceOptions<C>) {
    this.#options = options;
    this.#past = Array.from({ length: options.model.config.layerCount }, () => ({ keys: [], values: [] }));
  }

  /**
   * A block is about to run.
   *
   * @param embedded its rows as the clear model would embed them.
   */
  begin(talk: Conversation<C>, embedded: readonly Float64Array[]): void {
    const { context, cache } = talk;
    this.#block++;
    this.#place = {
      start: context.length + cache.length,
      rows: embedded.length,
      firstColumn: cache.columns.length,
      context,
    };
    this.#clearCache ??= context.cache.fork();
    this.#clearRows = new Map();
    forwardRows(this.#options.model, embedded, this.#clearCache, (name, layer, position, values) => {
      if (name !== 'residual' && name !== 'residualMiddle') return;
      const rows = this.#clearRows.get(`${layer} ${name}`) ?? [];
      rows[position - this.#place!.start] = Float64Array.from(values);
      this.#clearRows.set(`${layer} ${name}`, rows);
    });
  }

  /** Sees one state, as the trace of a transformer. */
  readonly observe: NonNullable<TransformerOptions<C & object>['trace']> = ({
    layer,
    name,
    level,
    value,
  }) => {
    const { model, plan, calibration, read } = this.#options;
    const { polynomials: all, layout, degrees, client } = plan;
    const polynomials = all[layer]!;
    const scope: IdealScope = {
      model,
      layout,
      index: layer,
      calibration: calibration.layers[layer]!,
      polynomials,
      degrees: degrees[layer]!,
      place: this.#place!,
      past: this.#past[layer]!,
      nextStreamScale: all[layer + 1]?.attentionNorm.streamScale ?? client.outputScale,
    };
    const got = read(value);
    // It is the end of the layer before, which has been compared.
    if (name === 'start' && layer > 0) {
      this.#states = new Map([['start', got]]);
      return;
    }
    const refreshed = name.startsWith('refresh ');
    const state = refreshed ? name.slice('refresh '.length) : name;
    const ideal = refreshed ? this.#refreshed(scope, state) : this.#ideal(scope, name);
    // Both numbers of a packed pair are there after a refresh.
    this.#states.set(state, got);
    if (state === 'silu' && refreshed && got.im !== null)
      this.#states.set('up', { re: got.im.slice(), im: null });
    if (state === 'start') this.#x = streamRows(scope, got, polynomials.attentionNorm.streamScale);
    if (state === 'middle') this.#middle = streamRows(scope, got, polynomials.feedForwardNorm.streamScale);
    this.#push(layer, name, level, got, ideal, this.#modelBits(scope, state, layer, got));
  };

  /** What a refresh should give: what went in. Beside a packed pair nothing but real parts is compared. */
  #refreshed(s: IdealScope, state: string): Ideal {
    const before = this.#states.get(state)!;
    const second =
      state === 'silu'
        ? this.#states.get('gate')?.im?.map((v) => 2 * v)
        : state === 'gate'
          ? before.im
          : undefined;
    const slots: number[] = [];
    for (let slot = 0; slot < s.layout.slots; slot++)
      if (slot % s.layout.blockRows < s.place.rows) slots.push(slot);
    const pick = (values: Float64Array) =>
      Float64Array.from(slots, (slot) => values[slot & (values.length - 1)]!);
    return {
      slots: Int32Array.from(slots),
      re: pick(before.re),
      im: second ? pick(second) : null,
      allowed: new Float64Array(slots.length),
      window: 0,
      windowLimit: 1,
    };
  }

  #ideal(s: IdealScope, name: string): Ideal {
    const of = (state: string): SlotVector => this.#states.get(state)!;
    switch (name) {
      case 'start':
        return idealStream(s, this.#clearRows.get('0 residual')!, s.polynomials.attentionNorm.streamScale);
      case 'score':
        return idealScore(s, this.#x);
      case 'root':
        return idealRoot(s, of('score'));
      case 'exponential':
        return idealExponential(s, of('root'));
      case 'normalised':
        return idealNormalised(s, of('exponential'));
      case 'weights':
        return idealWeights(s, of('normalised'));
      case 'heads':
        return idealHeads(s, this.#x);
      case 'middle':
        return s.polynomials.kernel === null
          ? idealMiddle(s, of('weights'), this.#x)
          : idealFromHeads(s, of('heads'), this.#x);
      case 'gate':
        return idealGate(s, this.#middle);
      case 'silu':
        return idealSilu(s, of('gate'), this.#isRefreshed(s, 'silu') ? null : upOf(of('gate')));
      default: {
        if (s.polynomials.silu === null) return idealBilinear(s, this.#middle);
        const up = this.#isRefreshed(s, 'silu') ? of('up').re : null;
        return idealEnd(s, of('silu'), up, this.#middle);
      }
    }
  }

  #isRefreshed({ index }: IdealScope, cut: CutName): boolean {
    return this.#options.plan.cuts[index]!.includes(cut);
  }

  #modelBits(s: IdealScope, state: string, layer: number, got: SlotVector): number | null {
    const [key, streamScale] =
      state === 'start'
        ? [`${layer} residual`, s.polynomials.attentionNorm.streamScale]
        : state === 'middle'
          ? [`${layer} residualMiddle`, s.polynomials.feedForwardNorm.streamScale]
          : state === 'end'
            ? [`${layer + 1} residual`, s.nextStreamScale]
            : ['', 1];
    const want = this.#clearRows.get(key);
    if (want === undefined) return null;
    const errors = streamRows(s, got, streamScale).flatMap((row, r) =>
      Array.from(row, (value, f) => value - want[r]![f]!),
    );
    const largest = want.reduce((most, row) => row.reduce((a, v) => Math.max(a, Math.abs(v)), most), 0);
    return bitsOf(rms(errors), largest);
  }

  #push(
    layer: number,
    name: string,
    level: number,
    got: SlotVector,
    ideal: Ideal,
    modelBits: number | null,
  ): void {
    const { slots, re, im } = ideal;
    const count = slots.length;
    const errors = new Float64Array(im === null ? count : 2 * count);
    let magnitude = 0;
    for (let i = 0; i < count; i++) {
      errors[i] = got.re[slots[i]! & (got.re.length - 1)]! - re[i]!;
      magnitude = Math.max(magnitude, Math.abs(re[i]!));
      if (im === null) continue;
      const part = got.im === null ? 0 : got.im[slots[i]! & (got.im.length - 1)]!;
      errors[count + i] = part - im[i]!;
      magnitude = Math.max(magnitude, Math.abs(im[i]!));
    }
    this.steps.push({
      block: this.#block,
      layer,
      name,
      level,
      magnitude,
      errors,
      allowed: rms(ideal.allowed),
      window: ideal.window,
      windowLimit: ideal.windowLimit,
      modelBits,
    });
  }
}

/** One line of a report. */
export interface TraceLine {
  readonly block: number;
  readonly layer: number;
  readonly name: string;
  readonly level: number;
  /** Bits of the step by itself, of the largest value in it. */
  readonly bits: number;
  readonly forecastBits: number;
  readonly modelBits: number | null;
  readonly window: number;
  /** Why the step fell below its forecast; null when it did not. */
  readonly fault: 'precision' | 'window' | null;
}

/** A step may have so much less than its forecast: forecasts are averages. */
const MARGIN_BITS = 1.5;

/**
 * Judges a traced pass by forecasts from two passes of the same plan on the cleartext scheme, one with noise and one without: their
 * difference is the noise of each step, to which the bounds of the plan's polynomials are added. A fault that is in all three
 * passes is not in that difference, so it shows.
 *
 * @returns one line a step, in order.
 */
export function judgeTrace(
  traced: readonly TracedStep[],
  noisy: readonly TracedStep[],
  noiseless: readonly TracedStep[],
): TraceLine[] {
  return traced.map((step, i) => {
    const { block, layer, name, level, magnitude, modelBits, window, windowLimit } = step;
    const with_ = noisy[i];
    const without = noiseless[i];
    if (with_?.name !== name || without?.name !== name || with_.errors.length !== step.errors.length) {
      throw new Error(
        `The passes are not of one plan: step ${i} is ${name} in one and ${with_?.name} in another.`,
      );
    }
    const noise = rms(with_.errors.map((e, k) => e - without.errors[k]!));
    const forecastBits = bitsOf(Math.hypot(noise, with_.allowed), with_.magnitude);
    const bits = bitsOf(rms(step.errors), magnitude);
    const low = !(bits >= forecastBits - MARGIN_BITS);
    const outside = !(window <= windowLimit);
    const fault = outside ? 'window' : low ? 'precision' : null;
    return { block, layer, name, level, bits, forecastBits, modelBits, window, fault };
  });
}
