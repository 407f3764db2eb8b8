import { sumsModule } from './sums-module.js';

/** Right-hand sides come in multiples of this. */
export const LANES = 8;

type Sums = (
  rows: number,
  starts: number,
  inputs: number,
  re: number,
  im: number,
  x: number,
  lanes: number,
  out: number,
) => void;

interface Kernel {
  readonly memory: WebAssembly.Memory;
  readonly sums: Sums;
}

const PAGE_BYTES = 65536;
/** The kernel's stack lies below. */
const FIRST_BYTE = PAGE_BYTES;

let kernel: Kernel | null = null;

function theKernel(neededBytes: number): Kernel {
  if (kernel === null) {
    const bytes = Uint8Array.from(atob(sumsModule), (character) => character.charCodeAt(0));
    const memory = new WebAssembly.Memory({ initial: 2, maximum: PAGE_BYTES });
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
    kernel = { memory, sums: instance.exports.sums as Sums };
  }
  const missing = FIRST_BYTE + neededBytes - kernel.memory.buffer.byteLength;
  if (missing > 0) kernel.memory.grow(Math.ceil(missing / PAGE_BYTES));
  return kernel;
}

/**
 * Sums of a sparse complex matrix times real right-hand sides, two for each row of weights: of re[j] * x[inputs[j]] and of
 * im[j] * x[inputs[j]], `lanes` numbers each.
 *
 * @param starts where the weights of each row begin, and where the last end.
 * @param x `lanes` numbers for each input; a multiple of {@link LANES}.
 */
export function productSums(
  weights: {
    readonly starts: Int32Array;
    readonly inputs: Int32Array;
    readonly re: Float64Array;
    readonly im: Float64Array;
  },
  x: Float64Array,
  lanes: number,
): Float64Array {
  const rows = weights.starts.length - 1;
  const sizes = [weights.re, weights.im, x].map(({ byteLength }) => byteLength);
  const integers = [weights.inputs, weights.starts].map(({ byteLength }) => byteLength);
  const outBytes = 16 * rows * lanes;
  const total = [...sizes, ...integers].reduce((sum, size) => sum + size, outBytes);
  const { memory, sums } = theKernel(total + 8);
  let at = FIRST_BYTE;
  const place = (values: Float64Array | Int32Array): number => {
    const here = at;
    const Type = values instanceof Float64Array ? Float64Array : Int32Array;
    new Type(memory.buffer, here, values.length).set(values);
    at += values.byteLength;
    return here;
  };
  const out = at;
  at += outBytes;
  const [re, im, input] = [weights.re, weights.im, x].map(place) as [number, number, number];
  const [inputs, starts] = [weights.inputs, weights.starts].map(place) as [number, number];
  sums(rows, starts, inputs, re, im, input, lanes, out);
  return new Float64Array(memory.buffer.slice(out, out + outBytes));
}
