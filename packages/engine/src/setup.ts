import { SottoError, sha256, toHex } from '@sotto/base';
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
import { findCalibration, keepCalibration, readText } from '#engine/files';
import { type CalibrationStep, calibrateInSteps, defaultCalibrateOptions } from './calibrate.js';
import { type Calibration, readCalibration, writeCalibration } from './calibration.js';
import { embeddedCalibrations } from './embedded.js';
import { makePlan, type Plan } from './plan.js';
import { chooseBootstraps } from './refresh-choice.js';

/** What client and server must agree on before they can talk; each builds the rest for itself. */
export interface SetupRequest {
  /** Who restores levels. */
  readonly refresh: 'bootstrap' | 'client';
  /** Only a name that says insecure gives fewer than 128 bits. */
  readonly parameters: 'secure' | 'insecure-toy';
  /** Calibration file of the model; see {@link calibrationOf} when absent. */
  readonly calibrationPath?: string | undefined;
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
  /** Digest of plan, bootstrappings and key list, hex; the same in every JavaScript engine. */
  readonly planDigest: string;
  readonly keys: readonly SetupKey[];
}

const TOY_LOG_N = 13;

function literalOf({ refresh, parameters }: Pick<SetupRequest, 'refresh' | 'parameters'>): ParametersLiteral {
  if (parameters === 'secure') return refresh === 'bootstrap' ? N16_BOOT : N15_CLIENT;
  return refresh === 'bootstrap' ? insecureBoot(TOY_LOG_N) : insecureClient(TOY_LOG_N);
}

/** Parameters of a session, without its plan. */
export const parametersFor = (request: Pick<SetupRequest, 'refresh' | 'parameters'>): Parameters =>
  createParameters(literalOf(request));

export interface CalibrationOptions {
  /** File to read instead. */
  readonly path?: string | undefined;
  /** Called before anything is measured. */
  readonly onMeasure?: () => void;
  readonly onProgress?: (step: CalibrationStep) => void;
  readonly signal?: AbortSignal;
}

/** A calibration file made for this model. @throws SottoError `FILE_UNREADABLE`, `CALIBRATION_INVALID`, `CALIBRATION_MISMATCH`. */
export async function readCalibrationFile(path: string, model: LlamaModel): Promise<Calibration> {
  let text: string;
  try {
    text = await readText(path);
  } catch (cause) {
    throw new SottoError('The calibration cannot be read.', {
      code: 'FILE_UNREADABLE',
      facts: { reason: (cause as { code?: string }).code ?? 'unknown' },
      fix: 'Check the path and its permissions.',
      cause,
    });
  }
  const calibration = readCalibration(text);
  if (calibration.modelDigest === model.digest) return calibration;
  throw new SottoError('The calibration was made for another model.', {
    code: 'CALIBRATION_MISMATCH',
    facts: { model: model.digest, calibration: calibration.modelDigest },
    fix: 'Give the calibration of this model, or make one with `sotto calibrate`.',
  });
}

/**
 * The calibration of a model: the given file, else the one that ships for an embedded model, else one kept from an earlier time,
 * otherwise measured now (minutes; the same figures on every machine with the same float arithmetic) and kept in the user's cache
 * folder.
 *
 * @throws the errors of {@link readCalibrationFile}, `CALIBRATION_ABORTED`.
 */
export async function calibrationOf(
  model: LlamaModel,
  options: CalibrationOptions = {},
): Promise<Calibration> {
  if (options.path !== undefined) return readCalibrationFile(options.path, model);
  for (const url of embeddedCalibrations) {
    const shipped = readCalibration(await readText(url));
    if (shipped.modelDigest === model.digest) return shipped;
  }
  const kept = await findCalibration(model.digest);
  if (kept !== null) return kept;
  options.onMeasure?.();
  const fresh = await calibrateInSteps(model, defaultCalibrateOptions(model), options);
  // As written and read again, so that whoever measures and whoever reads agree to the last digit.
  const measured = readCalibration(writeCalibration(fresh));
  await keepCalibration(measured);
  return measured;
}

/** Products at low levels have keys of their own: fewer primes make them a quarter cheaper, for few bytes. */
const RELINEARISATION_PARTS = [1, 0.6];

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
  if (relinearisationLevel >= 0) {
    for (const part of RELINEARISATION_PARTS) need({ kind: 'relin' }, Math.ceil(part * relinearisationLevel));
  }
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

/**
 * A refresh by the client may end at any level: at the highest where a stretch begins, ciphertexts are smallest. A bootstrapping ends
 * where it ends.
 */
async function planFor(model: LlamaModel, calibration: Calibration, params: Parameters): Promise<Plan> {
  const { maxSlots: slots, freshLevel: topLevel, bottomLevel } = params;
  const plan = await makePlan(model, calibration, { slots, topLevel, bottomLevel });
  if (params.bootstrap !== null) return plan;
  const highest = Math.max(...plan.cuts.flat().map((cut) => plan.startLevels[cut] ?? topLevel));
  if (highest === topLevel) return plan;
  const lower = await makePlan(model, calibration, { slots, topLevel: highest, bottomLevel });
  return lower.client.publicCapacity === plan.client.publicCapacity ? lower : plan;
}

/** Digits to which derived numbers are compared. */
const COMPARED_DIGITS = 6;

/**
 * Polynomials follow from calibration and degrees, which are compared; their last digits do not: browsers and releases of Node round
 * `Math.cos` and its like differently, which changes answers by nothing that counts.
 */
function digestOf(
  { polynomials: _, ...plan }: Plan,
  bootstraps: readonly BootstrapOptions[],
  keys: readonly SetupKey[],
): string {
  const rounded = (_key: string, value: unknown) =>
    typeof value === 'number' && !Number.isInteger(value) ? value.toPrecision(COMPARED_DIGITS) : value;
  const agreed = JSON.stringify([plan, bootstraps, keys.map(({ name }) => name)], rounded);
  return toHex(sha256(new TextEncoder().encode(agreed)));
}

/** @throws the errors of {@link makePlan}, {@link calibrate} and `createParameters`. */
export async function makeSetup(model: LlamaModel, request: SetupRequest): Promise<SessionSetup> {
  const parameters = parametersFor(request);
  const calibration = await calibrationOf(model, { path: request.calibrationPath });
  const plan = await planFor(model, calibration, parameters);
  const bootstraps = parameters.bootstrap ? chooseBootstraps(parameters, plan.refreshShapes) : [];
  const keys = keysOf(plan, parameters, bootstraps);
  const planDigest = digestOf(plan, bootstraps, keys);
  return { parameters, calibration, plan, bootstraps, planDigest, keys };
}
