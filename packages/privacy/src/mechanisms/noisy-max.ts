/** Noise that is added to every utility before the arg-max. */
export type Noise = 'laplace' | 'exponential' | 'gumbel';

const GAUSS_POINTS = 24;
const gauss = gaussLegendre(GAUSS_POINTS);
const wideGauss = gaussLegendre(64);

/** Nodes and weights on [-1, 1] by Newton's method on the Legendre polynomial. */
function gaussLegendre(n: number): { nodes: Float64Array; weights: Float64Array } {
  const nodes = new Float64Array(n);
  const weights = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let x = Math.cos((Math.PI * (i + 0.75)) / (n + 0.5));
    let slope = 1;
    for (let round = 0; round < 100; round++) {
      let [before, value] = [1, x];
      for (let j = 2; j <= n; j++)
        [before, value] = [value, ((2 * j - 1) * x * value - (j - 1) * before) / j];
      slope = (n * (x * value - before)) / (x * x - 1);
      const step = value / slope;
      x -= step;
      if (Math.abs(step) < 1e-16) break;
    }
    nodes[i] = x;
    weights[i] = 2 / ((1 - x * x) * slope * slope);
  }
  return { nodes, weights };
}

/**
 * Probabilities that utility plus noise of an entry is the largest.
 * - gumbel: the softmax (exponential mechanism).
 * - exponential: permute-and-flip (McKenna and Sheldon 2020; the equality: Ding et al. 2021); the integral is one over a polynomial.
 * - laplace: report-noisy-max; integrated between the kinks.
 */
export function noisyMaxProbabilities(utilities: Float64Array, scale: number, noise: Noise): Float64Array {
  const scaled = utilities.map((value) => value / scale);
  const largest = scaled.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const u = scaled.map((value) => value - largest);
  const p =
    noise === 'gumbel'
      ? u.map((value) => Math.exp(value))
      : noise === 'exponential'
        ? oneSided(u)
        : twoSided(u);
  const total = p.reduce((sum, value) => sum + value, 0);
  return p.map((value) => value / total);
}

/** P(y) = c_y * integral over t in [0,1] of the product of (1 - c_j t) over j != y, with c = e^u. */
function oneSided(u: Float64Array): Float64Array {
  const c = u.map((value) => Math.exp(value));
  const out = new Float64Array(u.length);
  const panels = Math.ceil(u.length / 64);
  for (let panel = 0; panel < panels; panel++) {
    for (let i = 0; i < wideGauss.nodes.length; i++) {
      const t = (panel + (wideGauss.nodes[i]! + 1) / 2) / panels;
      let product = 1;
      for (const value of c) product *= 1 - value * t;
      const weight = wideGauss.weights[i]! / (2 * panels);
      for (let y = 0; y < c.length; y++) out[y]! += (weight * c[y]! * product) / (1 - c[y]! * t);
    }
  }
  return out;
}

function twoSided(u: Float64Array): Float64Array {
  const out = new Float64Array(u.length);
  const survival = new Float64Array(u.length);
  /** Adds weight * density of the winner at z. */
  const add = (z: number, weight: number): void => {
    let product = weight;
    for (let j = 0; j < u.length; j++) {
      const d = z - u[j]!;
      const half = 0.5 * Math.exp(-Math.abs(d));
      const cumulative = d < 0 ? half : 1 - half;
      survival[j] = half / cumulative;
      product *= cumulative;
    }
    for (let j = 0; j < u.length; j++) out[j]! += product * survival[j]!;
  };
  const kinks = [...new Set(u)].sort((a, b) => a - b);
  for (let i = 0; i + 1 < kinks.length; i++) {
    const panels = Math.max(1, Math.ceil(kinks[i + 1]! - kinks[i]!));
    const width = (kinks[i + 1]! - kinks[i]!) / panels;
    for (let panel = 0; panel < panels; panel++) {
      for (let g = 0; g < GAUSS_POINTS; g++) {
        const at = kinks[i]! + width * (panel + (gauss.nodes[g]! + 1) / 2);
        add(at, (gauss.weights[g]! * width) / 2);
      }
    }
  }
  // The tails in t = e^(first - z) and e^(z - last): polynomials in t, so panels by degree.
  const panels = Math.max(1, Math.ceil(u.length / 32));
  for (let panel = 0; panel < panels; panel++) {
    for (let g = 0; g < GAUSS_POINTS; g++) {
      const t = (panel + (gauss.nodes[g]! + 1) / 2) / panels;
      const weight = gauss.weights[g]! / (2 * panels * t);
      add(kinks[0]! + Math.log(t), weight);
      add(kinks.at(-1)! - Math.log(t), weight);
    }
  }
  return out;
}
