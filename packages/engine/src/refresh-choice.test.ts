import { bootstrapKeyList } from '@sotto/he/bootstrap';
import { createParameters, insecureBoot, N16_BOOT } from '@sotto/he/rlwe';
import { expect, test } from 'vitest';
import { chooseBootstraps } from './refresh-choice.js';

test('the residual stream gets a bootstrapping of its own that shares the keys of the wide one', () => {
  for (const [literal, period] of [
    [insecureBoot(13), 512],
    [insecureBoot(12), 64],
    [N16_BOOT, 1024],
  ] as const) {
    const params = createParameters(literal);
    const shapes = [
      { period: params.maxSlots, real: true },
      { period, real: true },
    ];
    const [wide, narrow, ...more] = chooseBootstraps(params, shapes);
    expect(more).toEqual([]);
    expect(wide!.slots).toBeUndefined();
    expect(narrow).toMatchObject({ slots: period, realOnly: true });
    const keys = (options: Parameters<typeof bootstrapKeyList>[1]) =>
      bootstrapKeyList(params, options).length;
    const shared = keys(wide) + keys(narrow) - keys([wide!, narrow!]);
    expect(shared).toBeGreaterThan(0.75 * keys(narrow));
  }
});

test('shapes that are not narrow are served by one bootstrapping', () => {
  const params = createParameters(insecureBoot(13));
  const all = params.maxSlots;
  for (const shapes of [[{ period: all, real: true }], [{ period: all / 8, real: false }], []]) {
    expect(chooseBootstraps(params, shapes)).toEqual([{ babySteps: 8 }]);
  }
});

test('where every shape is narrow, the wide bootstrapping and its keys are left out', () => {
  const params = createParameters(insecureBoot(13));
  const narrow = { period: 512, real: true };
  const alone = chooseBootstraps(params, [narrow, narrow]);
  expect(alone).toMatchObject([{ slots: 512, realOnly: true }]);
  const both = chooseBootstraps(params, [{ period: params.maxSlots, real: true }, narrow]);
  expect(bootstrapKeyList(params, alone).length).toBeLessThan(bootstrapKeyList(params, both).length);
});
