// Model (a): the mean of the word vectors and a logistic regression.

/** Mean vector of a sentence given as word ids; ids below 0 and null are skipped. */
export function meanVector(items, { values, dimension }) {
  const out = new Float64Array(dimension + 1);
  let count = 0;
  for (const id of items) {
    if (id === null || id < 0) continue;
    count++;
    for (let d = 0; d < dimension; d++) out[d] += values[id * dimension + d];
  }
  for (let d = 0; d < dimension; d++) out[d] /= Math.max(1, count);
  out[dimension] = 1;
  return out;
}

/** L2 logistic regression by Newton's method; the last feature is the constant. */
export function trainHead(features, labels, l2 = 1) {
  const n = features[0].length;
  const weights = new Float64Array(n);
  for (let round = 0; round < 8; round++) {
    const hessian = new Float64Array(n * n);
    const gradient = new Float64Array(n);
    features.forEach((x, i) => {
      const p = 1 / (1 + Math.exp(-dot(x, weights)));
      const curvature = p * (1 - p);
      for (let a = 0; a < n; a++) {
        gradient[a] += (p - labels[i]) * x[a];
        const scaled = curvature * x[a];
        for (let b = 0; b <= a; b++) hessian[a * n + b] += scaled * x[b];
      }
    });
    for (let a = 0; a < n; a++) {
      gradient[a] += l2 * weights[a];
      hessian[a * n + a] += l2;
    }
    const step = solve(hessian, gradient);
    let size = 0;
    for (let a = 0; a < n; a++) {
      weights[a] -= step[a];
      size += step[a] ** 2;
    }
    if (size < 1e-10) break;
  }
  return weights;
}

export function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function solve(a, b) {
  const n = b.length;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j];
      for (let k = 0; k < j; k++) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i === j ? Math.sqrt(sum) : sum / a[j * n + j];
    }
  }
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
  return b;
}
