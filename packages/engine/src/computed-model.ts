import type { LlamaModel } from '@sotto/model';
import { type Calibration, isKernelLayer } from './calibration.js';
import { rotateModel, StreamRotation } from './rotation.js';

/** A model and its ranges as the circuit computes them: with the rotation of the residual stream in the weights. */
export interface ComputedModel {
  readonly model: LlamaModel;
  readonly calibration: Calibration;
  /** Null when the stream is that of the file. */
  readonly rotation: StreamRotation | null;
}

/** Rotating takes seconds for large models, and a plan asks several times. */
const made = new WeakMap<LlamaModel, Map<number, LlamaModel>>();

/** Weights and row shifts for the stream that a calibration was measured on. */
export function computedModel(model: LlamaModel, calibration: Calibration): ComputedModel {
  const seed = calibration.rotationSeed;
  if (seed === null) return { model, calibration, rotation: null };
  const rotation = new StreamRotation(model.config.dim, seed);
  const known = made.get(model) ?? new Map<number, LlamaModel>();
  made.set(model, known);
  const rotated = known.get(seed) ?? rotateModel(model, rotation);
  known.set(seed, rotated);
  const layers = calibration.layers.map((layer, l) => {
    if (isKernelLayer(layer)) return layer;
    const gain = model.layers[l]!.attentionNorm;
    const shift = layer.shift.map((ofHead) => Array.from(rotation.apply(ofHead.map((v, i) => v * gain[i]!))));
    return { ...layer, shift };
  });
  return { model: rotated, calibration: { ...calibration, layers }, rotation };
}
