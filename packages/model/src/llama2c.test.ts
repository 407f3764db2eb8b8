import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { embeddedModel, readLlama2c, writeLlama2c } from './index.js';

const bytes = new Uint8Array(readFileSync(embeddedModel.model));

function changed(change: (view: DataView, copy: Uint8Array) => void): Uint8Array {
  const copy = bytes.slice();
  change(new DataView(copy.buffer), copy);
  return copy;
}

test('writing and reading again keeps every weight', () => {
  const model = readLlama2c(bytes);
  const again = readLlama2c(writeLlama2c(model));
  expect(again.config).toEqual(model.config);
  expect(again.embedding).toEqual(model.embedding);
  expect(again.layers).toEqual(model.layers);
  expect(again.finalNorm).toEqual(model.finalNorm);
  const untied = {
    ...model,
    config: { ...model.config, tied: false },
    head: model.embedding.map((x) => 2 * x),
  };
  const untiedAgain = readLlama2c(writeLlama2c(untied));
  expect(untiedAgain.config.tied).toBe(false);
  expect(untiedAgain.head).toEqual(untied.head);
});

test('truncated, overlong and absurd files are refused by name', () => {
  for (const size of [0, 3, 27, 28, 1000, bytes.length - 1]) {
    expect(() => readLlama2c(bytes.subarray(0, size))).toThrow(/DATA_TRUNCATED/);
  }
  expect(() => readLlama2c(changed(() => {}).subarray(0))).not.toThrow();
  const long = new Uint8Array(bytes.length + 1);
  long.set(bytes);
  expect(() => readLlama2c(long)).toThrow(/DATA_TRAILING_BYTES/);
  const header = [0, -1, 1 << 30, 0x7fffffff];
  for (let field = 0; field < 7; field++) {
    for (const value of header) {
      if (field === 5 && value === -1) continue;
      expect(() => readLlama2c(changed((view) => view.setInt32(4 * field, value, true)))).toThrow(
        /MODEL_CONFIG_INVALID/,
      );
    }
  }
  // Heads that do not divide the width, and key heads that do not divide the heads.
  expect(() => readLlama2c(changed((view) => view.setInt32(12, 7, true)))).toThrow(/MODEL_CONFIG_INVALID/);
  expect(() => readLlama2c(changed((view) => view.setInt32(16, 3, true)))).toThrow(/MODEL_CONFIG_INVALID/);
  expect(() => readLlama2c(changed((view) => view.setInt32(12, 64, true)))).toThrow(/MODEL_CONFIG_INVALID/);
});

test('a weight that is no finite number is refused', () => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => readLlama2c(changed((view) => view.setFloat32(28 + 4 * 40000, value, true)))).toThrow(
      /MODEL_WEIGHTS_NOT_FINITE/,
    );
  }
});

const babyllama = new URL(
  '../../../../shared/data/models/babyllama-char-0.9M/model5000.bin',
  import.meta.url,
);

test.skipIf(!existsSync(babyllama))('a second checkpoint of another shape is read to its last byte', () => {
  const model = readLlama2c(readFileSync(babyllama));
  expect(model.config).toMatchObject({ dim: 128, hiddenDim: 352, vocabSize: 105, contextLength: 256 });
});
