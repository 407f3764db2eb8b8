/** Arrays kept of one length. */
const KEPT = 64;

const kept = new Map<number, Float64Array[]>();

/** An array of any content: one that was given back where there is one, because making and collecting large ones takes longer than
 * most operations on them. */
export function takeArray(length: number): Float64Array {
  return kept.get(length)?.pop() ?? new Float64Array(length);
}

export function takeZeros(length: number): Float64Array {
  const array = kept.get(length)?.pop();
  return array === undefined ? new Float64Array(length) : array.fill(0);
}

export function takeCopy(of: Float64Array): Float64Array {
  const array = takeArray(of.length);
  array.set(of);
  return array;
}

/** Nothing else may hold the array. */
export function giveBack(array: Float64Array): void {
  const { length } = array;
  if (length === 0) return;
  const same = kept.get(length);
  if (same === undefined) kept.set(length, [array]);
  else if (same.length < KEPT) same.push(array);
}
