// What a kernel costs at least: vector instructions of its inner loop, counted in the source, and bytes that it moves. Counts are for one
// vector (512 or 256 bits) unless the name says otherwise. `m` are multiplications, `all` every instruction on a vector pipe.

/** Instructions of kernels/vector.h and kernels/modular.h on one instruction set. */
function operations(lanes) {
  const high = lanes === 16 ? 1 : 2; // v_high_words: one masked shuffle, or shift and blend
  const sum = (...parts) => ({
    m: parts.reduce((total, [m]) => total + m, 0),
    all: parts.reduce((total, [m, other]) => total + m + other, 0),
  });
  const shoupBy = [4, high + 2];
  const butterfly = [0, 5];
  const wide = [2, 2];
  const reduceOnce = [0, 2];
  const montgomery = [4, 2 * high + 3];
  const montgomeryFull = [4, 2 * high + 8];
  return { high, sum, shoupBy, butterfly, wide, reduceOnce, montgomery, montgomeryFull };
}

const times = (count, [m, other]) => [count * m, count * other];

/**
 * Instructions and bytes of one element of one row (for conversions and inner products: of one multiply-add).
 * @returns `{ m, all, bytes }` for every kernel.
 */
export function costs({ lanes, logN, sources, digits }) {
  const { high, sum, shoupBy, butterfly, wide, reduceOnce, montgomery, montgomeryFull } = operations(lanes);
  const leafLevels = Math.log2(lanes);
  const transposes = times(2 * leafLevels, [0, 1]);
  const leaf = [4, shoupBy[1] + 1];
  const node = (levels, factor) => times(levels / 2, [factor[0], factor[1] + butterfly[1]]);
  const factors = (8 * (1 + (lanes - 1))) / lanes;
  const ntt = sum(node(logN - leafLevels, shoupBy), node(leafLevels, leaf), transposes, times(2, reduceOnce));
  // The constant that ends an inverse transform takes four products for four vectors in place of two.
  const intt = sum(node(logN - leafLevels, shoupBy), node(leafLevels, leaf), transposes, [2, high + 2]);
  const tile = lanes === 16 ? 12 : 6;
  const lazy = [4, 2 * high + 3];
  const quotient = times(1 / 42, [2, high + 3]);
  const conversion = sum(
    times((sources + 1) / sources, [2, 2 + 1 / tile]),
    times(1 / sources, lazy),
    quotient,
  );
  const product = sum([2, 3.5], times(1 / digits, montgomeryFull));
  const of = (counts, bytes) => ({ m: counts.m / lanes, all: counts.all / lanes, bytes });
  return {
    ntt: of(ntt, 8 + factors),
    intt: of(intt, 8 + factors),
    add: of(sum([0, 1], reduceOnce), 12),
    mul: of(sum(wide, montgomery), 12),
    mulConst: of(sum(shoupBy, reduceOnce), 8),
    tensor: of(sum(times(6, wide), times(5, montgomery), [0, 2]), 28),
    permute: of(sum([0, 1]), 8),
    conversion: of(conversion, 4 / sources + 4 / 42),
    innerProduct: of(product, 4 + 2 + 4 / digits),
    divideEnd: of(sum(shoupBy, times(2, reduceOnce), [0, 1]), 12),
  };
}

/** Sum of `[cost, rows]`, for operations made of several kernels. */
export function together(parts) {
  return {
    m: parts.reduce((sum, [cost, rows]) => sum + cost.m * rows, 0),
    all: parts.reduce((sum, [cost, rows]) => sum + cost.all * rows, 0),
    bytes: parts.reduce((sum, [cost, rows]) => sum + cost.bytes * rows, 0),
  };
}

/** Clock in GHz from a chain of 32-bit multiplications, three cycles each on every x86 processor of the last ten years. */
export function clockGHz() {
  const found = [];
  for (let run = 0; run < 11; run++) {
    const count = 1e7;
    let x = run + 3;
    const before = process.cpuUsage();
    for (let i = 0; i < count; i++) x = Math.imul(x, 0x5bd1e995);
    const { user } = process.cpuUsage(before);
    if (x !== 0.5) found.push((3 * count) / (user * 1000));
  }
  return found.sort((a, b) => a - b)[5];
}

/**
 * Microseconds that a kernel takes at least on vector pipes and on memory: each pipe starts one 256-bit instruction a cycle.
 * @param gigabytesPerSecond of copies with the same footprint.
 */
export function limitUs(cost, elements, { lanes, ghz, pipes, multipliers }, gigabytesPerSecond) {
  const passes = lanes === 16 ? 2 : 1;
  const perElement = Math.max(cost.all / pipes, cost.m / multipliers) * passes;
  const computeUs = (perElement * elements) / (ghz * 1000);
  const memoryUs = (cost.bytes * elements) / (gigabytesPerSecond * 1000);
  return { computeUs, memoryUs, us: Math.max(computeUs, memoryUs) };
}
