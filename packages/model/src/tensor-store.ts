import { SottoError } from '@sotto/base';

/** Named tensors of a checkpoint, read one at a time as float32. */
export interface TensorStore {
  /** Shapes, slowest index first (a matrix is [outputs, inputs]). */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** Types as the file names them, for reports. */
  readonly types: ReadonlyMap<string, string>;
  /** @throws `MODEL_TENSOR_MISSING`, `DATA_TRUNCATED`. */
  read(name: string): Promise<Float32Array>;
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** @throws `MODEL_TENSOR_MISSING` without the tensor, `MODEL_TENSOR_SHAPE` unless it has this shape. */
export function checkShape(store: TensorStore, name: string, shape: readonly number[]): void {
  const actual = store.shapes.get(name);
  if (actual === undefined) {
    throw new SottoError('The checkpoint lacks a tensor.', {
      code: 'MODEL_TENSOR_MISSING',
      facts: { tensor: shownName(name) },
      fix: 'Use a complete checkpoint of a Llama model.',
    });
  }
  if (actual.length === shape.length && actual.every((size, i) => size === shape[i])) return;
  throw new SottoError('A tensor has another shape than the configuration says.', {
    code: 'MODEL_TENSOR_SHAPE',
    facts: { tensor: shownName(name), expected: shape.join(' x '), got: actual.join(' x ') },
    fix: 'Use weights and configuration of the same model.',
  });
}

/** A tensor whose shape is as expected and whose numbers are all finite. @throws `MODEL_WEIGHTS_NOT_FINITE` too. */
export async function readFinite(
  store: TensorStore,
  name: string,
  shape: readonly number[],
): Promise<Float32Array> {
  checkShape(store, name, shape);
  const values = await store.read(name);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value - value === 0) continue;
    throw new SottoError('The model holds a weight that is no finite number.', {
      code: 'MODEL_WEIGHTS_NOT_FINITE',
      facts: { tensor: shownName(name), index: i },
      fix: 'Fetch or export the model again.',
    });
  }
  return values;
}

/** A name out of a file, short and printable. */
export function shownName(name: string): string {
  return name.slice(0, 80).replace(/[^\x20-\x7e]/g, '?');
}
