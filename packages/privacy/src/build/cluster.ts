/**
 * Splits rows into groups whose sizes differ by at most one, so that rows of a group lie close together. Deterministic: only IEEE
 * additions, products, quotients and square roots, and ties go to the smaller index.
 *
 * Balanced bisection (split at the quota along the line between two centroids) down to the group size, then passes of swaps between
 * neighbouring groups, each of which lowers the sum of squared distances to the centroids.
 */
export function balancedGroups(
  rows: Float64Array,
  dimension: number,
  groupSize: number,
  swapPasses = 8,
): Uint32Array[] {
  const count = rows.length / dimension;
  const groupCount = Math.max(1, Math.floor(count / groupSize));
  const all = Uint32Array.from({ length: count }, (_, i) => i);
  const groups: Uint32Array[] = [];
  const bisect = (ids: Uint32Array, into: number): void => {
    if (into === 1) {
      groups.push(ids);
      return;
    }
    const leftGroups = into >> 1;
    // Sizes floor or ceil of ids/into on both sides.
    const base = Math.floor(ids.length / into);
    const extra = ids.length - base * into;
    const leftSize = base * leftGroups + Math.min(extra, leftGroups);
    const order = splitOrder(rows, dimension, ids, leftSize);
    bisect(order.subarray(0, leftSize).slice(), leftGroups);
    bisect(order.subarray(leftSize).slice(), into - leftGroups);
  };
  bisect(all, groupCount);
  for (let pass = 0; pass < swapPasses; pass++) {
    if (swapPass(rows, dimension, groups) === 0) break;
  }
  return groups.map((group) => group.slice().sort());
}

function centroid(rows: Float64Array, dimension: number, ids: Uint32Array, out: Float64Array, at = 0): void {
  for (let d = 0; d < dimension; d++) {
    let sum = 0;
    for (const id of ids) sum += rows[id * dimension + d]!;
    out[at + d] = sum / ids.length;
  }
}

/** The ids, those nearest to the first of two centroids first; the centroids are those of the two sides, after some rounds. */
function splitOrder(rows: Float64Array, dimension: number, ids: Uint32Array, leftSize: number): Uint32Array {
  let order = ids;
  const direction = principalDirection(rows, dimension, ids);
  const left = new Float64Array(dimension);
  const right = new Float64Array(dimension);
  const keys = new Float64Array(ids.length);
  for (let round = 0; ; round++) {
    for (let i = 0; i < order.length; i++) {
      let key = 0;
      const at = order[i]! * dimension;
      for (let d = 0; d < dimension; d++) key += rows[at + d]! * direction[d]!;
      keys[i] = key;
    }
    const previous = order;
    const positions = Uint32Array.from({ length: order.length }, (_, i) => i);
    positions.sort((a, b) => keys[a]! - keys[b]! || previous[a]! - previous[b]!);
    order = positions.map((position) => previous[position]!);
    if (round === 3) return order;
    centroid(rows, dimension, order.subarray(0, leftSize), left);
    centroid(rows, dimension, order.subarray(leftSize), right);
    for (let d = 0; d < dimension; d++) direction[d] = right[d]! - left[d]!;
  }
}

/** A few power iterations on the covariance, from a fixed start. */
function principalDirection(rows: Float64Array, dimension: number, ids: Uint32Array): Float64Array {
  const mean = new Float64Array(dimension);
  centroid(rows, dimension, ids, mean);
  let vector = Float64Array.from({ length: dimension }, (_, d) => rows[ids[0]! * dimension + d]! - mean[d]!);
  vector[0]! += 1e-3;
  for (let round = 0; round < 4; round++) {
    const next = new Float64Array(dimension);
    for (const id of ids) {
      let product = 0;
      for (let d = 0; d < dimension; d++) product += (rows[id * dimension + d]! - mean[d]!) * vector[d]!;
      for (let d = 0; d < dimension; d++) next[d]! += product * (rows[id * dimension + d]! - mean[d]!);
    }
    let square = 0;
    for (const value of next) square += value * value;
    if (square === 0) return vector;
    const scale = 1 / Math.sqrt(square);
    vector = next.map((value) => value * scale);
  }
  return vector;
}

const NEIGHBOURS = 16;

/** Swaps pairs of rows between neighbouring groups while that lowers the sum of distances; returns the number of swaps. */
function swapPass(rows: Float64Array, dimension: number, groups: Uint32Array[]): number {
  const count = groups.length;
  const centres = new Float64Array(count * dimension);
  groups.forEach((ids, g) => {
    centroid(rows, dimension, ids, centres, g * dimension);
  });
  const near = nearestCentres(centres, dimension, count);
  const moved = new Uint8Array(rows.length / dimension);
  const gain = (id: number, from: number, to: number): number => {
    let sum = 0;
    for (let d = 0; d < dimension; d++) {
      const value = rows[id * dimension + d]!;
      sum += (value - centres[from * dimension + d]!) ** 2 - (value - centres[to * dimension + d]!) ** 2;
    }
    return sum;
  };
  let swaps = 0;
  for (let from = 0; from < count; from++) {
    for (const to of near[from]!) {
      if (to < from && near[to]!.includes(from)) continue;
      const a = candidates(groups[from]!, moved, (id) => gain(id, from, to));
      const b = candidates(groups[to]!, moved, (id) => gain(id, to, from));
      for (let i = 0; i < Math.min(a.length, b.length); i++) {
        if (a[i]!.gain + b[i]!.gain <= 1e-9) break;
        groups[from]![a[i]!.at] = b[i]!.id;
        groups[to]![b[i]!.at] = a[i]!.id;
        moved[a[i]!.id] = 1;
        moved[b[i]!.id] = 1;
        swaps++;
      }
    }
  }
  return swaps;
}

interface Candidate {
  readonly id: number;
  readonly at: number;
  readonly gain: number;
}

function candidates(ids: Uint32Array, moved: Uint8Array, gain: (id: number) => number): Candidate[] {
  const found: Candidate[] = [];
  ids.forEach((id, at) => {
    if (moved[id] === 0) found.push({ id, at, gain: gain(id) });
  });
  return found.sort((x, y) => y.gain - x.gain || x.id - y.id);
}

function nearestCentres(centres: Float64Array, dimension: number, count: number): number[][] {
  const distances = new Float64Array(count);
  return Array.from({ length: count }, (_, g) => {
    for (let h = 0; h < count; h++) {
      let sum = 0;
      for (let d = 0; d < dimension; d++)
        sum += (centres[g * dimension + d]! - centres[h * dimension + d]!) ** 2;
      distances[h] = sum;
    }
    return nearestIndices(distances, Math.min(NEIGHBOURS, count - 1), g);
  });
}

/** Indices of the `wanted` smallest values, smallest first, ties to the smaller index; `except` is left out. */
export function nearestIndices(distances: Float64Array, wanted: number, except = -1): number[] {
  const kept: number[] = [];
  for (let i = 0; i < distances.length; i++) {
    if (i === except) continue;
    if (kept.length === wanted && distances[i]! >= distances[kept[wanted - 1]!]!) continue;
    let at = kept.length;
    while (at > 0 && distances[kept[at - 1]!]! > distances[i]!) at--;
    kept.splice(at, 0, i);
    if (kept.length > wanted) kept.pop();
  }
  return kept;
}
