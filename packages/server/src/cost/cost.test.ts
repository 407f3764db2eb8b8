import { embedRows, makeSetup } from '@sotto/engine';
import type { CkksEvaluator } from '@sotto/he/ckks';
import { createNullBackend, selectBackend } from '@sotto/he/ring';
import {
  type Ciphertext,
  EvaluationKey,
  EvaluationKeySet,
  expandCiphertext,
  RingContext,
} from '@sotto/he/rlwe';
import type { Refresher } from '@sotto/he/scheme';
import { Decryptor, Encryptor, KeyGenerator, SecretKey } from '@sotto/he/secret';
import { readModelFile } from '@sotto/model';
import { describe, expect, it } from 'vitest';
import { engineMemory } from '../engine/forecast.js';
import { makeMachine } from '../engine/machine.js';
import { countSession, TOUCH } from './count-session.js';
import { knownShare, measureKernels, secondsOf } from './measure-kernels.js';
import { KernelRecorder, type ShapeCounts } from './recording-ring.js';

const { weights: model } = await readModelFile({ model: 'stories260K' });
const request = { refresh: 'client', parameters: 'insecure-toy' } as const;
const setup = await makeSetup(model, request);
const { parameters, plan } = setup;
const availableBytes = 8e9;
const publicTokens = [1, 403, 407];
const rows = [409, 411];
const counted = await countSession(model, setup, {
  publicTokens: publicTokens.length,
  privateTokens: rows.length,
  availableBytes,
});

const plainOf = (counts: ShapeCounts): [string, number][] =>
  [...counts]
    .filter(([, { kernel }]) => kernel !== TOUCH)
    .map(([name, { calls }]): [string, number] => [name, calls])
    .sort(([a], [b]) => (a < b ? -1 : 1));

/** Calls of a recorded pass. */
const of = (...calls: [kernel: string, shape: number[], calls: number][]): ShapeCounts =>
  new Map(calls.map(([kernel, shape, n]) => [`${kernel}/${shape.join(',')}`, { kernel, shape, calls: n }]));

describe('counting', () => {
  it('finds the kernel calls of the real run, one for one', async () => {
    const backend = selectBackend();
    const recorder = new KernelRecorder(
      backend.createRing({ logN: parameters.logN, primes: parameters.primes }),
    );
    const context = new RingContext(parameters, recorder.ring);
    const secret = SecretKey.generate(parameters);
    const generator = new KeyGenerator(context, secret);
    const encryptor = new Encryptor(context, secret);
    const decryptor = new Decryptor(context, secret);
    const keys = new EvaluationKeySet(context);
    for (const { id, maxLevel } of setup.keys)
      keys.add(EvaluationKey.expand(context, generator.make(id, maxLevel)));
    let kept: ShapeCounts[] = [];
    const clientRefresher = (evaluator: CkksEvaluator): Refresher<Ciphertext> => ({
      outputLevel: plan.topLevel,
      inputLevel: parameters.bottomLevel,
      range: 1,
      count: 0,
      async refresh(a) {
        const low = evaluator.toLevel(a, parameters.bottomLevel);
        // The client's own work is not the server's.
        kept.push(recorder.take());
        const level = plan.topLevel;
        const factor = evaluator.scaleAt(level) / low.scale;
        const values = decryptor.decrypt(low).map((value) => value * factor);
        if (low !== a) low.release();
        const seeded = encryptor.encryptSeeded(values, level);
        recorder.take();
        return expandCiphertext(context, seeded);
      },
    });
    const { plaintexts } = engineMemory(setup, { availableBytes });
    const machine = makeMachine({ model, setup, context, keys, plaintexts, clientRefresher });
    const { evaluator, transformer } = machine;
    const talk = transformer.conversation(publicTokens);
    const pass = async (tokens: readonly number[]): Promise<[string, number][]> => {
      const level = plan.client.inputLevel;
      const values = embedRows(model, plan.client, tokens);
      const input = encryptor.encryptNew(evaluator.encoder.embed(values, evaluator.scaleAt(level)), level);
      recorder.take();
      kept = [];
      (await transformer.forward(talk, input, tokens.length)).release();
      kept.push(recorder.take());
      const sum = new Map<string, number>();
      for (const counts of kept)
        for (const [name, { calls }] of counts) sum.set(name, (sum.get(name) ?? 0) + calls);
      return [...sum].sort(([a], [b]) => (a < b ? -1 : 1));
    };
    expect(await pass(rows)).toEqual(plainOf(counted.first.counts));
    expect(await pass([403])).toEqual(plainOf(counted.following.counts));
    const { peakBytes } = recorder.ring.memory();
    expect(Math.abs(counted.peakBytes / peakBytes - 1)).toBeLessThan(0.02);
    recorder.ring.dispose();
  }, 120_000);

  it('counts a second block of a prompt apart: it puts more rows to their places than a block of one', async () => {
    const { blockRows } = plan.client;
    const privateTokens = 2 * blockRows;
    const { further, following } = await countSession(model, setup, {
      ...{ publicTokens: 3, privateTokens, availableBytes },
    });
    const calls = (counts: ShapeCounts, wanted: string) =>
      [...counts.values()].reduce((sum, { kernel, calls }) => sum + (kernel === wanted ? calls : 0), 0);
    expect(counted.further).toBeNull();
    expect(further?.refreshes).toBe(plan.refreshes);
    expect(calls(further!.counts, 'embed')).toBeGreaterThan(calls(following.counts, 'embed'));
    expect(calls(further!.counts, 'innerProduct')).toBeGreaterThan(calls(following.counts, 'innerProduct'));
  });

  it('lists every refresh with its levels', () => {
    expect(counted.refreshes).toHaveLength(plan.refreshes);
    expect(counted.first.refreshes).toBe(plan.refreshes);
    for (const { from, to } of counted.refreshes) {
      expect(from).toBeGreaterThanOrEqual(plan.bottomLevel);
      expect(from).toBeLessThan(to);
      expect(to).toBeLessThanOrEqual(plan.topLevel);
    }
  });
});

