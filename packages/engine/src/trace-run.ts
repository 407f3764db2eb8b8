import { SottoError } from '@sotto/base';
import {
  bootstrapNew,
  type CompiledBootstrap,
  compileBootstrap,
  planBootstrap,
  releaseBootstrap,
  simulatedSteps,
} from '@sotto/he/bootstrap';
import {
  type CleartextCiphertext,
  type CleartextEvaluator,
  CleartextRefresher,
  createCleartextEvaluator,
} from '@sotto/he/cleartext';
import type { Parameters } from '@sotto/he/rlwe';
import type { Evaluator, Refresher, SlotVector } from '@sotto/he/scheme';
import { embedTokens, finishLogits, forward, type LlamaModel } from '@sotto/model';
import type { Calibration } from './calibration.js';
import { embedRows, readHidden } from './client-side.js';
import { computedModel } from './computed-model.js';
import { EncryptedTransformer } from './execute.js';
import { publicPages } from './layout.js';
import type { Plan } from './plan.js';
import { judgeTrace, PrecisionTrace, type TracedStep, type TraceLine } from './trace.js';

/** A scheme on which a pass can be watched. */
export interface TracedScheme<C extends object> {
  readonly evaluator: Evaluator<C>;
  readonly refresher: Refresher<C>;
  /** A fresh ciphertext. */
  readonly write: (values: SlotVector, level: number) => C;
  /** The slots of a ciphertext. */
  readonly read: (value: C) => SlotVector;
}

export interface TraceTask {
  readonly model: LlamaModel;
  readonly calibration: Calibration;
  readonly plan: Plan;
  /** BOS first. */
  readonly publicTokens: readonly number[];
  /** At most one block of the plan is run at once; the rest follows in further blocks. */
  readonly privateTokens: readonly number[];
}

export interface TracedPass {
  readonly steps: readonly TracedStep[];
  /** Logits against the clear model; null when the pass ended in an error. */
  readonly logitsRmsError: number | null;
  readonly logitsMaxAbsError: number | null;
  /** Code of the error in which the pass ended: a value left its range. */
  readonly stopped: string | null;
}

/**
 * Runs a conversation and records every step.
 *
 * @throws `TRACE_PUBLIC_TOO_LONG` when scores are on several pages; what the scheme throws, but `ENGINE_OUTPUT_ESCAPED`,
 * `HE_REFRESH_RANGE` and `HE_REFRESH_SHAPE`: they are findings.
 */
export async function tracePass<C extends object>(
  task: TraceTask,
  scheme: TracedScheme<C>,
): Promise<TracedPass> {
  const { model, calibration, plan, publicTokens, privateTokens } = task;
  // Kernel sums of all pages are added up before anything is seen of them.
  const pages = plan.polynomials.some(({ softmax }) => softmax !== null)
    ? publicPages(plan.layout, publicTokens.length)
    : 1;
  if (pages > 1) {
    throw new SottoError('The public part is too long to be traced.', {
      code: 'TRACE_PUBLIC_TOO_LONG',
      facts: { publicTokens: publicTokens.length, largest: plan.layout.publicCapacity },
      fix: 'Shorten the public part.',
    });
  }
  const { evaluator, refresher, read, write } = scheme;
  const computed = computedModel(model, calibration);
  const { rotation } = computed;
  const trace = new PrecisionTrace<C>({ ...computed, plan, read });
  const transformer = new EncryptedTransformer<C>({
    model,
    calibration,
    plan,
    evaluator,
    refresher,
    trace: trace.observe,
  });
  const talk = transformer.conversation(publicTokens);
  const clear = talk.context.cache.fork();
  const errors: number[] = [];
  let stopped: string | null = null;
  try {
    for (let at = 0; at < privateTokens.length; at += plan.client.blockRows) {
      const tokens = privateTokens.slice(at, at + plan.client.blockRows);
      trace.begin(
        talk,
        embedTokens(model, tokens).map((row) => rotation?.apply(row) ?? row),
      );
      const input = write(embedRows(model, plan.client, tokens), plan.client.inputLevel);
      const out = await transformer.forward(talk, input, tokens.length);
      const slots = read(out);
      evaluator.release(input);
      evaluator.release(out);
      const want = forward(model, tokens, clear).logits;
      readHidden(plan.client, slots, tokens.length).forEach((row, r) => {
        finishLogits(model, row).forEach((value, i) => {
          errors.push(value - want[r]![i]!);
        });
      });
    }
  } catch (error) {
    const findings = ['ENGINE_OUTPUT_ESCAPED', 'HE_REFRESH_RANGE', 'HE_REFRESH_SHAPE'];
    if (!SottoError.is(error) || !findings.includes(error.code)) throw error;
    stopped = error.code;
  } finally {
    talk.cache.dispose();
    transformer.dispose();
  }
  const whole = stopped === null && errors.length > 0;
  return {
    steps: trace.steps,
    logitsRmsError: whole ? Math.sqrt(errors.reduce((sum, e) => sum + e * e, 0) / errors.length) : null,
    logitsMaxAbsError: whole ? errors.reduce((most, e) => Math.max(most, Math.abs(e)), 0) : null,
    stopped,
  };
}

