import { SottoError } from '@sotto/base';
import type { SlotVector } from '@sotto/he/scheme';
import { embedTokens, type LlamaModel } from '@sotto/model';
import type { ClientPlan } from './plan.js';
import { StreamRotation } from './rotation.js';

/**
 * The slots of a block of embedded tokens, ready to encrypt at `plan.inputLevel`. Short blocks repeat their last token, so that no
 * row leaves the calibrated ranges.
 *
 * @param tokens 1..blockRows token ids.
 * @throws SottoError `ENGINE_BLOCK_ROWS`, `ENGINE_TOKEN_UNCALIBRATED`, `TOKEN_OUT_OF_RANGE`, `PLAN_MISMATCH`.
 */
export function embedRows(model: LlamaModel, plan: ClientPlan, tokens: readonly number[]): SlotVector {
  if (model.digest !== plan.modelDigest) {
    throw new SottoError('The server runs another model.', {
      code: 'PLAN_MISMATCH',
      facts: { own: model.digest, plan: plan.modelDigest },
      fix: 'Load the model that the server names.',
    });
  }
  if (tokens.length < 1 || tokens.length > plan.blockRows) {
    throw new SottoError('A block has between one row and the rows of the plan.', {
      code: 'ENGINE_BLOCK_ROWS',
      facts: { rows: tokens.length, blockRows: plan.blockRows },
      fix: 'Split the prompt into blocks.',
    });
  }
  const rotation = rotationOf(plan);
  const rows = embedTokens(model, tokens).map((row) => rotation?.apply(row) ?? row);
  requireCalibrated(plan, tokens);
  const re = new Float64Array(plan.width * plan.blockRows);
  for (let row = 0; row < plan.blockRows; row++) {
    const values = rows[Math.min(row, rows.length - 1)]!;
    for (let f = 0; f < plan.dim; f++) re[f * plan.blockRows + row] = values[f]! * plan.inputScale;
  }
  return { re, im: null };
}

const rotationOf = ({ dim, rotationSeed }: ClientPlan): StreamRotation | null =>
  rotationSeed === null ? null : new StreamRotation(dim, rotationSeed);

const hasPublicPrefix = (prefix: readonly number[], tokens: readonly number[]): boolean =>
  prefix.every((token, i) => tokens[i] === token);

/** @throws SottoError `PUBLIC_PREFIX_INVALID` unless the tokens begin with the prefix that the ranges were measured behind. */
export function requirePublicPrefix(prefix: readonly number[], tokens: readonly number[]): void {
  if (hasPublicPrefix(prefix, tokens)) return;
  throw new SottoError('The public part of a prompt does not begin with the calibrated prefix.', {
    code: 'PUBLIC_PREFIX_INVALID',
    facts: { length: tokens.length, prefixLength: prefix.length },
    fix: 'Put the public prefix of the plan (at least BOS) in front of the public tokens: ranges are calibrated behind it.',
  });
}

/**
 * The public part of a prompt behind the calibrated prefix, which absorbs massive activations. A part that begins with the prefix is
 * returned as it is; otherwise its BOS gives way to the prefix.
 */
export function withPublicPrefix(prefix: readonly number[], tokens: readonly number[]): readonly number[] {
  if (hasPublicPrefix(prefix, tokens)) return tokens;
  return [...prefix, ...tokens.slice(tokens[0] === prefix[0] ? 1 : 0)];
}

/**
 * The tokens (each once) that the model was hardly trained on: they leave the calibrated ranges, and the pass would be void.
 */
export function rareTokens(plan: ClientPlan, tokens: readonly number[]): number[] {
  const known = new Set(plan.knownTokens);
  return [...new Set(tokens)].filter((token) => !known.has(token));
}

/** @throws SottoError `ENGINE_TOKEN_UNCALIBRATED` when one of the tokens may not be private; which one is not said. */
export function requireCalibrated(plan: ClientPlan, tokens: readonly number[]): void {
  const rare = rareTokens(plan, tokens).length;
  if (rare === 0) return;
  throw new SottoError(
    'The private part has words or characters that calibration has not met or had to leave out.',
    {
      code: 'ENGINE_TOKEN_UNCALIBRATED',
      facts: { tokens: rare },
      fix: 'Leave out unusual words, symbols and scripts, or move them to the public part.',
    },
  );
}

/** Outputs and replicas farther than this apart, relative to the calibrated range, mean that a value left its window. */
const ESCAPE_SPREAD = 2 ** -6;
/** Outputs beyond this many calibrated ranges, too. */
const ESCAPE_MAGNITUDE = 2;
/** Guards are within [0, 1] up to noise. */
const GUARD_NOISE = 1 / 16;

/**
 * The residual stream of `rows` rows from the decrypted slots: for `finishLogits`. The imaginary part is twice the sum of the
 * squares of all window guards: above their number, some polynomial's argument was outside its window ({@link WindowGuard}). And every value is
 * there many times: where one explodes, the copies disagree, or the size is absurd.
 *
 * @throws SottoError `ENGINE_OUTPUT_ESCAPED`.
 */
export function readHidden(
  plan: ClientPlan,
  slots: { readonly re: Float64Array; readonly im: Float64Array | null },
  rows: number,
): Float64Array[] {
  const { blockRows, width, dim } = plan;
  const period = width * blockRows;
  const copies = slots.re.length / period;
  const out = Array.from({ length: rows }, () => new Float64Array(dim));
  let spread = 0;
  let magnitude = 0;
  let guards = 0;
  let lowest = 0;
  for (let row = 0; row < rows; row++) {
    for (let f = 0; f < dim; f++) {
      let low = Number.POSITIVE_INFINITY;
      let high = Number.NEGATIVE_INFINITY;
      let sum = 0;
      for (let copy = 0; copy < copies; copy++) {
        const slot = copy * period + f * blockRows + row;
        const value = slots.re[slot]!;
        low = Math.min(low, value);
        high = Math.max(high, value);
        sum += value;
        const guard = (slots.im?.[slot] ?? 0) / 2;
        guards = Math.max(guards, guard);
        lowest = Math.min(lowest, guard);
      }
      spread = Math.max(spread, high - low);
      magnitude = Math.max(magnitude, high, -low);
      out[row]![f] = sum / copies / plan.outputScale;
    }
  }
  const healthy = guards < plan.healthLimit * (1 + GUARD_NOISE) && -lowest < plan.healthLimit * GUARD_NOISE;
  if (!(healthy && spread < ESCAPE_SPREAD && magnitude < ESCAPE_MAGNITUDE)) {
    throw new SottoError('The encrypted computation left its calibrated range; its result is void.', {
      code: 'ENGINE_OUTPUT_ESCAPED',
      facts: {
        spread: spread.toPrecision(2),
        magnitude: magnitude.toPrecision(2),
        guards: guards.toPrecision(2),
        guardLimit: plan.healthLimit,
      },
      fix: 'Avoid rare characters in the private part, or use a mode without approximations.',
    });
  }
  const rotation = rotationOf(plan);
  return rotation === null ? out : out.map((row) => rotation.undo(row));
}
