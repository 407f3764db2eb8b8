import { readFile } from 'node:fs/promises';
import { sha256, toHex } from '@sotto/base';
import { type BootstrapOptions, bootstrapKeyList } from '@sotto/he/bootstrap';
import {
  createParameters,
  type EvaluationKeyId,
  evaluationKeyPlan,
  evaluationKeyWireBytes,
  expandedKeyBytes,
  insecureBoot,
  insecureClient,
  N15_CLIENT,
  N16_BOOT,
  type Parameters,
  type ParametersLiteral,
} from '@sotto/he/rlwe';
import type { LlamaModel } from '@sotto/model';
import { calibrate } from './calibrate.js';
import { type Calibration, readCalibration, writeCalibration } from './calibration.js';
import { findCalibration, keepCalibration } from './calibration-store.js';
import { embeddedCalibration } from './embedded.js';
import { makePlan, type Plan } from './plan.js';
import { chooseBootstraps } from './refresh-choice.js';

/** What client and server must agree on before they can talk; each builds the rest for itself. */
export interface SetupRequest {
  /** Who restores levels. */
  readonly refresh: 'bootstrap' | 'client';
  /** Only a name that says insecure gives fewer than 128 bits. */
  readonly parameters: 'secure' | 'insecure-toy';
}

/** One evaluation key of a session. */
export interface SetupKey {
  /** Stable name, e.g. `relin@15`, `galois-5@15`. */
  readonly name: string;
  readonly id: EvaluationKeyId;
  /** Highest level at which it serves. */
  readonly maxLevel: number;
  /** Serialised. */
  readonly wireBytes: number;
  /** In the memory of the server. */
  readonly expandedBytes: number;
}

/** Parameters, plan and exact key list of a session: the same at both sides when made from the same model and request. */
export interface SessionSetup {
  readonly parameters: Parameters;
  readonly calibration: Calibration;
  readonly plan: Plan;
  /** The bootstrappings that serve the plan, from the most general to the cheapest; none when the client refreshes. */
  readonly bootstraps: readonly BootstrapOptions[];
  /** Digest of plan, bootstrappings and key list, hex. */
  readonly planDigest: string;
  readonly keys: readonly SetupKey[];
}

const TOY_LOG_N = 13;

function literalOf({ refresh, parameters }: SetupRequest): ParametersLiteral {
  if (parameters === 'secure') return refresh === 'bootstrap' ? N16_BOOT : N15_CLIENT;
  return refresh === 'bootstrap' ? insecureBoot(TOY_LOG_N) : insecureClient(TOY_LOG_N);
}

/**
 * The calibration of a model: the one that ships for the embedded model, one kept from an earlier time, otherwise measured now
 * (minutes; the same figures on every machine with the same float arithmetic) and kept in the user's cache folder.
 *
 * @param onMeasure called before it is measured.
 */
export async function calibrationOf(model: LlamaModel, onMeasure?: () => void): Promise<Calibration> {
  const shipped = readCalibration(await readFile(embeddedCalibration, 'utf8'));
  if (shipped.modelDigest === model.digest) return shipped;
  const kept = await findCalibration(model.digest);
  if (kept !== null) return kept;
  onMeasure?.();
  const options = { texts: 64, tokens: Math.min(192, model.config.contextLength), seed: 1 };
  // As written and read again, so that whoever measures and whoever reads agree to the last digit.
  const measured = readCalibration(writeCalibration(calibrate(model, options)));
  await keepCalibration(measured);
  return measured;
}

/**
 * The keys of a plan, then those of bootstrapping. All rotation keys of the plan serve up to one level, because the rotations
 * of a linear map must share one key-switching plan.
 */
function keysOf(plan: Plan, params: Parameters, bootstraps: readonly BootstrapOptions[]): SetupKey[] {
  const keys = new Map<string, SetupKey>();
  const need = (id: EvaluationKeyId, maxLevel: number): void => {
    const name = `${id.kind === 'galois' ? `galois-${id.galois}` : id.kind}@${maxLevel}`;
    const moduli = evaluationKeyPlan(params, id, maxLevel);
    keys.set(name, {
      name,
      id,
      maxLevel,
      wireBytes: evaluationKeyWireBytes(params, moduli),
      expandedBytes: expandedKeyBytes(params, moduli),
    });
  };
  const { rotations, conjugationLevel, relinearisationLevel } = plan.keys;
  const rotationLevel = Math.max(...rotations.map(({ level }) => level));
  if (relinearisationLevel >= 0) need({ kind: 'relin' }, relinearisationLevel);
  if (conjugationLevel >= 0) need({ kind: 'galois', galois: 2 * params.n - 1 }, conjugationLevel);
  for (const { rotation } of rotations)
    need({ kind: 'galois', galois: galoisOf(rotation, params.n) }, rotationLevel);
  if (bootstraps.length > 0) {
    for (const { id, maxLevel } of bootstrapKeyList(params, bootstraps)) need(id, maxLevel);
  }
  return [...keys.values()];
}

/** 5^rotation mod 2n. */
function galoisOf(rotation: number, n: number): number {
  let result = 1;
  for (let i = 0; i < rotation; i++) result = (result * 5) % (2 * n);
  return result;
}

/** @throws the errors of {@link makePlan}, {@link calibrate} and `createParameters`. */
export async function makeSetup(model: LlamaModel, request: SetupRequest): Promise<SessionSetup> {
  const parameters = createParameters(literalOf(request));
  const calibration = await calibrationOf(model);
  const plan = await makePlan(model, calibration, {
    slots: parameters.maxSlots,
    topLevel: parameters.freshLevel,
    bottomLevel: parameters.bottomLevel,
  });
  const bootstraps = parameters.bootstrap ? chooseBootstraps(parameters, plan.refreshShapes) : [];
  const keys = keysOf(plan, parameters, bootstraps);
  const agreed = JSON.stringify([plan, bootstraps, keys.map(({ name }) => name)]);
  const planDigest = toHex(sha256(new TextEncoder().encode(agreed)));
  return { parameters, calibration, plan, bootstraps, planDigest, keys };
}
