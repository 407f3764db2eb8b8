// Model (b): logistic regression on many features, by L-BFGS (Liu and Nocedal 1989).

const PAIRS = 10;
const ROUNDS = 120;

/**
 * @param rows Float32Array of equal lengths
 * @param l2 penalty l2/2 of the squared norm of the weights of standardised features, beside the mean loss
 * @param importance weight of every row
 * @returns `score(row)`: the logit
 */
export function trainWideHead(rows, labels, l2, importance = null) {
  const [n, width] = [rows.length, rows[0].length];
  const { mean, scale } = standardisation(rows);
  const x = new Float32Array(n * width);
  rows.forEach((row, i) => {
    for (let d = 0; d < width; d++) x[i * width + d] = (row[d] - mean[d]) * scale[d];
  });
  const total = importance === null ? n : importance.reduce((sum, value) => sum + value, 0);
  const loss = (w, gradient) => {
    gradient.fill(0);
    let sum = 0;
    for (let i = 0; i < n; i++) {
      const at = i * width;
      let score = w[width];
      for (let d = 0; d < width; d++) score += x[at + d] * w[d];
      const part = (importance === null ? 1 : importance[i]) / total;
      const margin = labels[i] === 1 ? score : -score;
      sum += part * (margin > 0 ? Math.log1p(Math.exp(-margin)) : Math.log1p(Math.exp(margin)) - margin);
      const slope = part * (1 / (1 + Math.exp(-score)) - labels[i]);
      for (let d = 0; d < width; d++) gradient[d] += slope * x[at + d];
      gradient[width] += slope;
    }
    for (let d = 0; d < width; d++) {
      sum += (l2 / 2) * w[d] * w[d];
      gradient[d] += l2 * w[d];
    }
    return sum;
  };
  const weights = minimise(loss, new Float64Array(width + 1));
  return (row) => {
    let score = weights[width];
    for (let d = 0; d < width; d++) score += (row[d] - mean[d]) * scale[d] * weights[d];
    return score;
  };
}

/**
 * A joint head on all features and one on each of their parts: the joint logit counts twice. Parts are regularised apart, so that the
 * committee leans less on single directions than the joint head does, and noise in the features moves it less.
 *
 * @param parts lengths of the parts, one after the other
 */
export function trainCommittee(rows, labels, l2, parts) {
  const joint = trainWideHead(rows, labels, l2);
  const single = [];
  let from = 0;
  for (const length of parts) {
    const [start, end] = [from, from + length];
    const cut = (row) => row.subarray(start, end);
    const head = trainWideHead(rows.map(cut), labels, l2);
    single.push((row) => head(cut(row)));
    from = end;
  }
  return (row) => single.reduce((sum, head) => sum + head(row), 2 * joint(row)) / (parts.length + 2);
}

function standardisation(rows) {
  const width = rows[0].length;
  const mean = new Float64Array(width);
  const square = new Float64Array(width);
  for (const row of rows) for (let d = 0; d < width; d++) mean[d] += row[d] / rows.length;
  for (const row of rows) for (let d = 0; d < width; d++) square[d] += (row[d] - mean[d]) ** 2 / rows.length;
  return { mean, scale: square.map((value) => 1 / Math.sqrt(value + 1e-12)) };
}

const dot = (a, b) => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
};

function minimise(loss, start) {
  let at = start;
  let gradient = new Float64Array(at.length);
  let value = loss(at, gradient);
  const history = [];
  for (let round = 0; round < ROUNDS; round++) {
    const direction = gradient.map((g) => -g);
    const used = [];
    for (const { s, y, rho } of history.toReversed()) {
      const alpha = rho * dot(s, direction);
      used.push(alpha);
      for (let i = 0; i < direction.length; i++) direction[i] -= alpha * y[i];
    }
    const newest = history.at(-1);
    const first = newest
      ? dot(newest.s, newest.y) / dot(newest.y, newest.y)
      : 1 / Math.sqrt(dot(gradient, gradient));
    for (let i = 0; i < direction.length; i++) direction[i] *= first;
    for (const { s, y, rho } of history) {
      const beta = used.pop() - rho * dot(y, direction);
      for (let i = 0; i < direction.length; i++) direction[i] += beta * s[i];
    }
    const slope = dot(gradient, direction);
    let step = 1;
    let next = null;
    const nextGradient = new Float64Array(at.length);
    let nextValue = value;
    for (let tries = 0; tries < 20; tries++, step /= 2) {
      next = at.map((w, i) => w + step * direction[i]);
      nextValue = loss(next, nextGradient);
      if (nextValue <= value + 1e-4 * step * slope) break;
    }
    const s = next.map((w, i) => w - at[i]);
    const y = nextGradient.map((g, i) => g - gradient[i]);
    const curvature = dot(s, y);
    if (curvature > 0) history.push({ s, y, rho: 1 / curvature });
    if (history.length > PAIRS) history.shift();
    const gain = value - nextValue;
    [at, gradient, value] = [next, nextGradient, nextValue];
    if (gain < 1e-6) break;
  }
  return at;
}
