import type { SessionSetup } from '@sotto/engine';
import { createNullBackend } from '@sotto/he/ring';
import { Ciphertext, EvaluationKey, EvaluationKeySet, evaluationKeyPlan, RingContext } from '@sotto/he/rlwe';
import type { Refresher } from '@sotto/he/scheme';
import type { LlamaModel } from '@sotto/model';
import { engineMemory } from '../engine/forecast.js';
import { makeMachine } from '../engine/machine.js';
import { CountedMaps } from './counted-maps.js';
import { KernelRecorder, type ShapeCounts } from './recording-ring.js';

/** Name under which rows of memory are counted when they are used for the first time. */
export const TOUCH = 'touch';

export interface CountedPass {
  readonly counts: ShapeCounts;
  readonly refreshes: number;
  /** Processor time of everything that is not a kernel: it is really done while counting. Of the first block, that of what comes before it too. */
  readonly scriptSeconds: number;
}

/** One refresh of a block: before which state of which layer, and the levels of its input and output. */
export interface CountedRefresh {
  readonly layer: number;
  readonly at: string;
  readonly from: number;
  readonly to: number;
  /** What is known of its slots: they repeat, they are real. Less makes a bootstrapping cheaper. */
  readonly period: number;
  readonly real: boolean;
}

/** Kernel work of one session, and the memory of its polynomials. */
export interface SessionCounts {
  /** Expansion of the keys. */
  readonly keys: ShapeCounts;
  /** Matrices of bootstrapping, encoding of weights and public keys, and the first block. */
  readonly first: CountedPass;
  /** A further block of the prompt; null when it has one only. */
  readonly further: CountedPass | null;
  /** A block of one row when everything is encoded. */
  readonly following: CountedPass;
  /** Largest sum of all polynomials at the server, keys and encoded weights included. */
  readonly peakBytes: number;
  /** Weights that wait as coefficients outside of the ring. */
  readonly weightBytes: number;
  /** Every refresh of a block, in order. */
  readonly refreshes: readonly CountedRefresh[];
  /** Keys alone. */
  readonly keyBytes: number;
}

export interface CountOptions {
  /** Tokens of the public part, BOS included. */
  readonly publicTokens: number;
  /** Of the prompt; more than a block has rows take further blocks. */
  readonly privateTokens: number;
  /** As the server would see it before it has keys: decides in which form weights wait. */
  readonly availableBytes: number;
}

/**
 * Runs key loading and the first blocks of a session on the null backend: the same code as at the server, without computing, so that
 * every kernel call is counted, whatever kinds of refreshes the plan has. Seconds for a small model.
 */
