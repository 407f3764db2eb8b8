import { SottoError } from '@sotto/base';
import { CleartextRefresher, createCleartextEvaluator } from '@sotto/he/cleartext';
import {
  embedTokens,
  forwardRows,
  KvCache,
  type LlamaConfig,
  type LlamaModel,
  meanSquare,
  SeededRandom,
} from '@sotto/model';
import { expect, test } from 'vitest';
import {
  type AnyLayerCalibration,
  type Calibration,
  calibrate,
  EncryptedTransformer,
  embedRows,
  makePlan,
  readHidden,
  tinyTestModel,
} from './index.js';
import { observeRanges, type RangeKind, windowOf } from './row-ranges.js';

const open = [1, 5];
const secret = [4, 9, 11, 3];

const shapes: Record<string, Partial<LlamaConfig>> = {
  softmax: {},
  kernel: { attention: 'kernel4-rms', gate: 'bilinear' },
};
const sharp = sharpModel();

interface Case {
  readonly model: LlamaModel;
  readonly calibration: Calibration;
}

/**
 * A model whose scores reach far below those that carry weight, so that a window can end in between: invisible keys are put at its
 * end, and must carry none.
 */
function sharpModel(): Case {
  const { model: soft } = tinyTestModel(1);
  const layers = soft.layers.map((layer) => ({ ...layer, wq: layer.wq.map((value) => 3 * value) }));
  const model = { ...soft, layers, digest: `${soft.digest}-sharp` };
  const random = new SeededRandom(6);
  const texts = Array.from({ length: 64 }, () =>
    Array.from({ length: 24 }, () => 3 + Math.floor(random.next() * (model.config.vocabSize - 3))),
  );
  return {
    model,
    calibration: calibrate(model, { texts: 0, tokens: 32, seed: 1, corpora: [{ name: 'random', texts }] }),
  };
}

/** What a pass with a calibration gives: how far from the clear model it is, in units of its rms, or the code of its refusal. */
async function outcome({ model, calibration }: Case, guarded = true): Promise<number | string> {
  const settings = { slots: 512, topLevel: 12, blockRows: 4 };
  try {
    const plan = await makePlan(model, calibration, settings);
    const evaluator = createCleartextEvaluator(
      { slots: 512, levels: 12, logScale: 40, noise: { ringDegree: 2 ** 16 } },
      { byValue: true },
    );
    // As a bootstrapping of a message ratio of 12 bits: no error beyond its range, but sines.
    const refresher = new CleartextRefresher(evaluator, {
      bits: 20,
      messageRatio: 2 ** 12,
      onEscape: 'count',
    });
    const transformer = new EncryptedTransformer({ model, calibration, plan, evaluator, refresher });
    const talk = transformer.conversation(open);
    const out = await transformer.forward(
      talk,
      evaluator.fromSlots(embedRows(model, plan.client, secret), plan.client.inputLevel),
      secret.length,
    );
    const limit = guarded ? plan.client.healthLimit : Number.POSITIVE_INFINITY;
    const got = readHidden({ ...plan.client, healthLimit: limit }, evaluator.toSlots(out), secret.length);
    const rows = forwardRows(model, embedTokens(model, [...open, ...secret]), new KvCache(2));
    const want = rows.slice(open.length);
    const error = got.map((row, r) => meanSquare(row.map((value, i) => value - want[r]![i]!)));
    return Math.sqrt(Math.max(...error.map((square, r) => square / meanSquare(want[r]!))));
  } catch (error) {
    if (SottoError.is(error)) return error.code;
    throw error;
  }
}

/** The extremes of the values of one window in the pass of {@link outcome}. */
function extremesOf({ model, calibration }: Case, kind: RangeKind, layer: number) {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  const watch = observeRanges(calibration.layers, open.length, (of, at, least, most) => {
    if (of !== kind || at !== layer) return;
    low = Math.min(low, least);
    high = Math.max(high, most);
  });
  forwardRows(model, embedTokens(model, [...open, ...secret]), new KvCache(2), watch);
  return { low, high };
}

