import { describe, expect, test } from 'vitest';
import { DryRunEvaluator, DryRunRefresher } from './dry-run.js';
import { EncryptedTransformer, makePlan, type Plan, tinyTestModel } from './index.js';

const { model, calibration } = tinyTestModel(1);
const small = { slots: 1024, topLevel: 12 };

describe('the plan', () => {
  test('is the same for the same inputs, and plain data', async () => {
    const plan = await makePlan(model, calibration, small);
    expect(JSON.stringify(await makePlan(model, calibration, small))).toBe(JSON.stringify(plan));
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  });

  test.each([
    [9, 6],
    [10, 4],
    [12, 4],
    [14, 4],
  ])('at %d levels has %d refreshes a layer, one less in the first', async (topLevel, perLayer) => {
    const plan = await makePlan(model, calibration, { ...small, topLevel });
    expect(plan.refreshes).toBe(2 * perLayer - 1);
    expect(plan.block.refreshes).toBe(plan.refreshes);
  });

  test('levels below the bottom are never touched', async () => {
    const plan = await makePlan(model, calibration, { ...small, topLevel: 15, bottomLevel: 3 });
    expect(plan.refreshes).toBe(7);
    expect(Math.max(...plan.keys.rotations.map((key) => key.level))).toBeLessThanOrEqual(15);
    expect(Math.min(...plan.weights.map((weight) => weight.level))).toBeGreaterThan(3);
  });

  test('refuses what cannot fit', async () => {
    await expect(makePlan(model, calibration, { ...small, topLevel: 7 })).rejects.toThrow(
      /PLAN_TOO_FEW_LEVELS/,
    );
    await expect(makePlan(model, calibration, { ...small, slots: 8 })).rejects.toThrow(
      /PLAN_LAYOUT_IMPOSSIBLE/,
    );
    await expect(makePlan(model, calibration, { ...small, publicTokens: 10000 })).rejects.toThrow(
      /PLAN_WINDOW_EXCEEDED/,
    );
    const other = tinyTestModel(2).calibration;
    await expect(makePlan(model, other, small)).rejects.toThrow(/PLAN_CALIBRATION_MISMATCH/);
  });

  test('refuses ranges that no polynomial covers', async () => {
    const wide = {
      ...calibration,
      layers: calibration.layers.map((layer) => ({ ...layer, logSum: [-24, 2] as const })),
    };
    await expect(makePlan(model, wide, small)).rejects.toThrow(/PLAN_INACCURATE/);
    // A little wider than usual costs higher degrees, not accuracy.
    const wider = {
      ...calibration,
      layers: calibration.layers.map((layer) => ({
        ...layer,
        logSum: [-7.6, 1.5] as const,
        logSquareSum: [-5.5, 0] as const,
      })),
    };
    const plan = await makePlan(model, wider, small);
    for (const { inverse, lastInverse } of plan.degrees) {
      expect(inverse).toBeGreaterThanOrEqual(63);
      expect(lastInverse).toBeGreaterThanOrEqual(31);
    }
    expect(plan.refreshes).toBe(7);
  });
});

async function keysOf(plan: Plan, blocks: readonly number[]): Promise<DryRunEvaluator> {
  const evaluator = new DryRunEvaluator(plan.layout.slots, plan.topLevel, plan.bottomLevel);
  const refresher = new DryRunRefresher(evaluator, plan.topLevel, plan.bottomLevel);
  const transformer = new EncryptedTransformer({ model, calibration, plan, evaluator, refresher });
  const talk = transformer.dryConversation();
  for (const rows of blocks) {
    // A negative number drops rows of the block before.
    if (rows < 0) talk.cache.drop(-rows);
    else await transformer.forward(talk, { level: plan.client.inputLevel }, rows);
  }
  return evaluator;
}

test.each([[[1]], [[4, 4]], [[1, 1, 1, 3]], [[3, 2, 4, 1, 1]], [[4, -3, 4, -4, 4, -1, 4]]])(
  'blocks of %j rows need no key beyond the list',
  async (blocks) => {
    for (const topLevel of [9, 10, 12, 14]) {
      const plan = await makePlan(model, calibration, { ...small, topLevel, blockRows: 4 });
      const used = await keysOf(plan, blocks);
      const listed = new Map(plan.keys.rotations.map(({ rotation, level }) => [rotation, level]));
      for (const [rotation, level] of used.rotations)
        expect(listed.get(rotation)).toBeGreaterThanOrEqual(level);
      expect(used.conjugationLevel).toBe(plan.keys.conjugationLevel);
      expect(used.relinearisationLevel).toBe(plan.keys.relinearisationLevel);
      expect(listed.size).toBeLessThanOrEqual(40);
    }
  },
);