describe('time', () => {
  it('is that of measured shapes, and of others in proportion to their work', () => {
    const timings = [
      { kernel: 'ntt', shape: [10], ms: 2, cpuMs: 4 },
      { kernel: 'ntt', shape: [40], ms: 9, cpuMs: 18 },
    ];
    const exact = secondsOf(of(['ntt', [10], 500]), timings);
    expect(exact.seconds).toBeCloseTo(1, 9);
    expect(exact.cpuSeconds).toBeCloseTo(2, 9);
    const between = secondsOf(of(['ntt', [12], 1000]), timings).seconds;
    expect(between).toBeGreaterThan(2.2);
    expect(between).toBeLessThan(2.6);
    expect(secondsOf(of(['add', [10], 500]), timings).seconds).toBe(0);
    expect(knownShare(of(['ntt', [10], 1], ['ntt', [10, 2], 1]), timings)).toBeCloseTo(0.5, 5);
  });

  it('is measured for every kernel that the plan calls', () => {
    const backend = selectBackend({ name: 'wasm' });
    const timings = measureKernels(backend, parameters, counted.first.counts, 50);
    const kernels = new Set(timings.map(({ kernel }) => kernel));
    for (const { kernel } of counted.first.counts.values()) expect(kernels).toContain(kernel);
    for (const { ms } of timings) expect(ms).toBeGreaterThanOrEqual(0);
    const { seconds } = secondsOf(counted.following.counts, timings);
    expect(seconds).toBeGreaterThan(0.05);
    expect(seconds).toBeLessThan(600);
  }, 30_000);

  it('starts from nothing after it was taken', () => {
    const ring = createNullBackend().createRing({ logN: parameters.logN, primes: parameters.primes });
    const recorder = new KernelRecorder(ring);
    const at = recorder.ring.alloc(3);
    recorder.ring.ntt(at, recorder.ring.basis([0, 1, 2]));
    recorder.ring.ntt(at, recorder.ring.basis([0, 1, 2]));
    expect([...recorder.take().values()]).toEqual([{ kernel: 'ntt', shape: [3], calls: 2 }]);
    expect(recorder.take().size).toBe(0);
  });
});