/**
 * The calibration with one window so narrow that the pass leaves it: the end that is left is where `beyond` of the window lies
 * outside.
 */
function narrowed(
  calibration: Calibration,
  kind: RangeKind,
  layer: number,
  side: 'low' | 'high',
  { low, high }: { low: number; high: number },
  beyond: number,
): Calibration {
  const layers = calibration.layers.map((c, l): AnyLayerCalibration => {
    if (l !== layer) return c;
    const size = Math.max(-low, high) / (1 + beyond);
    if (kind === 'gate' || kind === 'up' || kind === 'kernelBase') return { ...c, [kind]: size };
    if (kind === 'headMeanSquare') return { ...c, headMeanSquare: high / (1 + beyond) };
    const [a, b] = (c as unknown as Record<string, [number, number]>)[kind]!;
    // In the coordinate of the polynomial: sums are exponentials of what is calibrated.
    const [to, from] = kind === 'logSum' ? [Math.exp, Math.log] : [(x: number) => x, (x: number) => x];
    const moved =
      side === 'high'
        ? [a, from(to(a) + (to(high) - to(a)) / (1 + beyond / 2))]
        : [from(to(b) - (to(b) - to(low)) / (1 + beyond / 2)), b];
    return { ...c, [kind]: moved };
  });
  return { ...calibration, layers };
}

/** Windows of arguments of polynomials; the others only scale what refreshes carry. */
const watched = new Set<RangeKind>([
  'attentionMeanSquare',
  'feedForwardMeanSquare',
  'score',
  'logSum',
  'headMeanSquare',
]);

for (const [name, shape] of Object.entries(shapes)) {
  const tiny = tinyTestModel(1, shape);
  const { calibration } = tiny;
  const kinds = Object.keys(calibration.layers[0]!).filter(
    (kind) => !['shift', 'offset', 'slope', 'residual', 'residualMiddle', 'logSquareSum'].includes(kind),
  ) as RangeKind[];

  test(`${name}: inside all windows the pass is accurate`, async () => {
    expect(await outcome(tiny)).toBeLessThan(0.01);
  });

  test.each(calibration.layers.flatMap((_, layer) => kinds.map((kind) => [layer, kind] as const)))(
    `${name}: what leaves the window of layer %i, %s, is refused or accurate`,
    async (layer, kind) => {
      const of = kind === 'score' ? sharp : tiny;
      const window = windowOf(of.calibration, kind, layer);
      const sides = (['low', 'high'] as const).filter(
        (side) =>
          Number.isFinite(window[side === 'low' ? 0 : 1]) && (side === 'high' || window[0] !== -window[1]),
      );
      const extremes = extremesOf(of, kind, layer);
      const found: string[] = [];
      for (const side of kind === 'headMeanSquare' ? (['high'] as const) : sides) {
        for (const beyond of [0.02, 0.3, 1.5]) {
          const result = await outcome({
            ...of,
            calibration: narrowed(of.calibration, kind, layer, side, extremes, beyond),
          });
          found.push(`${side} ${beyond}: ${result}`);
          if (typeof result === 'number') expect(result, found.at(-1)!).toBeLessThan(0.03);
          else expect(result).toMatch(/ENGINE_OUTPUT_ESCAPED|HE_REFRESH_SHAPE|HE_REFRESH_RANGE/);
        }
        // Where a polynomial is, far outside is an error at the client: nothing of it is answered.
        if (watched.has(kind)) expect(found.at(-1)).not.toMatch(/[0-9]$/);
      }
    },
  );
}

test('without guards, copies that agree would let a wrong result through', async () => {
  const tiny = tinyTestModel(1);
  const extremes = extremesOf(tiny, 'feedForwardMeanSquare', 1);
  const calibration = narrowed(tiny.calibration, 'feedForwardMeanSquare', 1, 'high', extremes, 0.2);
  expect(await outcome({ ...tiny, calibration }, false)).toBeGreaterThan(0.05);
  expect(await outcome({ ...tiny, calibration })).toBe('ENGINE_OUTPUT_ESCAPED');
});
