import { type BootstrapOptions, EVAL_MOD_LEVELS } from '@sotto/he/bootstrap';
import type { Parameters } from '@sotto/he/rlwe';
import type { ExactShape } from '@sotto/he/scheme';

/** More large keys than this for a factor cost more bytes than the time they save is worth. */
const BABY_STEPS = 8;
/** A first factor of more butterflies has too many diagonals. */
const MOST_FIRST_RADIX = 6;

/** `sum` in `count` parts, the larger ones first. */
function split(sum: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => Math.ceil((sum - i) / count));
}

/**
 * The bootstrappings for the shapes that a plan refreshes, from the most general to the cheapest: one for all slots, and one for the
 * narrowest real shape when that fills at most a quarter of them; the latter alone where no other shape occurs.
 *
 * The wide transforms begin (CoeffsToSlots) or end (SlotsToCoeffs) with the butterflies that the narrow ones lack. So the narrow
 * factors have the strides, levels and keys of the wide ones, and the trace takes the keys of the first wide factor: together they
 * need hardly more keys than the wide one alone.
 */
export function chooseBootstraps(params: Parameters, shapes: readonly ExactShape[]): BootstrapOptions[] {
  const levels = params.bootstrap;
  if (levels === null) return [];
  const period = Math.min(params.maxSlots, ...shapes.filter(({ real }) => real).map((shape) => shape.period));
  const first = Math.log2(params.maxSlots / period);
  const alone: BootstrapOptions = { babySteps: BABY_STEPS };
  if (!(first >= 2 && first <= MOST_FIRST_RADIX) || period < 2 ** 6) return [alone];
  const up = split(Math.log2(period), levels.top - levels.residualTop - EVAL_MOD_LEVELS - 1);
  const down = split(Math.log2(period), levels.bottomLevel - 1);
  const hoisted = Math.min(first, Math.log2(BABY_STEPS));
  const narrow: BootstrapOptions = {
    slots: period,
    realOnly: true,
    babySteps: BABY_STEPS,
    coeffsToSlotsRadices: up,
    slotsToCoeffsRadices: down,
    traceRadices: [hoisted, ...new Array<number>(first - hoisted).fill(1)],
  };
  if (shapes.every((shape) => shape.real && shape.period === period)) return [narrow];
  return [{ ...alone, coeffsToSlotsRadices: [first, ...up], slotsToCoeffsRadices: [...down, first] }, narrow];
}
