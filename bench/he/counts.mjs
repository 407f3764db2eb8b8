// Kernel work of circuits at secure size, counted on the null backend: exact, machine-independent, in seconds.
import { makeSetup } from '@sotto/engine';
import { Bootstrapper, bootstrapKeyList } from '@sotto/he/bootstrap';
import { CkksEvaluator } from '@sotto/he/ckks';
import { createNullBackend } from '@sotto/he/ring';
import {
  Ciphertext,
  createParameters,
  EvaluationKey,
  EvaluationKeySet,
  evaluationKeyPlan,
  N16_BOOT,
  RingContext,
} from '@sotto/he/rlwe';
import { readModelFile } from '@sotto/model';

/** The bootstrappings of stories260K: for the attention, whose values are real, and for the residual stream. */
export async function blockBootstrapCounts() {
  const { weights } = await readModelFile({ model: 'stories260K' });
  const { bootstraps, parameters } = await makeSetup(weights, { refresh: 'bootstrap', parameters: 'secure' });
  return bootstraps.map((options) =>
    bootstrapCounts(options.slots ?? parameters.maxSlots, { ...options, realOnly: true }),
  );
}

/** Rows of transforms and of multiply-adds, inner products (one for each key switch) and live bytes of one bootstrapping. */
export function bootstrapCounts(slots, options = { slots }) {
  const parameters = createParameters(N16_BOOT);
  const ring = createNullBackend().createRing({ logN: parameters.logN, primes: parameters.primes });
  let keySwitches = 0;
  const innerProduct = ring.innerProduct.bind(ring);
  ring.innerProduct = (...args) => {
    keySwitches++;
    innerProduct(...args);
  };
  const context = new RingContext(parameters, ring);
  const keys = new EvaluationKeySet(context);
  for (const { id, maxLevel } of bootstrapKeyList(parameters, options)) {
    const plan = evaluationKeyPlan(parameters, id, maxLevel);
    const b = plan.digits.map(() => new Uint32Array(0));
    const seed = new Uint8Array(32);
    keys.add(EvaluationKey.expand(context, { id, plan, setId: '0'.repeat(32), parameters, seed, b }));
  }
  const evaluator = new CkksEvaluator(context, keys);
  const boot = new Bootstrapper(evaluator, options);
  const { level, scale } = parameters.levels[boot.inputLevel];
  const input = new Ciphertext(context, level, scale);
  ring.resetCounts();
  boot.refreshNew(input);
  const { ntt, intt, baseConversion, innerProduct: innerProductRows, pointwise, permute } = ring.counts();
  return {
    ntt,
    intt,
    keySwitches,
    baseConversion,
    innerProductRows,
    pointwise,
    permute,
    keyBytes: keys.sizeBytes,
    peakBytes: ring.memory().peakBytes,
  };
}

/** Operations of a full block of stories260K, by the dry run of its plan. */
export async function blockCounts() {
  const { weights } = await readModelFile({ model: 'stories260K' });
  const { plan, keys } = await makeSetup(weights, { refresh: 'bootstrap', parameters: 'secure' });
  const { rotations, mapRotations, conjugations, relinearisations, ...rest } = plan.block;
  return {
    keySwitches: rotations + mapRotations + conjugations + relinearisations,
    rotations,
    mapRotations,
    conjugations,
    relinearisations,
    ...rest,
    keyBytes: keys.reduce((sum, { expandedBytes }) => sum + expandedBytes, 0),
  };
}

export async function allCounts() {
  const [wide, narrow] = await blockBootstrapCounts();
  return {
    'bootstrap, 32768 slots': bootstrapCounts(32768),
    'bootstrap, 2048 slots': bootstrapCounts(2048),
    'bootstrap of the attention': wide,
    'bootstrap of the residual stream': narrow,
    'transformer block': await blockCounts(),
  };
}
