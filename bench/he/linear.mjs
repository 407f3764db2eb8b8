// A clear 768x768 matrix times an encrypted vector.
//
// Slot copies*i + b of the input holds x[i + D b] + i x[i + D (b + copies)], indices modulo the padded size 1024 and
// D = 1024 / (2 copies): with all slots in use D diagonals remain of 1024. The real part of the sum over b is the product.
import { sumRotations, sumSlots, transformRotations } from '@sotto/he/circuits';
import { best } from './rows.mjs';
import { makeWorld } from './world.mjs';

const SIZE = 768;
const PADDED = 1024;

export function linear(set, options) {
  const w = makeWorld(set, options);
  const { params, ev, repeat, print } = w;
  const level = params.bottomLevel + 1;
  const copies = params.maxSlots / PADDED;
  const diagonalCount = PADDED / (2 * copies);
  const entry = (i, j) => (i < SIZE && j < SIZE ? Math.sin(0.37 * i * i + 1.3 * j * (i + 1)) / 28 : 0);
  const x = Float64Array.from({ length: PADDED }, (_, i) => (i < SIZE ? Math.sin(1.7 * i * i) : 0));
  const wrap = (i) => i % PADDED;

  const input = { re: new Float64Array(params.maxSlots), im: new Float64Array(params.maxSlots) };
  const diagonals = new Map();
  for (let k = 0; k < diagonalCount; k++) {
    const d = { re: new Float64Array(params.maxSlots), im: new Float64Array(params.maxSlots) };
    for (let i = 0; i < PADDED; i++) {
      for (let b = 0; b < copies; b++) {
        const [low, high] = [wrap(i + k + diagonalCount * b), wrap(i + k + diagonalCount * (b + copies))];
        d.re[copies * i + b] = entry(i, low);
        d.im[copies * i + b] = -entry(i, high);
        if (k === 0) {
          input.re[copies * i + b] = x[low];
          input.im[copies * i + b] = x[high];
        }
      }
    }
    diagonals.set(copies * k, d);
  }
  for (const k of transformRotations({ diagonals }, params.maxSlots)) w.addRotation(k, level);
  for (const k of sumRotations(copies, 1)) if (!isKnown(w, k)) w.addRotation(k, level);
  const transform = ev.compileTransform({ diagonals }, { level });
  const a = w.encrypt(input, level);
  const done = best(
    repeat,
    () => ev.scope(() => sumSlots(ev, ev.transformNew(a, transform), copies, 1)),
    (out) => out.release(),
  );
  const got = w.decode(done.result);
  let [squares, worst] = [0, 0];
  for (let i = 0; i < SIZE; i++) {
    let want = 0;
    for (let j = 0; j < SIZE; j++) want += entry(i, j) * x[j];
    const error = Math.abs(got.re[copies * i] - want);
    squares += error * error;
    worst = Math.max(worst, error);
  }
  print('linear 768x768', done.times, {
    bits: -Math.log2(Math.sqrt(squares / SIZE)),
    bitsWorst: -Math.log2(worst),
    levelsOut: 0,
    keyBytes: w.keys.sizeBytes,
  });
  w.ring.dispose();
}

const isKnown = ({ keys, context }, k) =>
  [...keys].some((key) => key.id.kind === 'galois' && key.id.galois === context.galoisOfRotation(k));