export async function countSession(
  model: LlamaModel,
  setup: SessionSetup,
  options: CountOptions,
): Promise<SessionCounts> {
  const { parameters, plan } = setup;
  const inner = createNullBackend().createRing({ logN: parameters.logN, primes: parameters.primes });
  // What these check of their values is a part of the time that is measured for them.
  const recorder = new KernelRecorder(inner, ['liftDoubles']);
  const context = new RingContext(parameters, recorder.ring);
  context.checkCoefficients = () => {};
  const keys = new EvaluationKeySet(context);
  for (const { id, maxLevel } of setup.keys) {
    const moduli = evaluationKeyPlan(parameters, id, maxLevel);
    const b = moduli.digits.map(() => new Uint32Array(0));
    const seed = new Uint8Array(32);
    keys.add(EvaluationKey.expand(context, { id, plan: moduli, setId: '0'.repeat(32), parameters, seed, b }));
  }
  let touchedBytes = 0;
  const touch = (): void => {
    const { peakBytes } = inner.memory();
    const rows = (peakBytes - touchedBytes) / context.rowBytes;
    if (rows > 0) recorder.add(TOUCH, [rows]);
    touchedBytes = peakBytes;
  };
  touch();
  const keyCounts = recorder.take();
  const keyBytes = inner.memory().liveBytes;

  const fresh = (level: number): Ciphertext =>
    new Ciphertext(context, level, parameters.levels[level]!.scale);
  // The first block waits for matrices and for the public part in the clear, too.
  const startCpu = process.cpuUsage();
  let refreshes = 0;
  const inputs: Pick<CountedRefresh, 'from' | 'period' | 'real'>[] = [];
  const { plaintexts } = engineMemory(setup, options);
  const { evaluator, transformer, bootstrapper } = makeMachine({
    model,
    setup,
    context,
    keys,
    plaintexts,
    clientRefresher: (ev): Refresher<Ciphertext> => ({
      outputLevel: plan.topLevel,
      inputLevel: parameters.bottomLevel,
      range: 1,
      get count() {
        return refreshes;
      },
      async refresh(a, shape) {
        refreshes++;
        const period = shape?.period ?? parameters.maxSlots;
        inputs.push({ from: a.level, period, real: shape?.real ?? false });
        const low = ev.toLevel(a, parameters.bottomLevel);
        if (low !== a) low.release();
        recorder.add('uniform', [parameters.levels[plan.topLevel]!.basis.length]);
        return fresh(plan.topLevel);
      },
    }),
  });
  if (bootstrapper !== null) {
    const refresh = bootstrapper.refresh.bind(bootstrapper);
    bootstrapper.refresh = (a, shape) => {
      inputs.push({
        from: a.level,
        period: shape?.period ?? parameters.maxSlots,
        real: shape?.real ?? false,
      });
      return refresh(a, shape);
    };
  }
  const maps = new CountedMaps((matrix, options) => evaluator.compileTransform(matrix, options));
  Object.assign(evaluator, { compileMap: maps.compile.bind(maps) });
  const { publicPrefix, knownTokens } = plan.client;
  const publicLength = Math.max(options.publicTokens, publicPrefix.length);
  const publicTokens = Array.from(
    { length: publicLength },
    (_, i) => publicPrefix[i] ?? knownTokens[i % knownTokens.length]!,
  );
  const talk = transformer.conversation(publicTokens);
  const pass = async (rows: number, cpu = process.cpuUsage()): Promise<CountedPass> => {
    const before = bootstrapper?.count ?? refreshes;
    const input = fresh(plan.client.inputLevel);
    const out = await transformer.forward(talk, input, rows);
    input.release();
    out.release();
    const { user, system } = process.cpuUsage(cpu);
    touch();
    return {
      counts: recorder.take(),
      refreshes: (bootstrapper?.count ?? refreshes) - before,
      scriptSeconds: (user + system) / 1e6 + maps.takeSeconds(),
    };
  };
  const { blockRows } = plan.client;
  // One place is left for the block of one row.
  const promptRows = Math.min(options.privateTokens, plan.layout.privateCapacity - 1);
  const rest = promptRows - blockRows;
  const first = await pass(Math.min(promptRows, blockRows), startCpu);
  const further = rest > 0 ? await pass(Math.min(rest, blockRows)) : null;
  const following = await pass(1);
  const { peakBytes } = inner.memory();
  const weightBytes = plaintexts === 'coefficients' ? transformer.plains.sizeBytes : 0;
  inner.dispose();
  const list = refreshPoints(setup).map((point, i) => ({ ...point, ...inputs[i]! }));
  return { keys: keyCounts, first, further, following, peakBytes, weightBytes, refreshes: list, keyBytes };
}

/** Where a block refreshes, in order, and the level at which each stretch starts. */
function refreshPoints({ plan }: SessionSetup): { layer: number; at: string; to: number }[] {
  return plan.cuts.flatMap((cuts, layer) =>
    cuts
      .filter((cut) => layer > 0 || cut !== 'start')
      .map((cut) => ({ layer, at: cut, to: plan.startLevels[cut] ?? plan.topLevel })),
  );
}