/** Bits of one refresh of these parameters, rms: a simulated bootstrapping, or the noise of a fresh encryption. */
function refreshBits(parameters: Parameters, seed: number): number {
  const scale = parameters.levels[parameters.freshLevel]!.scale;
  const fresh = -Math.log2((parameters.errorStd * Math.sqrt(parameters.n / 2)) / scale);
  if (parameters.bootstrap === null) return fresh;
  const plan = planBootstrap(parameters);
  const ev = createCleartextEvaluator(parameters, { noise: { seed } });
  const steps = simulatedSteps(ev, plan);
  const compiled: CompiledBootstrap<CleartextCiphertext> = compileBootstrap(ev, plan, steps);
  const values = (phase: number) =>
    Float64Array.from({ length: parameters.maxSlots }, (_, i) => 0.7 * Math.sin(1 + phase + i * i));
  const input = { re: values(0), im: values(2) };
  const got = ev.toSlots(bootstrapNew(ev, ev.fromSlots(input, plan.levels.bottomLevel), compiled));
  releaseBootstrap(ev, compiled);
  let sum = 0;
  for (let i = 0; i < input.re.length; i++)
    sum += (got.re[i]! - input.re[i]!) ** 2 + (got.im[i]! - input.im[i]!) ** 2;
  return -Math.log2(Math.sqrt(sum / (2 * input.re.length)));
}

/** The cleartext scheme of some parameters, with their noise or without any. @param outputLevel of refreshed ciphertexts. */
export function cleartextTraceScheme(
  parameters: Parameters,
  noise: { readonly seed: number } | null,
  outputLevel = parameters.freshLevel,
): TracedScheme<CleartextCiphertext> & { readonly evaluator: CleartextEvaluator } {
  const evaluator = createCleartextEvaluator(parameters, { noise });
  const refresher = new CleartextRefresher(evaluator, {
    outputLevel,
    inputLevel: parameters.bottomLevel,
    ...(noise === null ? {} : { bits: refreshBits(parameters, noise.seed) }),
  });
  return {
    evaluator,
    refresher,
    write: (values, level) => evaluator.fromSlots(values, level),
    read: (value) => evaluator.toSlots(value),
  };
}

export interface TraceReport {
  readonly lines: readonly TraceLine[];
  /** The first step below its forecast; null when there is none. */
  readonly first: TraceLine | null;
  readonly pass: TracedPass;
}

/**
 * Traces a pass on a scheme and judges it by the forecast for `parameters`.
 *
 * @param sound what the forecast is made from; the task itself when absent.
 */
export async function traceReport<C extends object>(
  task: TraceTask,
  scheme: TracedScheme<C>,
  parameters: Parameters,
  sound: TraceTask = task,
): Promise<TraceReport> {
  const noisy = await tracePass(sound, cleartextTraceScheme(parameters, { seed: 11 }, sound.plan.topLevel));
  const exact = await tracePass(sound, cleartextTraceScheme(parameters, null, sound.plan.topLevel));
  const pass = await tracePass(task, scheme);
  const lines = judgeTrace(pass.steps, noisy.steps, exact.steps);
  return { lines, first: lines.find(({ fault }) => fault !== null) ?? null, pass };
}
